"""This module is which request classes hold: the newest edition that fits, else the file's.

An edition that was made over the API goes before the file, whatever the file says since, until
somebody rolls back to version 0; that the file has changed is said. One that no longer fits (a
cell is gone) is passed over for the one before it, loudly, and at last for the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from foreshard.adapters.store.catalogue_file import CatalogueFile
from foreshard.adapters.store.editions import Editions
from foreshard.app.places import catalogue_dir
from foreshard.config import Settings
from foreshard.config.catalogue import Catalogue, Footing
from foreshard.model.catalogue import Edition
from foreshard.model.category import Tag
from foreshard.model.errors import EditError, StoreError

__all__ = ["Held", "held", "newest_held", "tags_of"]

log = structlog.get_logger(__name__)

# Editions that are tried before the file is taken.
MOST_TRIED = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The classes that hold.

    Attributes:
        version: Of the edition; 0 = none was made.
        catalogue: The classes.
        passed_over: Why newer editions do not hold, by version.
        is_file_ignored: Whether the file has changed since the edition was made.
    """

    version: int
    catalogue: Catalogue
    passed_over: tuple[tuple[int, str], ...] = ()
    is_file_ignored: bool = False


def held(edition: Edition | None, footing: Footing) -> Held:
    """What an edition holds; None = there is none.

    Raises:
        EditError: It does not fit to the configuration any more, or is damaged.
    """
    if edition is None:
        return Held(version=0, catalogue=footing.file)
    if edition.damage:
        raise EditError(f"{edition.damage}; roll back to another version")
    if edition.document is None:
        return Held(version=edition.version, catalogue=footing.file)
    return Held(
        version=edition.version,
        catalogue=footing.restored(edition.document),
        is_file_ignored=edition.base != footing.file.digest,
    )


def tags_of(catalogue: Catalogue) -> Mapping[str, Tag]:
    """What persons say of classes, as the profiler takes it."""
    return {
        name: Tag(
            request_class=name,
            category=said.category,
            by=said.by or "unknown",
            at_s=said.at_s,
            note=said.note,
        )
        for name, said in catalogue.tags.items()
    }


def newest_held(settings: Settings) -> Held:
    """What holds when a process starts; never raises for what was kept, but says so."""
    footing, passed = Footing(settings), list[tuple[int, str]]()
    directory = catalogue_dir(settings)
    if not CatalogueFile.is_in(directory):
        return Held(version=0, catalogue=footing.file)
    try:
        with CatalogueFile(directory) as file:
            for edition in Editions(file).editions(most=MOST_TRIED):
                try:
                    found = held(edition, footing)
                except EditError as error:
                    log.error("classes.passed_over", version=edition.version, because=str(error))  # noqa: TRY400 - said whole
                    passed.append((edition.version, str(error)))
                    continue
                _say(found)
                return Held(
                    version=found.version,
                    catalogue=found.catalogue,
                    passed_over=tuple(passed),
                    is_file_ignored=found.is_file_ignored,
                )
    except StoreError as error:
        log.error("classes.unreadable", error=str(error), effect="the file's classes hold")  # noqa: TRY400 - said whole
    return Held(version=0, catalogue=footing.file, passed_over=tuple(passed))


def _say(found: Held) -> None:
    if found.is_file_ignored:
        log.warning(
            "classes.file_ignored",
            version=found.version,
            because="classes were changed over the API; roll back to version 0 to follow the file",
        )
