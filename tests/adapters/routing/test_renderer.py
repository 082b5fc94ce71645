from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from foreshard.adapters.routing.envoy.render import render
from foreshard.adapters.routing.envoy.renderer import Renderer
from foreshard.adapters.routing.envoy.resources import (
    CLUSTER_TYPE,
    ENDPOINT_TYPE,
    LISTENER_TYPE,
    ROUTE_TYPE,
)
from foreshard.adapters.routing.envoy.settings import EnvoySettings
from foreshard.adapters.routing.envoy.snapshot import Served, serve
from foreshard.model.errors import SinkError
from foreshard.model.routing import RoutingTable
from foreshard.model.workload import OwnedData
from tests.adapters.routing.envoy_tables import (
    CHECKOUT,
    REPORT,
    SEARCH,
    cells,
    free_route,
    keyed_route,
    table,
)

SETTINGS = EnvoySettings(listen_port=10_000)
NAMES = ("eu-1", "eu-2", "eu-3", "us-1")
FLEETS = (cells(*NAMES), cells(*NAMES[:3]), cells(*NAMES, nodes=2))
DATA = OwnedData(replicas={"eu-1": ("eu-2",), "eu-2": ("eu-1",)})
KEYED = (
    CHECKOUT,
    replace(CHECKOUT, data=DATA),
    replace(CHECKOUT, regions=frozenset({"eu"})),
    replace(CHECKOUT, cells=frozenset({"eu-1", "eu-2"})),
)


@st.composite
def tables(draw: st.DrawFn) -> RoutingTable:
    fleet = draw(st.sampled_from(FLEETS))
    names = [cell.name for cell in fleet]
    owners = draw(st.lists(st.sampled_from(names), min_size=2, max_size=2))
    keyed = keyed_route(draw(st.sampled_from(KEYED)), [(o, 2048) for o in owners], fleet)
    if draw(st.booleans()):
        keyed = replace(keyed, backups={})
    if draw(st.booleans()):
        keyed = replace(keyed, backups={"eu-1": ("eu-2",), "eu-2": ("eu-1",)})
    weights = draw(
        st.dictionaries(st.sampled_from(names), st.integers(1, 3), min_size=1, max_size=3)
    )
    first = replace(SEARCH, timeout_s=draw(st.sampled_from([2.5, 3.0])))
    routes = [keyed, free_route(first, weights), free_route(REPORT, dict.fromkeys(names, 1))]
    return table(fleet, *draw(st.permutations(routes)))


def packed(routing: RoutingTable, origin: str) -> Mapping[str, Mapping[str, Served]] | str:
    try:
        resources = render(routing, origin=origin, settings=SETTINGS)
    except SinkError as error:
        return str(error)
    return {t: {n: serve(t, n, m) for n, m in found.items()} for t, found in resources.items()}


def remembered(
    renderer: Renderer, routing: RoutingTable, origin: str
) -> Mapping[str, Mapping[str, Served]] | str:
    try:
        return renderer(routing, origin)
    except SinkError as error:
        return str(error)


@given(st.lists(tables(), min_size=1, max_size=6))
def test_whatever_came_before_the_messages_are_those_of_a_table_rendered_alone(
    line: list[RoutingTable],
) -> None:
    renderer = Renderer(SETTINGS)
    for routing in line:
        for origin in ("eu", "us"):
            assert remembered(renderer, routing, origin) == packed(routing, origin)


def test_what_did_not_change_is_not_made_again() -> None:
    renderer, fleet = Renderer(SETTINGS), FLEETS[0]
    runs = [("eu-1", 2048), ("eu-2", 2048)]
    search = free_route(SEARCH, {"eu-1": 1})
    before = renderer(table(fleet, keyed_route(CHECKOUT, runs, fleet), search), "eu")
    after = renderer(table(fleet, keyed_route(CHECKOUT, runs[::-1], fleet), search), "eu")
    for type_url in (CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE):
        for name, one in before[type_url].items():
            assert after[type_url][name] is one
    assert after[ROUTE_TYPE]["search"] is before[ROUTE_TYPE]["search"]
    assert after[ROUTE_TYPE]["checkout"] != before[ROUTE_TYPE]["checkout"]
