"""This module is keys to the API, made and taken back by whoever may write the data directory."""

from __future__ import annotations

import time
from dataclasses import dataclass

from foreshard.adapters.store.catalogue_file import CatalogueFile
from foreshard.adapters.store.tokens import Tokens
from foreshard.app.places import catalogue_dir, private
from foreshard.config import Settings
from foreshard.model.catalogue import Actor, Role, Token

__all__ = ["Key", "all_of", "create", "revoke"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key that was just made.

    Attributes:
        token: What is kept of it.
        secret: What its holder keeps.
    """

    token: Token
    secret: str


def create(
    settings: Settings, name: str, role: Role, *, by: str, expires_s: float | None = None
) -> Key:
    """Make one.

    Raises:
        InvalidValueError: That is no name.
        StoreError: It cannot be kept.
    """
    holder = Actor(name=name, role=role)
    with private(), CatalogueFile(catalogue_dir(settings)) as file:
        token, secret = Tokens(file).create(
            holder, by=_person(by), now_s=time.time(), expires_s=expires_s
        )
    return Key(token=token, secret=secret)


def all_of(settings: Settings) -> tuple[Token, ...]:
    """All that were ever made; none where there is no file yet.

    Raises:
        StoreError: The file cannot be read.
    """
    if not CatalogueFile.is_in(catalogue_dir(settings)):
        return ()
    with CatalogueFile(catalogue_dir(settings)) as file:
        return Tokens(file).all()


def revoke(settings: Settings, token_id: str, *, by: str) -> None:
    """Take one back.

    Raises:
        NotThereError: There is none of that id.
        StoreError: It cannot be written.
    """
    with private(), CatalogueFile(catalogue_dir(settings)) as file:
        Tokens(file).revoke(token_id, by=_person(by), now_s=time.time())


def _person(name: str) -> Actor:
    """Whoever may write the data directory may do everything."""
    return Actor(name=f"{name} on the machine", role=Role.ADMIN)
