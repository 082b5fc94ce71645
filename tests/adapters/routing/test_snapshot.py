"""What a region's proxies are meant to hold."""

from __future__ import annotations

import weakref
from dataclasses import replace

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster

from foreshard.adapters.routing.envoy.resources import (
    CLUSTER_TYPE,
    ENDPOINT_TYPE,
    LISTENER_TYPE,
    ROUTE_TYPE,
    Resources,
)
from foreshard.adapters.routing.envoy.snapshot import snapshot, views
from foreshard.model.errors import SinkError
from foreshard.model.routing import RoutingTable
from foreshard.model.topology import Cell, Node
from tests.adapters.routing.serve_bench import shop_table
from tests.adapters.routing.xds_peer import small_world

CELL = Cell(name="a", region="eu", zone="eua", nodes=(Node(host="127.0.0.1", port=1),))
WORLD = small_world({"r": ["c0", "c1"]})


def render(table: RoutingTable, origin: str) -> Resources:
    for route in table.classes:
        assert origin in route.rows
    return small_world({origin: ["c0"]})


async def test_equal_content_has_equal_versions_and_other_content_has_not() -> None:
    one, two = await snapshot(WORLD), await snapshot(small_world({"r": ["c1", "c0"]}))
    other = await snapshot(small_world({"r": ["c0"]}))
    assert one == two
    assert one.of(ROUTE_TYPE)["r"].version != other.of(ROUTE_TYPE)["r"].version
    assert one.of(CLUSTER_TYPE)["c0"] == other.of(CLUSTER_TYPE)["c0"]


@pytest.mark.parametrize("type_url", [CLUSTER_TYPE, LISTENER_TYPE])
async def test_an_empty_configuration_is_never_made(type_url: str) -> None:
    with pytest.raises(SinkError, match="an empty one is never sent"):
        await snapshot({**WORLD, type_url: {}})


@pytest.mark.parametrize("type_url", [ENDPOINT_TYPE, ROUTE_TYPE])
async def test_what_is_named_must_be_there(type_url: str) -> None:
    with pytest.raises(SinkError, match="which is missing"):
        await snapshot({**WORLD, type_url: {}})


async def test_a_cluster_may_name_its_endpoints_otherwise() -> None:
    cluster = Cluster(name="c0", type=Cluster.EDS)
    cluster.eds_cluster_config.service_name = "c1"
    taken = await snapshot({**WORLD, CLUSTER_TYPE: {"c0": cluster}})
    assert taken.of(CLUSTER_TYPE)["c0"].refers == "c1"


async def test_each_origin_has_its_view_and_a_stranger_the_first() -> None:
    found = await views(shop_table(1, (CELL,), origins=("us", "eu")), render)
    assert set(found.of("us").of(ROUTE_TYPE)) == {"us"}
    assert set(found.of("eu").of(ROUTE_TYPE)) == {"eu"}
    assert found.of("ap") == found.of("") == found.of("eu")


async def test_a_class_without_a_row_for_an_origin_lends_its_first() -> None:
    table = shop_table(1, (CELL,), origins=("us", "eu"))
    checkout, search = table.classes
    partly = replace(search, rows={"us": search.rows["us"]})
    found = await views(replace(table, classes=(checkout, partly)), render)
    assert set(found.by_origin) == {"eu", "us"}


async def test_a_table_without_any_row_is_refused() -> None:
    table = shop_table(1, (CELL,))
    empty = tuple(replace(route, rows={}) for route in table.classes)
    with pytest.raises(SinkError, match="no class has a row"):
        await views(replace(table, classes=empty), render)


async def test_news_are_what_is_new_or_has_another_version() -> None:
    one, two = await snapshot(small_world({"r": ["c0"]})), await snapshot(WORLD)
    assert [each.name for each in two.news(CLUSTER_TYPE, one)] == ["c1"]
    assert [each.name for each in two.news(ROUTE_TYPE, one)] == ["r"]
    assert two.news(CLUSTER_TYPE, two) == ()
    assert [each.name for each in two.news(CLUSTER_TYPE, one)] == ["c1"]
    assert one.news(CLUSTER_TYPE, two) == ()


async def test_a_goal_does_not_keep_the_one_before_it_alive() -> None:
    one, two = await snapshot(small_world({"r": ["c0"]})), await snapshot(WORLD)
    assert two.news(CLUSTER_TYPE, one)
    before = weakref.ref(one)
    del one
    assert before() is None
