"""This module is table after table in Envoy's words, in which only what changed is made anew.

A plan moves weights. Clusters, and which nodes stand in those of keyed classes, follow from fleet
and classes alone; of 1,000 cells and 50 classes they are nine tenths of all messages, and are
made, packed and hashed once. What comes out is what `render` says, to the byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from google.protobuf.message import Message

from foreshard.adapters.routing.envoy.assignment import Assignments
from foreshard.adapters.routing.envoy.clusters import (
    free_cluster,
    free_name,
    keyed_cluster,
    keyed_name,
)
from foreshard.adapters.routing.envoy.endpoints import keyed_assignment
from foreshard.adapters.routing.envoy.listener import LISTENER_NAME, listener
from foreshard.adapters.routing.envoy.render import backups_of, homes_of, row_for
from foreshard.adapters.routing.envoy.resources import (
    CLUSTER_TYPE,
    ENDPOINT_TYPE,
    LISTENER_TYPE,
    ROUTE_TYPE,
    SCOPED_ROUTE_TYPE,
)
from foreshard.adapters.routing.envoy.routes import LARGEST_SUM, route_table, scope
from foreshard.adapters.routing.envoy.settings import EnvoySettings
from foreshard.adapters.routing.envoy.snapshot import Served, serve, served_as
from foreshard.model.routing import ClassRoute, RoutingTable, Row, SlotRow, WeightRow
from foreshard.model.topology import Cell

__all__ = ["Renderer"]

ByName = Mapping[str, Served]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """One class as one origin's proxies see it.

    Attributes:
        route: It was made of.
        row: The same.
        only_able: No cell owns slots that may not serve the class.
        by_type: Its resources.
    """

    route: ClassRoute
    row: Row
    only_able: bool
    by_type: Mapping[str, ByName]

    def has_homes_of(self, route: ClassRoute, row: Row) -> bool:
        """Whether clusters and their nodes are those of another table of the class."""
        before = self.route
        if before.request_class != route.request_class:
            return False
        if not isinstance(row, SlotRow):
            return True
        if before.backups is not route.backups and before.backups != route.backups:
            return False
        homes = self.by_type[CLUSTER_TYPE]
        name = route.request_class.name
        return self.only_able and all(
            not owner or keyed_name(name, owner) in homes for owner in row.counts()
        )


@dataclass(slots=True)
class _Known:
    """What holds as long as the cells stay what they are."""

    cells: tuple[Cell, ...] = ()
    by_name: Mapping[str, Cell] = field(default_factory=dict)
    assignments: Assignments = field(default_factory=lambda: Assignments({}))
    parts: dict[tuple[str, str], _Part] = field(default_factory=dict)
    clusters: dict[tuple[str, bool], Served] = field(default_factory=dict)
    homes: dict[tuple[str, tuple[str, ...]], Served] = field(default_factory=dict)
    door: tuple[object, Served] | None = None


class Renderer:
    """A `Render` that remembers; of one thread at a time.

    Args:
        settings: Of the proxies.
    """

    def __init__(self, settings: EnvoySettings) -> None:
        self._settings = settings
        self._known = _Known()

    def __call__(self, table: RoutingTable, origin: str) -> Mapping[str, ByName]:
        """Everything an Envoy in a region needs, see `render`.

        Raises:
            SinkError: As there.
        """
        if self._known.cells != table.cells:
            by_name = {cell.name: cell for cell in table.cells}
            self._known = _Known(
                cells=table.cells, by_name=by_name, assignments=Assignments(by_name)
            )
        found: dict[str, dict[str, Served]] = {
            type_url: {} for type_url in (CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE)
        }
        found |= {SCOPED_ROUTE_TYPE: {}, ROUTE_TYPE: {}}
        for route in table.classes:
            for type_url, of_type in self._part(route, origin).by_type.items():
                found[type_url] |= of_type
        found[LISTENER_TYPE][LISTENER_NAME] = self._door(table)
        return found

    def _part(self, route: ClassRoute, origin: str) -> _Part:
        key = (origin, route.request_class.name)
        old, row = self._known.parts.get(key), route.rows.get(origin)
        is_same = old is not None and row is not None and old.has_homes_of(route, row)
        if old is not None and is_same and old.row == row:
            return old
        row = row_for(route, origin, self._known.by_name)
        name = route.request_class.name
        if old is not None and is_same and _is_told_alike(old.row, row):
            by_type = {t: old.by_type[t] for t in (ROUTE_TYPE, SCOPED_ROUTE_TYPE)}
        else:
            by_type = {
                ROUTE_TYPE: _one(ROUTE_TYPE, name, route_table(route, row, self._settings)),
                SCOPED_ROUTE_TYPE: _one(SCOPED_ROUTE_TYPE, name, scope(name)),
            }
        only_able = True
        match row:
            case WeightRow():
                by_type |= self._free(name, row)
            case SlotRow():
                able = route.request_class
                only_able = all(
                    not owner or able.allows_cell(self._known.by_name[owner])
                    for owner in row.counts()
                )
                if old is not None and is_same:
                    by_type |= {t: old.by_type[t] for t in (CLUSTER_TYPE, ENDPOINT_TYPE)}
                else:
                    by_type |= self._keyed(route, row, origin)
        part = _Part(route=route, row=row, only_able=only_able, by_type=by_type)
        self._known.parts[key] = part
        return part

    def _free(self, name: str, row: WeightRow) -> Mapping[str, ByName]:
        cluster = free_name(name)
        nodes = self._known.assignments.free(cluster, row.weights, self._settings)
        return {
            CLUSTER_TYPE: {cluster: self._cluster(cluster)},
            ENDPOINT_TYPE: {cluster: served_as(ENDPOINT_TYPE, cluster, nodes)},
        }

    def _keyed(self, route: ClassRoute, row: SlotRow, origin: str) -> Mapping[str, ByName]:
        known, name = self._known, route.request_class.name
        clusters: dict[str, Served] = {}
        endpoints: dict[str, Served] = {}
        for home in homes_of(route, row, known.cells, origin):
            cluster = keyed_name(name, home.name)
            owns = route.request_class.data is not None
            clusters[cluster] = self._cluster(cluster, is_keyed=True, owns_data=owns)
            backups = backups_of(route, home, known.by_name, origin)
            key = (cluster, tuple(cell.name for cell in backups))
            if key not in known.homes:
                nodes = keyed_assignment(cluster, home, backups)
                known.homes[key] = serve(ENDPOINT_TYPE, cluster, nodes)
            endpoints[cluster] = known.homes[key]
        return {CLUSTER_TYPE: clusters, ENDPOINT_TYPE: endpoints}

    def _cluster(self, name: str, *, is_keyed: bool = False, owns_data: bool = False) -> Served:
        """Of a name that says which kind it is; all origins have the same."""
        known = self._known.clusters
        if (name, owns_data) not in known:
            message = (
                keyed_cluster(name, self._settings, owns_data=owns_data)
                if is_keyed
                else free_cluster(name, self._settings)
            )
            known[name, owns_data] = serve(CLUSTER_TYPE, name, message)
        return known[name, owns_data]

    def _door(self, table: RoutingTable) -> Served:
        classes = tuple(route.request_class for route in table.classes), table.default_class
        if self._known.door is None or self._known.door[0] != classes:
            message = listener(table, self._settings)
            self._known.door = classes, serve(LISTENER_TYPE, LISTENER_NAME, message)
        return self._known.door[1]


def _is_told_alike(old: Row, row: Row) -> bool:
    """Whether two rows have the same route table: nodes, not routes, have a free class's weights.

    A sum that is too large is left to the route table, which refuses it.
    """
    return (
        isinstance(old, WeightRow)
        and isinstance(row, WeightRow)
        and not (old.shed or row.shed)
        and sum(row.weights.values()) <= LARGEST_SUM
    )


def _one(type_url: str, name: str, message: Message) -> ByName:
    return {name: serve(type_url, name, message)}
