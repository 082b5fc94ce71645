"""This module is the editions of the request classes, and the record of who did what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from foreshard.adapters.store.catalogue_file import CatalogueFile
from foreshard.model.catalogue import Actor, Deed, Edition, Role
from foreshard.model.errors import EditError, StaleEditError

__all__ = ["Editions"]

# Older ones make room; the record says that they were.
MOST_EDITIONS, MOST_CHARACTERS, MOST_DEEDS = 1_000, 64 * 1024 * 1024, 100_000
# An edition that does not fit into a balancer's listener is of no use.
LARGEST = 4 * 1024 * 1024

_EDITION = "version, at_s, name, role, action, base, document"


class Editions:
    """What was kept of the request classes.

    Args:
        file: Where.
    """

    def __init__(self, file: CatalogueFile) -> None:
        self._file = file

    def newest_version(self) -> int:
        """0 = none was made yet.

        Raises:
            StoreError: The file cannot be read.
        """
        return int(self._file.rows("SELECT coalesce(max(version), 0) FROM edition")[0][0])

    def edition(self, version: int) -> Edition | None:
        """One of them; None = there is none, or it has made room.

        Raises:
            StoreError: The file cannot be read.
        """
        query = f"SELECT {_EDITION} FROM edition WHERE version = ?"  # noqa: S608 - a constant
        found = self._file.rows(query, (version,))
        return self._edition(found[0]) if found else None

    def editions(self, *, before: int | None = None, most: int = 100) -> tuple[Edition, ...]:
        """The newest first.

        Args:
            before: Only older ones; None = from the newest on.
            most: So many of them.

        Raises:
            StoreError: The file cannot be read.
        """
        query = (
            f"SELECT {_EDITION} FROM edition WHERE version < ? "  # noqa: S608 - a constant
            "ORDER BY version DESC LIMIT ?"
        )
        rows = self._file.rows(query, (2**62 if before is None else before, most))
        return tuple(self._edition(row) for row in rows)

    def deeds(self, *, before: int | None = None, most: int = 100) -> tuple[tuple[int, Deed], ...]:
        """Numbered lines of the record, the newest first.

        Raises:
            StoreError: The file cannot be read.
        """
        rows = self._file.rows(
            "SELECT id, at_s, name, role, action, version FROM deed WHERE id < ? "
            "ORDER BY id DESC LIMIT ?",
            (2**62 if before is None else before, most),
        )
        return tuple(
            (number, Deed(at_s=at_s, by=_actor(name, role), action=action, version=version))
            for number, at_s, name, role, action, version in rows
        )

    def append(
        self,
        document: Mapping[str, Any] | None,
        *,
        expected: int,
        by: Actor,
        action: str,
        base: str,
        at_s: float,
    ) -> Edition:
        """Make an edition, with its line in the record.

        Args:
            document: The classes; None = follow the file.
            expected: Version of the newest edition, as far as the author knows.
            by: The author.
            action: What was done.
            base: Digest of the file's classes.
            at_s: When.

        Raises:
            StaleEditError: Another one is the newest.
            EditError: It is too large.
            StoreError: It cannot be kept; nothing was.
        """
        text = None if document is None else json.dumps(document, separators=(",", ":"))
        if text is not None and len(text) > LARGEST:
            raise EditError(
                f"classes: take {len(text)} characters, at most {LARGEST} can be kept; leave "
                "some out"
            )
        with self._file.transaction():
            newest = self.newest_version()
            if newest != expected:
                raise StaleEditError(
                    f"version is {newest}, not {expected}: somebody else has changed the classes; "
                    "read them again and repeat the change"
                )
            made = Edition(
                version=newest + 1, at_s=at_s, by=by, action=action, base=base, document=document
            )
            self._file.write(
                "INSERT INTO edition VALUES (?, ?, ?, ?, ?, ?, ?)",
                (made.version, at_s, by.name, by.role.value, action, base, text),
            )
            self.note_within(Deed(at_s=at_s, by=by, action=action, version=made.version))
            self._make_room()
        return made

    def note_within(self, deed: Deed) -> None:
        """Add a line to the record, within a transaction of the caller's.

        Raises:
            StoreError: It cannot be kept.
        """
        self._file.write(
            "INSERT INTO deed (at_s, name, role, action, version) VALUES (?, ?, ?, ?, ?)",
            (deed.at_s, deed.by.name, deed.by.role.value, deed.action, deed.version),
        )
        self._file.write(
            "DELETE FROM deed WHERE id <= (SELECT max(id) FROM deed) - ?", (MOST_DEEDS,)
        )

    def _make_room(self) -> None:
        """The newest stay, as many as fit."""
        rows = self._file.rows(
            "SELECT version, coalesce(length(document), 0) FROM edition ORDER BY version DESC"
        )
        total = 0
        for count, (version, length) in enumerate(rows):
            total += length
            if count >= MOST_EDITIONS or (count and total > MOST_CHARACTERS):
                self._file.write("DELETE FROM edition WHERE version <= ?", (version,))
                return

    def _edition(self, row: tuple[Any, ...]) -> Edition:
        version, at_s, name, role, action, base, text = row
        document, damage = None, ""
        try:
            document = None if text is None else _mapping(json.loads(text))
        except ValueError as error:
            # One that is damaged must not take the others with it.
            damage = f"store {self._file.path}: version {version} is damaged ({error})"
        return Edition(
            version=version,
            at_s=at_s,
            by=_actor(name, role),
            action=action,
            base=base,
            document=document,
            damage=damage,
        )


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"holds {value!r:.40}, no classes")  # noqa: TRY004 - as other damage
    return value


def _actor(name: str, role: str) -> Actor:
    return Actor(name=name, role=Role(role))
