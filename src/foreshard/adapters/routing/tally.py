"""This module is which paths were asked for since somebody last wanted to know, in bounded room.

Paths come from outside: whoever invents a new one each time fills a table, and no more. What a
service does not know (404 and its like) is no path of it, whoever asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from math import isfinite

from foreshard.model.sighting import Sighting, Sightings

__all__ = ["METHODS", "Tally"]

MOST_PATHS, MOST_CHARACTERS, MOST_RESOURCES = 4_000, 500, 16
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
"""Those that name work; OPTIONS, TRACE and CONNECT ask the server, not the service."""
UNKNOWN = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.GONE,
        HTTPStatus.REQUEST_URI_TOO_LONG,
        HTTPStatus.NOT_IMPLEMENTED,
    }
)


class Tally:
    """Adds up until it is taken."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, str], float] = {}
        self._told: dict[tuple[str, str], dict[str, tuple[float, float]]] = {}
        self._left_out = 0.0

    def add(
        self,
        method: str,
        path: str,
        *,
        requests: float = 1.0,
        told: Mapping[str, tuple[float, float]] | None = None,
        status: int = HTTPStatus.OK,
    ) -> None:
        """Count a path; never raises, for what is no path is only left out.

        Args:
            method: In capitals.
            path: What follows `?` or `#` is not kept: it may be anybody's secret.
            requests: How often, > 0.
            told: By resource, how many of them said what they cost, and the sum.
            status: What it was answered with.
        """
        if status in UNKNOWN:
            return
        plain = path.partition("?")[0].partition("#")[0]
        key = method, plain
        is_path = method in METHODS and plain.startswith("/") and len(plain) <= MOST_CHARACTERS
        has_room = key in self._requests or len(self._requests) < MOST_PATHS
        if not is_path or not has_room:
            self._left_out += requests
            return
        self._requests[key] = self._requests.get(key, 0.0) + requests
        for resource, (count, total) in (told or {}).items():
            self._tell(key, resource, count, total)

    def take(self) -> Sightings:
        """What was counted since the last time; it begins anew."""
        seen = tuple(
            Sighting(method=method, path=path, requests=requests, told=self._told.get(key, {}))
            for key, requests in self._requests.items()
            for method, path in [key]
        )
        heard = Sightings(seen=seen, left_out=self._left_out)
        self._requests, self._told, self._left_out = {}, {}, 0.0
        return heard

    def add_all(self, seen: Iterable[Sighting]) -> None:
        """Count what somebody else has counted."""
        for each in seen:
            self.add(each.method, each.path, requests=each.requests, told=each.told)

    def _tell(self, key: tuple[str, str], resource: str, count: float, total: float) -> None:
        costs = self._told.setdefault(key, {})
        if resource not in costs and len(costs) >= MOST_RESOURCES:
            return
        before = costs.get(resource, (0.0, 0.0))
        sums = before[0] + count, before[1] + total
        if sums[0] > 0.0 and sums[1] >= 0.0 and isfinite(sums[0]) and isfinite(sums[1]):
            costs[resource] = sums
