"""This module is one table as the router asks it: by class and origin, laid out on first use.

Names that the table does not know are answered as Envoy answers them, and are not remembered: an
origin or a class may come from outside, and what grows with what strangers write fills memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count

from foreshard.model.errors import InvalidValueError
from foreshard.model.routing import ClassRoute, RoutingTable, Row
from foreshard.model.topology import Cell
from foreshard.model.workload import RequestClass
from foreshard.router.answer import Refused
from foreshard.router.lane import Lane
from foreshard.router.path import normalised

__all__ = ["Lanes", "Place", "Turns"]

Place = tuple[str, str]
"""Class and origin of a row."""

Turns = dict[Place, Iterator[int]]
"""Numbers requests without a key, for each row, over all tables."""


class Lanes(dict[Place, Lane]):
    """Lanes by class and origin; a pair that is missing is laid out, or lent another one's.

    Args:
        table: What they say.
        refused: The answer for what is shed.
        turns: Kept over tables.
        first_turn: Number of the first request of a row that is new.
    """

    def __init__(
        self, table: RoutingTable, refused: Refused, turns: Turns, *, first_turn: int
    ) -> None:
        super().__init__()
        self.table = table
        self._refused = refused
        self._turns = turns
        self._first_turn = first_turn
        self._cells = {cell.name: cell for cell in table.cells}
        # Of two classes of one name Envoy has the last.
        self._routes = {route.request_class.name: route for route in table.classes}
        classes = [route.request_class for route in table.classes]
        self._classes = classes
        origins = {origin for route in table.classes for origin in route.rows}
        self._first_origin = min(origins, default="")
        self._origins = frozenset(origins)

    def __missing__(self, asked: Place) -> Lane:
        at = self.resolve(*asked)
        known = self.get(at)
        if known is None:
            # Two threads may both do this: they lay out the same.
            known = self[at] = self._lane(at, self._routes[at[0]].rows[at[1]])
        return known

    def resolve(self, request_class: str, origin: str) -> Place:
        """The row that answers for a class and an origin, as the Envoys of that region have it.

        A class that the table does not know is its default class. A region that no class has a
        row for is the first region by name; a class without a row for a region that others
        have one for lends it that of its own first region.

        Raises:
            KeyError: The class has no row at all.
            InvalidValueError: A name is no text.
        """
        for what, name in (("request_class", request_class), ("origin", origin)):
            if not isinstance(name, str):
                raise InvalidValueError(
                    f"{what} is {name!r} ({type(name).__name__}), must be text"
                )
        route = self._route(request_class)
        region = origin if origin in self._origins else self._first_origin
        if region not in route.rows:
            if not route.rows:
                raise KeyError(route.request_class.name)
            region = min(route.rows)
        return route.request_class.name, region

    def take_over(self, old: Lanes) -> None:
        """Lay out now what was asked for before, so that no request has to wait for it.

        A row that is still the same object is not laid out again.
        """
        is_one_fleet = self.table.cells == old.table.cells
        # A copy: others may be adding to it.
        for place, lane in list(old.items()):
            route = self._routes.get(place[0])
            row = None if route is None else route.rows.get(place[1])
            if row is not None:
                self[place] = lane if is_one_fleet and row is lane.row else self._lane(place, row)

    def classify(self, method: str, path: str, headers: Mapping[str, str]) -> RequestClass:
        """The first class that matches, else the default class."""
        plain = normalised(path)
        for request_class in self._classes:
            if request_class.match.takes(method, plain, headers):
                return request_class
        return self._route(self.table.default_class).request_class

    def backups(self, request_class: str, home: str) -> tuple[Cell, ...]:
        """See `Router.backups`."""
        names = self._route(request_class).backups.get(home, ())
        return tuple(self._cells[name] for name in names if name in self._cells)

    def _lane(self, place: Place, row: Row) -> Lane:
        turns = self._turns.setdefault(place, count(self._first_turn))
        return Lane(row, self._cells, self._refused, turns)

    def _route(self, request_class: str) -> ClassRoute:
        route = self._routes.get(request_class)
        return self._routes[self.table.default_class] if route is None else route
