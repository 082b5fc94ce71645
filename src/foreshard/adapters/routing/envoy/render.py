"""This module is the neutral table in Envoy's words, as one region's proxies see it.

Everything that Envoy would refuse, or accept and then answer with 503, is refused here with
its name: the messages are whole, or there are none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from google.protobuf.message import Message

from foreshard.adapters.routing.envoy.clusters import (
    free_cluster,
    free_name,
    keyed_cluster,
    keyed_name,
)
from foreshard.adapters.routing.envoy.endpoints import free_assignment, keyed_assignment
from foreshard.adapters.routing.envoy.listener import LISTENER_NAME, listener
from foreshard.adapters.routing.envoy.resources import (
    CLUSTER_TYPE,
    ENDPOINT_TYPE,
    LISTENER_TYPE,
    ROUTE_TYPE,
    SCOPED_ROUTE_TYPE,
    Resources,
)
from foreshard.adapters.routing.envoy.routes import route_table, scope
from foreshard.adapters.routing.envoy.settings import EnvoySettings
from foreshard.model.errors import SinkError
from foreshard.model.routing import ClassRoute, RoutingTable, Row, SlotRow, WeightRow
from foreshard.model.topology import Cell

__all__ = ["render"]


def render(table: RoutingTable, *, origin: str, settings: EnvoySettings) -> Resources:
    """Everything an Envoy in a region needs, by type and name, complete in itself.

    Args:
        table: What is to be live.
        origin: Region of the proxy; every class must have a row for it.
        settings: Of the proxies.

    Raises:
        SinkError: The table has no row for the origin, names a cell that it does not hold, or
            holds something that Envoy would refuse.
    """
    cells = {cell.name: cell for cell in table.cells}
    clusters: dict[str, Message] = {}
    endpoints: dict[str, Message] = {}
    routes: dict[str, Message] = {}
    scopes: dict[str, Message] = {}
    for route in table.classes:
        name = route.request_class.name
        row = _row(route, origin)
        _refuse_abroad(route, row, cells, origin)
        match row:
            case WeightRow():
                cluster = free_name(name)
                clusters[cluster] = free_cluster(cluster, settings)
                endpoints[cluster] = free_assignment(cluster, row.weights, cells, settings)
            case SlotRow():
                for home in _homes(route, row, table.cells, origin):
                    cluster = keyed_name(name, home.name)
                    owns = route.request_class.data is not None
                    clusters[cluster] = keyed_cluster(cluster, settings, owns_data=owns)
                    backups = _backups(route, home, cells, origin)
                    endpoints[cluster] = keyed_assignment(cluster, home, backups)
        routes[name] = route_table(route, row, settings)
        scopes[name] = scope(name)
    return {
        CLUSTER_TYPE: clusters,
        ENDPOINT_TYPE: endpoints,
        LISTENER_TYPE: {LISTENER_NAME: listener(table, settings)},
        SCOPED_ROUTE_TYPE: scopes,
        ROUTE_TYPE: routes,
    }


def _row(route: ClassRoute, origin: str) -> Row:
    try:
        return route.rows[origin]
    except KeyError:
        raise SinkError(
            f"class {route.request_class.name}: no row for origin {origin!r}, it has "
            f"{', '.join(sorted(route.rows)) or 'none'}; plan for every region with a proxy"
        ) from None


def _refuse_abroad(route: ClassRoute, row: Row, cells: Mapping[str, Cell], origin: str) -> None:
    """Residency holds here too, whoever made the table."""
    named = row.weights if isinstance(row, WeightRow) else row.counts()
    allows = route.request_class.allows
    abroad = sorted(n for n in named if n in cells and not allows(origin, cells[n].region))
    if abroad:
        raise SinkError(
            f"class {route.request_class.name}: what comes from {origin} would go to {abroad}, in "
            "regions that may not serve it"
        )


def _homes(route: ClassRoute, row: SlotRow, cells: Iterable[Cell], origin: str) -> list[Cell]:
    owners = row.counts()
    allows = route.request_class.allows
    there = [cell for cell in cells if allows(origin, cell.region)]
    named = route.request_class.allows_cell
    return [cell for cell in cells if cell.name in owners or (cell in there and named(cell))]


def _backups(route: ClassRoute, home: Cell, cells: Mapping[str, Cell], origin: str) -> list[Cell]:
    names = [name for name in route.backups.get(home.name, ()) if name != home.name]
    unknown = [name for name in names if name not in cells]
    if unknown:
        raise SinkError(
            f"class {route.request_class.name}: backups {unknown} of {home.name} are not among "
            "the table's cells"
        )
    abroad = [n for n in names if not route.request_class.allows_cell(cells[n])]
    if abroad:
        raise SinkError(
            f"class {route.request_class.name}: backups {abroad} of {home.name} are cells "
            "that may not serve it"
        )
    data = route.request_class.data
    strange = [n for n in names if data and n not in data.replicas.get(home.name, ())]
    if strange:
        raise SinkError(
            f"class {route.request_class.name}: backups {strange} of {home.name} are none of its "
            "replicas, so they have no data to serve from"
        )
    regions = {name: cells[name].region for name in names}
    return [cells[name] for name in route.backups_from(origin, home.name, regions)]
