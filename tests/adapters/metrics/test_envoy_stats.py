"""This module is the balancer's counters: read as text, and from a real Envoy."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from foreshard.adapters.metrics.envoy import EnvoyAdmin, EnvoyTrafficSource
from foreshard.adapters.metrics.envoy_counts import Tally, parse_in_flight, parse_stats
from foreshard.model.errors import InvalidValueError
from foreshard.model.routing import RoutingTable
from foreshard.model.telemetry import Missing
from foreshard.model.topology import Cell, Node
from foreshard.model.workload import Flow
from foreshard.ports import BalancerReading
from tests.adapters.routing.envoy_bench import bench
from tests.adapters.routing.envoy_tables import SEARCH, free_route, table

CELLS = tuple(
    Cell(name=f"eu-{i}", region="eu", zone="a", nodes=(Node(host="127.0.0.1", port=1000 + i),))
    for i in (1, 2)
)
PAGE = """\
foreshard.arrived.class.search: {arrived}
foreshard.edge.class.search.code.200.flags.-: 9
foreshard.edge.class.search.code.429.flags.FI: 4
foreshard.edge.class.search.code.503.flags.URX,UF: 2
foreshard.slow.class.search.host.127.0.0.1:1001: 3
foreshard.try.class.search.host.127.0.0.1:1001.code.200: 8
foreshard.try.class.search.host.127.0.0.1:1001.code.503: 1
foreshard.try.class.search.host.127.0.0.1:1001.code.0: 1
foreshard.try.class.search.host.127.0.0.1:9999.code.200: 5
foreshard.try_ms.class.search.host.127.0.0.1:1001: 1500
foreshard.unheard_of.class.search: 7
server.uptime: {uptime}
"""
CLUSTERS = """\
free/search::observability_name::free/search
free/search::127.0.0.1:1001::rq_active::2
free/search::127.0.0.1:1001::rq_total::9
keyed/checkout/eu-1::127.0.0.1:1001::rq_active::3
foreshard-discovery::127.0.0.1:18000::rq_active::1
"""


def test_a_page_becomes_tallies_by_node_and_class() -> None:
    counts = parse_stats(PAGE.format(arrived=16, uptime=7))
    assert counts.arrived == {"search": 16}
    assert counts.shed == {"search": 4}
    assert counts.ended == {"search": 15}
    assert counts.tries["127.0.0.1:1001", "search"] == Tally(
        tries=10, failed=2, slow=3, time_ms=1500
    )
    assert counts.uptime_s == 7


def test_names_with_every_allowed_character_are_read() -> None:
    page = (
        "foreshard.try.class.a-b_C9.host.[::1]:80.code.200: 3\n"
        "foreshard.arrived.class.code-host: 2\n"
    )
    counts = parse_stats(page)
    assert counts.tries == {("[::1]:80", "a-b_C9"): Tally(tries=3)}
    assert counts.arrived == {"code-host": 2}


def test_requests_in_flight_are_summed_over_the_clusters_of_cells() -> None:
    assert parse_in_flight([CLUSTERS, CLUSTERS]) == {"127.0.0.1:1001": 10}


def test_a_class_that_got_nothing_has_no_latency() -> None:
    traffic = Tally().traffic(1.0)
    assert traffic.rate_rps == 0.0
    assert math.isnan(traffic.latency_mean_s)


@asynccontextmanager
async def admin_page(stats: Callable[[], str]) -> AsyncIterator[str]:
    """An admin page that tells what it is given; its address."""

    def says(text: Callable[[], str]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(_: web.Request) -> web.Response:
            page = text()
            return web.Response(text=page, status=200 if page else 500)

        return answer

    app = web.Application()
    app.router.add_get("/stats", says(stats))
    app.router.add_get("/clusters", says(lambda: CLUSTERS))
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class Times:
    """A clock that moves by two seconds a look."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += 2.0
        return self.now


async def test_growth_becomes_rates_and_ratios() -> None:
    pages = ["server.uptime: 1\n", PAGE.format(arrived=16, uptime=3)]
    async with (
        admin_page(lambda: pages.pop(0)) as address,
        EnvoyTrafficSource(
            [EnvoyAdmin(origin="eu", address=address)], CELLS, now_s=Times()
        ) as source,
    ):
        assert isinstance(await source.read(), Missing), "a rate needs two pages"
        reading = await source.read()
    assert isinstance(reading, BalancerReading)
    assert reading.interval_s == 2.0
    assert reading.demand_rps == {Flow("eu", "search"): 8.0}
    assert reading.shed_rps == {Flow("eu", "search"): 2.0}
    assert reading.traffic["eu-2"] == {}
    search = reading.traffic["eu-1"]["search"]
    assert (search.rate_rps, search.failed_ratio, search.slow_ratio) == (5.0, 0.2, 0.3)
    assert search.latency_mean_s == 0.15
    assert reading.in_flight == {"eu-1": 5.0, "eu-2": 0.0}


async def test_demand_is_told_apart_by_the_proxys_region_and_traffic_is_summed() -> None:
    pages = ["server.uptime: 1\n"] * 2 + [PAGE.format(arrived=16, uptime=3)] * 2
    async with (
        admin_page(lambda: pages.pop(0)) as one,
        admin_page(lambda: pages.pop(0)) as two,
        EnvoyTrafficSource(
            [EnvoyAdmin(origin="eu", address=one), EnvoyAdmin(origin="us", address=two)],
            CELLS,
            now_s=Times(),
        ) as source,
    ):
        await source.read()
        reading = await source.read()
    assert isinstance(reading, BalancerReading)
    assert reading.demand_rps == {Flow("eu", "search"): 8.0, Flow("us", "search"): 8.0}
    assert reading.traffic["eu-1"]["search"].rate_rps == 10.0


@pytest.mark.parametrize(
    "after",
    [PAGE.format(arrived=15, uptime=9), PAGE.format(arrived=96, uptime=1), "server.uptime: 9\n"],
    ids=["a counter fell", "it is younger", "a counter is gone"],
)
async def test_a_restart_makes_one_missing_and_then_goes_on(after: str) -> None:
    pages = [PAGE.format(arrived=16, uptime=5), after, after]
    async with (
        admin_page(lambda: pages.pop(0)) as address,
        EnvoyTrafficSource(
            [EnvoyAdmin(origin="eu", address=address)], CELLS, now_s=Times()
        ) as source,
    ):
        await source.read()
        gap = await source.read()
        assert isinstance(gap, Missing)
        assert "restarted" in gap.because
        assert isinstance(await source.read(), BalancerReading)


OLD_LISTENER = {
    "tries": "foreshard.try.class.search.host.127.0.0.1:1001.code.200: {count}\n",
    "ends at the edge": "foreshard.edge.class.search.code.503.flags.UH: {count}\n",
}


@pytest.mark.parametrize("line", OLD_LISTENER.values(), ids=OLD_LISTENER.keys())
async def test_a_proxy_that_counts_no_arrivals_of_what_it_serves_is_named(line: str) -> None:
    pages = [f"{line.format(count=7 * t)}server.uptime: {t}\n" for t in (1, 2)]
    async with (
        admin_page(lambda: pages.pop(0)) as address,
        EnvoyTrafficSource(
            [EnvoyAdmin(origin="eu", address=address)], CELLS, now_s=Times()
        ) as source,
    ):
        await source.read()
        reading = await source.read()
    assert isinstance(reading, Missing), "no demand is not the same as demand that nobody counts"
    assert f"envoy {address} serves search" in reading.because
    assert "restart it" in reading.because


@pytest.mark.parametrize(
    "idle",
    ["server.uptime: {t}\n", OLD_LISTENER["tries"].format(count=7) + "server.uptime: {t}\n"],
    ids=["nothing ever came", "nothing came since the listener is new"],
)
async def test_a_proxy_to_which_nothing_comes_has_no_demand(idle: str) -> None:
    pages = [idle.format(t=t) for t in (1, 2)]
    async with (
        admin_page(lambda: pages.pop(0)) as address,
        EnvoyTrafficSource(
            [EnvoyAdmin(origin="eu", address=address)], CELLS, now_s=Times()
        ) as source,
    ):
        await source.read()
        reading = await source.read()
    assert isinstance(reading, BalancerReading)
    assert sum(reading.demand_rps.values()) == 0.0


async def test_silence_is_missing_and_the_next_reading_covers_it() -> None:
    pages = [PAGE.format(arrived=16, uptime=5), "", PAGE.format(arrived=24, uptime=9)]
    async with (
        admin_page(lambda: pages.pop(0)) as address,
        EnvoyTrafficSource(
            [EnvoyAdmin(origin="eu", address=address)], CELLS, now_s=Times()
        ) as source,
    ):
        await source.read()
        silent = await source.read()
        assert isinstance(silent, Missing)
        assert "answered 500" in silent.because
        reading = await source.read()
    assert isinstance(reading, BalancerReading)
    assert reading.interval_s == 4.0
    assert reading.demand_rps == {Flow("eu", "search"): 2.0}


async def test_a_refused_connection_is_missing_with_its_address() -> None:
    async with EnvoyTrafficSource(
        [EnvoyAdmin(origin="eu", address="127.0.0.1:1")], CELLS, now_s=Times()
    ) as source:
        reading = await source.read()
    assert isinstance(reading, Missing)
    assert "127.0.0.1:1" in reading.because


async def test_a_clock_that_was_put_forward_makes_no_rate_of_next_to_nothing() -> None:
    pages = [PAGE.format(arrived=16 + t, uptime=5 + 2 * t) for t in range(3)]
    times = Times()
    async with (
        admin_page(lambda: pages.pop(0)) as address,
        EnvoyTrafficSource(
            [EnvoyAdmin(origin="eu", address=address)], CELLS, now_s=times
        ) as source,
    ):
        await source.read()
        times.now += 3_600.0
        jumped = await source.read()
        assert isinstance(jumped, Missing)
        assert "it was put forward" in jumped.because
        assert isinstance(await source.read(), BalancerReading)


async def test_the_others_are_heard_once_a_region_has_been_silent_for_a_while() -> None:
    looks, is_silent = [0], [False]

    def living() -> str:
        looks[0] += 1
        return PAGE.format(arrived=16 * looks[0], uptime=2 * looks[0])

    async with (
        admin_page(living) as eu,
        admin_page(lambda: "" if is_silent[0] else living()) as us,
        admin_page(lambda: "" if is_silent[0] else living()) as other,
        EnvoyTrafficSource(
            [
                EnvoyAdmin(origin="eu", address=eu),
                EnvoyAdmin(origin="us", address=us),
                EnvoyAdmin(origin="us", address=other),
            ],
            CELLS,
            now_s=Times(),
        ) as source,
    ):
        await source.read()
        assert isinstance(await source.read(), BalancerReading)
        is_silent[0] = True
        said = [await source.read() for _ in range(8)]
        assert all(isinstance(one, Missing) for one in said[:5])
        assert isinstance(said[-1], BalancerReading)
        assert said[-1].silent_origins == {"us"}
        assert said[-1].demand_rps == {Flow("eu", "search"): 8.0}
        is_silent[0] = False
        assert isinstance(await source.read(), Missing), "a rate needs two pages"
        back = await source.read()
        assert isinstance(back, BalancerReading)
        assert not back.silent_origins
        assert Flow("us", "search") in back.demand_rps


@pytest.mark.parametrize("gone", [True, False], ids=["refuses", "is silent"])
async def test_one_of_two_proxies_is_done_without_only_if_it_is_gone(gone: bool) -> None:
    looks, is_silent = [0], [False]

    def living() -> str:
        looks[0] += 1
        return PAGE.format(arrived=16 * looks[0], uptime=2 * looks[0])

    async with admin_page(living) as one, AsyncExitStack() as stack:
        two = await stack.enter_async_context(admin_page(lambda: "" if is_silent[0] else living()))
        admins = [EnvoyAdmin(origin="eu", address=address) for address in (one, two)]
        async with EnvoyTrafficSource(admins, CELLS, now_s=Times()) as source:
            await source.read()
            if gone:
                await stack.aclose()
            is_silent[0] = True
            said = [await source.read() for _ in range(8)]
    assert all(isinstance(reading, Missing) for reading in said[:5])
    assert isinstance(said[-1], BalancerReading if gone else Missing)


def test_a_source_without_proxies_or_with_a_bad_address_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="there is no proxy"):
        EnvoyTrafficSource([], CELLS, now_s=Times())
    with pytest.raises(InvalidValueError, match="http://x"):
        EnvoyAdmin(origin="eu", address="http://x:1")


@pytest.mark.e2e
async def test_a_real_envoy_tells_who_failed_who_was_slow_and_what_was_shed(
    tmp_path: Path,
) -> None:
    def three(fleet: tuple[Cell, ...]) -> RoutingTable:
        return table(fleet, free_route(SEARCH, dict.fromkeys(("good", "bad", "slow"), 2), shed=2))

    async with bench(("good", "bad", "slow"), three, tmp_path) as running:
        running.backends["bad"].status = 503
        running.backends["slow"].delay_s = SEARCH.objective_s + 0.05
        cells = [backend.cell for backend in running.backends.values()]
        address = running.envoy.admin.removeprefix("http://")
        async with EnvoyTrafficSource(
            [EnvoyAdmin(origin="eu", address=address)], cells, now_s=Times()
        ) as source:
            assert isinstance(await source.read(), Missing)
            answers = [(await running.ask("/search"))[0] for _ in range(80)]
            running.backends["slow"].delay_s = 4.0 * SEARCH.objective_s
            held = [asyncio.create_task(running.ask("/search")) for _ in range(8)]
            await asyncio.sleep(0.05)
            reading = await source.read()
            await asyncio.gather(*held)
            assert isinstance(reading, BalancerReading)
            await source.read()
            quiet = await source.read()
    assert set(answers) == {200, 429}, "what failed at one cell was saved at another"
    assert reading.demand_rps.keys() == {Flow("eu", "search")}
    assert 2.0 * reading.demand_rps[Flow("eu", "search")] == 88, "those that are held as well"
    assert 2.0 * reading.shed_rps[Flow("eu", "search")] >= answers.count(429)
    bad, slow, good = (reading.traffic[name]["search"] for name in ("bad", "slow", "good"))
    assert (bad.failed_ratio, bad.slow_ratio) == (1.0, 0.0)
    assert (slow.failed_ratio, slow.slow_ratio) == (0.0, 1.0)
    assert good.failed_ratio == 0.0
    assert slow.latency_mean_s > SEARCH.objective_s > good.latency_mean_s
    assert reading.in_flight["slow"] > 0.0
    assert isinstance(quiet, BalancerReading)
    assert quiet.traffic == {"good": {}, "bad": {}, "slow": {}}
    assert quiet.demand_rps == {Flow("eu", "search"): 0.0}
