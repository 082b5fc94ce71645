"""This module is the keys to the API: made once, shown once, kept as digests.

A secret has 256 random bits, so a plain SHA-256 of it cannot be guessed back; nothing is gained
by a slow one, which every request would pay for.
"""

from __future__ import annotations

import hashlib
import secrets

from foreshard.adapters.store.catalogue_file import CatalogueFile
from foreshard.adapters.store.editions import Editions
from foreshard.model.catalogue import Actor, Deed, Role, Token
from foreshard.model.errors import NotThereError

__all__ = ["PREFIX", "Tokens"]

PREFIX = "foreshard_"
"""What a secret begins with, so that scanners for secrets find it."""

_COLUMNS = "id, name, role, created_s, expires_s, revoked_s"


class Tokens:
    """The keys of one Foreshard.

    Args:
        file: Where they are kept.
    """

    def __init__(self, file: CatalogueFile) -> None:
        self._file = file
        self._record = Editions(file)

    def create(
        self, holder: Actor, *, by: Actor, now_s: float, expires_s: float | None = None
    ) -> tuple[Token, str]:
        """A new key, and its secret, which is never to be seen again.

        Args:
            holder: Whose, and how far it reaches.
            by: Who makes it.
            now_s: When.
            expires_s: When it ends by itself; None = never.

        Raises:
            StoreError: It cannot be kept.
        """
        secret = PREFIX + secrets.token_urlsafe(32)
        token = Token(id=secrets.token_hex(4), holder=holder, created_s=now_s, expires_s=expires_s)
        with self._file.transaction():
            self._file.write(
                "INSERT INTO token VALUES (?, ?, ?, ?, ?, ?, NULL)",
                (
                    token.id,
                    holder.name,
                    holder.role.value,
                    _digest(secret),
                    now_s,
                    expires_s,
                ),
            )
            action = f"make token {token.id} for {holder.name} as {holder.role}"
            self._record.note_within(Deed(at_s=now_s, by=by, action=action, version=None))
        return token, secret

    def all(self) -> tuple[Token, ...]:
        """Every key that was ever made, the oldest first.

        Raises:
            StoreError: The file cannot be read.
        """
        query = f"SELECT {_COLUMNS} FROM token ORDER BY created_s, id"  # noqa: S608 - a constant
        return tuple(_token(*row) for row in self._file.rows(query))

    def revoke(self, token_id: str, *, by: Actor, now_s: float) -> None:
        """Take a key back; twice is fine.

        Raises:
            NotThereError: There is no such key.
            StoreError: It cannot be written.
        """
        with self._file.transaction():
            if not self._file.rows("SELECT 1 FROM token WHERE id = ?", (token_id,)):
                raise NotThereError(f"token {token_id!r}: there is none; see the list of tokens")
            done = self._file.write(
                "UPDATE token SET revoked_s = ? WHERE id = ? AND revoked_s IS NULL",
                (now_s, token_id),
            )
            if done:
                action = f"revoke token {token_id}"
                self._record.note_within(Deed(at_s=now_s, by=by, action=action, version=None))

    def find(self, secret: str) -> Token | None:
        """The key with a secret, whether it is still good or not; None = there is none.

        Raises:
            StoreError: The file cannot be read.
        """
        query = f"SELECT {_COLUMNS} FROM token WHERE digest = ?"  # noqa: S608 - a constant
        found = self._file.rows(query, (_digest(secret),))
        return _token(*found[0]) if found else None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _token(
    token_id: str,
    name: str,
    role: str,
    created_s: float,
    expires_s: float | None,
    revoked_s: float | None,
) -> Token:
    return Token(
        id=token_id,
        holder=Actor(name=name, role=Role(role)),
        created_s=created_s,
        expires_s=expires_s,
        revoked_s=revoked_s,
    )
