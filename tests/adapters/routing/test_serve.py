"""The `serve` process on real Envoys, in both dialects of discovery."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from google.protobuf.duration_pb2 import Duration

from foreshard.adapters.routing.bill import ReportedCosts
from foreshard.adapters.routing.client import ServeSink
from foreshard.adapters.routing.envoy.resources import (
    CLUSTER_TYPE,
    ENDPOINT_TYPE,
    ROUTE_TYPE,
    Resources,
)
from foreshard.adapters.routing.serve import serving
from foreshard.model.errors import SinkError
from foreshard.model.routing import RoutingTable
from foreshard.ports import Applied, Rejected
from foreshard.testing import check_sink
from tests.adapters.routing.serve_bench import (
    Spoil,
    backends,
    cells_of,
    free_port,
    load_on,
    proxy,
    serve_settings,
    shop,
    shop_table,
    start_serve,
    until_nodes,
)

pytestmark = pytest.mark.e2e
dialects = pytest.mark.parametrize("is_incremental", [True, False], ids=["delta", "sotw"])


@dialects
async def test_a_pushed_table_moves_the_traffic(tmp_path: Path, is_incremental: bool) -> None:
    async with shop(
        tmp_path,
        "a",
        "b",
        first=lambda cells: shop_table(1, cells, search={"a": 1}),
        is_incremental=is_incremental,
    ) as running:
        assert set(await running.envoy.cells("/search")) == {"a"}
        table = shop_table(2, running.cells, search={"b": 1})

        outcome = await running.sink.apply(table)

        assert isinstance(outcome, Applied)
        assert outcome.acks == 1
        assert set(await running.envoy.cells("/search")) == {"b"}
        assert await running.sink.live() == table


@dialects
async def test_a_cell_is_added_and_removed_without_a_failed_request(
    tmp_path: Path, is_incremental: bool
) -> None:
    async with shop(
        tmp_path,
        *("a", "b", "c"),
        first=lambda cells: shop_table(1, cells[:2]),
        is_incremental=is_incremental,
    ) as running:
        cells, sink, envoy = running.cells, running.sink, running.envoy
        async with load_on(envoy) as load:
            # Named before it is used, so that its health is known when traffic comes.
            await sink.apply(shop_table(2, cells[:2], known=cells))
            await asyncio.sleep(0.3)
            await sink.apply(shop_table(3, cells))
            assert set(await envoy.cells("/search")) == {"a", "b", "c"}
            outcome = await sink.apply(shop_table(4, cells[1:]))
            assert isinstance(outcome, Applied)
            held = await envoy.clusters()
            await asyncio.sleep(0.8)
            left = held - await envoy.clusters()
        assert len(left) == 1
        assert "a" in left.pop()
        assert set(load.statuses) == {200}


def spoil_clusters(table: RoutingTable, resources: Resources) -> Resources:
    if table.version != 2:
        return resources
    bad = Cluster(name="bad", type=Cluster.STATIC, connect_timeout=Duration(seconds=-1))
    return {**resources, CLUSTER_TYPE: {**resources[CLUSTER_TYPE], "bad": bad}}


def spoil_endpoints(table: RoutingTable, resources: Resources) -> Resources:
    if table.version == 2:
        for message in resources[ENDPOINT_TYPE].values():
            address = message.endpoints[0].lb_endpoints[0].endpoint.address  # type: ignore[attr-defined]
            address.socket_address.address = "not an address"
    return resources


def spoil_routes(table: RoutingTable, resources: Resources) -> Resources:
    if table.version == 2:
        twice = resources[ROUTE_TYPE]["search"].virtual_hosts  # type: ignore[attr-defined]
        twice.append(twice[0])
    return resources


@dialects
@pytest.mark.parametrize("spoil", [spoil_clusters, spoil_endpoints, spoil_routes])
async def test_a_refused_table_is_taken_back_and_traffic_goes_on(
    tmp_path: Path, is_incremental: bool, spoil: Spoil
) -> None:
    async with shop(
        tmp_path,
        *("a", "b"),
        first=lambda cells: shop_table(1, cells, search={"a": 1}),
        is_incremental=is_incremental,
        spoil=spoil,
    ) as running:
        cells, sink, envoy = running.cells, running.sink, running.envoy
        held = await envoy.clusters()
        async with load_on(envoy) as load:
            outcome = await sink.apply(shop_table(2, cells, search={"b": 1}))

            assert isinstance(outcome, Rejected)
            nodes = await until_nodes(sink, 1)
            assert nodes[0]["nacks"] == 1
            assert nodes[0]["last_nack"]
            assert str(nodes[0]["last_nack"]) in outcome.because
            assert set(await envoy.cells("/search")) == {"a"}
            assert await envoy.clusters() == held
            assert await sink.live() == shop_table(1, cells, search={"a": 1})

            repaired = await sink.apply(shop_table(3, cells, search={"b": 1}))

            assert isinstance(repaired, Applied)
            assert set(await envoy.cells("/search")) == {"b"}
        assert set(load.statuses) == {200}


@dialects
async def test_a_killed_serve_comes_back_and_nothing_is_reloaded(
    tmp_path: Path, is_incremental: bool
) -> None:
    listen, port = free_port(), free_port()
    serve = await start_serve(tmp_path, {"eu": listen}, port=port)
    try:
        async with backends("a", "b") as running, ServeSink(tmp_path) as sink:
            cells = cells_of(running)
            await sink.apply(shop_table(1, cells))
            async with proxy(
                port, tmp_path, listen_port=listen, is_incremental=is_incremental
            ) as envoy:
                await envoy.until_open()
                await until_nodes(sink, 1)
                async with load_on(envoy) as load:
                    before = await envoy.stats("update_success")
                    assert before
                    serve.kill()
                    await serve.wait()
                    with pytest.raises(SinkError, match="cannot be reached"):
                        await sink.live()
                    serve = await start_serve(tmp_path, {"eu": listen}, port=port)
                    assert await sink.live() == shop_table(1, cells)
                    await until_nodes(sink, 1)
                    await asyncio.sleep(0.1)
                    assert await envoy.stats("update_success") == before
                    adopted = await sink.apply(shop_table(1, cells, search={"b": 1}))
                    assert isinstance(adopted, Applied)
                    assert set(await envoy.cells("/search")) == {"b"}
        assert set(load.statuses) == {200}
        assert load.statuses[200] > 20
    finally:
        serve.kill()
        await serve.wait()


async def test_an_envoy_that_waits_gets_the_first_table(tmp_path: Path) -> None:
    listen = free_port()
    async with (
        backends("a", "b") as running,
        serving(serve_settings(tmp_path, {"eu": listen})) as port,
        ServeSink(tmp_path) as sink,
    ):
        waiting = proxy(port, tmp_path, listen_port=listen)
        entering = asyncio.create_task(waiting.__aenter__())
        try:
            nodes: object = []
            while not nodes:
                await asyncio.sleep(0.02)
                nodes = (await sink.status())["nodes"]
            outcome = await sink.apply(shop_table(1, cells_of(running)))
            assert isinstance(outcome, Applied)
            await (await entering).until_open()
        finally:
            await entering
            await waiting.__aexit__(None, None, None)


async def test_a_proxy_that_comes_later_gets_its_own_regions_view(tmp_path: Path) -> None:
    ports = {"eu": free_port(), "us": free_port()}
    async with (
        backends("a", "b") as running,
        serving(serve_settings(tmp_path, ports)) as port,
        ServeSink(tmp_path) as sink,
    ):
        cells = cells_of(running)
        alone = await sink.apply(shop_table(1, cells, origins=("eu", "us")))
        assert alone == Applied(version=1, acks=0, push_to_ack_s=0.0)
        async with (
            proxy(port, tmp_path, listen_port=ports["eu"]) as eu,
            proxy(port, tmp_path, listen_port=ports["us"], region="us") as us,
        ):
            await eu.until_open()
            await us.until_open()
            nodes = await until_nodes(sink, 2)
            assert {node["region"] for node in nodes} == {"eu", "us"}
            both = await sink.apply(shop_table(2, cells, search={"b": 1}, origins=("eu", "us")))
            assert isinstance(both, Applied)
            assert both.acks == 2
            assert set(await us.cells("/search")) == set(await eu.cells("/search")) == {"b"}


@pytest.mark.parametrize(
    "said", ["TEXT named_metrics.cost.cpu=0.25", 'JSON {"request_cost": {"cpu": 0.25}}']
)
async def test_load_reports_arrive_each_second_with_what_requests_say_they_cost(
    tmp_path: Path, said: str
) -> None:
    async with shop(
        tmp_path, "a", "b", first=lambda cells: shop_table(1, cells), said=said
    ) as running:
        costs = ReportedCosts(running.sink)
        assert await costs.read() == ()
        async with asyncio.timeout(8), load_on(running.envoy):
            while True:
                nodes = (await running.sink.load())["nodes"]
                assert isinstance(nodes, list)
                totals = nodes[0]["totals"] if nodes else {}
                if any(one["success"] for one in totals.values()):
                    break
                await asyncio.sleep(0.1)
        newest = next(iter(nodes[0]["clusters"].values()))
        assert newest["localities"][0]["endpoints"][0]["host"] == "127.0.0.1"
        told = await costs.read()
        assert told
        for report in told:
            assert report.request_class in {"search", "checkout"}
            assert report.total == {"cpu": pytest.approx(0.25 * report.requests)}


async def test_envoys_tell_paths_that_match_no_class_with_what_they_cost(tmp_path: Path) -> None:
    said = "TEXT named_metrics.cost.cpu=0.25"
    async with shop(
        tmp_path, "a", "b", first=lambda cells: shop_table(1, cells), said=said
    ) as running:
        heard: dict[str, float] = {}
        async with asyncio.timeout(20):
            # One of ten is told.
            while sum(heard.values()) < 5:
                for n in range(50):
                    await running.envoy.ask(f"/exports/{n % 2}?secret={n}")
                    await running.envoy.ask("/checkout", method="POST")
                for each in (await running.sink.take_sightings()).seen:
                    assert each.method == "GET"
                    assert each.told == {"cpu": (each.requests, 0.25 * each.requests)}
                    heard[each.path] = heard.get(each.path, 0.0) + each.requests
        assert set(heard) <= {"/exports/0", "/exports/1", "/search"}


async def test_the_sink_keeps_the_contract_of_sinks(tmp_path: Path) -> None:
    async with shop(
        tmp_path,
        *("a", "b"),
        first=lambda cells: shop_table(1, cells),
        spoil=lambda table, resources: spoil_routes(
            replace(table, version=2 if table.version == 20 else 1), resources
        ),
    ) as running:
        cells = running.cells
        await check_sink(running.sink, shop_table(10, cells), refused=shop_table(20, cells))
