"""This module is who changed the request classes, when and to what: editions and their authors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from foreshard.model.errors import InvalidValueError

__all__ = ["Actor", "Deed", "Edit", "Edition", "Role", "Token"]


class Role(StrEnum):
    """What somebody may do; each may do what those before may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def may(self, needed: Role) -> bool:
        """Whether it reaches so far."""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(needed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who does something, and as what."""

    name: str
    role: Role

    def __post_init__(self) -> None:
        if not self.name or len(self.name) > 100 or not self.name.isprintable():
            raise InvalidValueError(
                f"name {self.name!r}: must be 1 to 100 characters that can be printed"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """One version of the request classes.

    Attributes:
        version: 1, 2, 3 and so on; 0 is what the configuration file says.
        at_s: When it was made, seconds since the epoch.
        by: Who made it.
        action: What was done, in a few words.
        base: Digest of the file's classes at that time.
        document: The classes, as JSON values; None = follow the file.
        damage: Why the document cannot be read; "" = it can.
    """

    version: int
    at_s: float
    by: Actor
    action: str
    base: str
    document: Mapping[str, Any] | None
    damage: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One line of the audit record.

    Attributes:
        at_s: When.
        by: Who.
        action: What.
        version: Of the classes that it made; None = it made none.
    """

    at_s: float
    by: Actor
    action: str
    version: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A key to the API, without its secret.

    Attributes:
        id: By which it is called.
        holder: Who has it.
        created_s: When it was made.
        expires_s: When it ends by itself; None = never.
        revoked_s: When it was taken back; None = it was not.
    """

    id: str
    holder: Actor
    created_s: float
    expires_s: float | None = None
    revoked_s: float | None = None

    def is_good(self, now_s: float) -> bool:
        """Whether it opens anything now."""
        return self.revoked_s is None and (self.expires_s is None or now_s < self.expires_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """Who wants to change something, and what he takes it to be.

    Attributes:
        by: Who.
        tags: Entity tags of which one must be that of the newest edition; None = any.
        taken_ratio: Part of the traffic of a class that a new one is reckoned to take from it.
        is_dry_run: Whether it is only to be said what the change would move.
    """

    by: Actor
    tags: tuple[str, ...] | None
    taken_ratio: float = 0.0
    is_dry_run: bool = False
