"""This module is of which class a request is, as balancers decide it."""

from __future__ import annotations

from collections.abc import Mapping

from foreshard.config.catalogue import Catalogue
from foreshard.router.path import normalised

__all__ = ["Matcher"]


class Matcher:
    """Finds classes by the rules of a catalogue.

    Args:
        catalogue: The classes.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._matches = [(each.name, each.match.noun()) for each in catalogue.classes]

    def find(self, method: str, path: str, headers: Mapping[str, str]) -> str | None:
        """The first class that takes a request; None = it goes to the default."""
        low = {name.lower(): value for name, value in headers.items()}
        plain = normalised(path)
        takers = (name for name, match in self._matches if match.takes(method, plain, low))
        return next(takers, None)
