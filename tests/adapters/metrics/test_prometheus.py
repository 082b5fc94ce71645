from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from aiohttp import web

from foreshard.adapters.metrics.gauges import GaugeSpec, MetricRef
from foreshard.adapters.metrics.prometheus import CellScrape, ScrapeOptions
from foreshard.model.errors import InvalidValueError
from foreshard.model.telemetry import Fresh, Gauge, Health, Missing
from foreshard.model.topology import Cell, Node
from foreshard.testing.conformance.source import check_source

CPU = GaugeSpec(
    resource="cpu",
    used=MetricRef(name="cell_cpu_seconds_total"),
    limit=MetricRef(name="cell_resource_limit", labels={"resource": "cpu"}),
    is_counter=True,
    scales_with_load=True,
    is_capacity=True,
)
MEMORY = GaugeSpec(
    resource="memory",
    used=MetricRef(name="cell_resource_used", labels={"resource": "memory"}),
    limit=MetricRef(name="cell_resource_limit", labels={"resource": "memory"}),
)
PAGE = """\
# HELP cell_info what runs here
cell_info{{cell="eu-1",version="{version}"}} 1
process_start_time_seconds {started}
cell_cpu_seconds_total {cpu}
cell_resource_limit{{resource="cpu"}} 3
cell_resource_limit{{resource="memory"}} 1000
cell_resource_used{{resource="memory"}} {memory}
cell_requests_total{{class="checkout",code="200"}} {{not read}}
"""


def page(
    *, cpu: float = 10.0, memory: float = 400.0, started: float = 500.0, version: str = "v1"
) -> str:
    return PAGE.format(cpu=cpu, memory=memory, started=started, version=version)


@dataclass
class Clock:
    now: float = 1_000.0

    def now_s(self) -> float:
        return self.now


# The Date header of a node whose clock says 1,000 s.
DATE = "Thu, 01 Jan 1970 00:16:40 GMT"


@dataclass
class Served:
    """A node's HTTP server, whose answers a test may change."""

    text: str = ""
    status: int = 200
    health: int = 200
    delay_s: float = 0.0
    port: int = 0

    async def answer(self, request: web.Request) -> web.Response:
        await asyncio.sleep(self.delay_s)
        if request.path == "/health":
            return web.Response(status=self.health)
        return web.Response(text=self.text, status=self.status, headers={"Date": DATE})

    @property
    def node(self) -> Node:
        return Node(host="127.0.0.1", port=self.port)

    def cell(self, name: str = "eu-1") -> Cell:
        return Cell(name=name, region="eu", zone="eu-a", nodes=(self.node,))


Serve = Callable[[str], Coroutine[None, None, Served]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    runners: list[web.AppRunner] = []

    async def start(text: str) -> Served:
        served = Served(text=text)
        app = web.Application()
        app.router.add_get("/{tail:.*}", served.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        served.port = runner.addresses[0][1]
        return served

    yield start
    for runner in runners:
        await runner.cleanup()


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def scrape(clock: Clock, options: ScrapeOptions | None = None) -> CellScrape:
    return CellScrape((CPU, MEMORY), now_s=clock.now_s, options=options)


async def said(source: CellScrape, cell: Cell) -> tuple[Health, Fresh | Missing]:
    return (await source.read((cell,)))[cell.name]


async def heard(source: CellScrape, cell: Cell) -> Fresh:
    _, reading = await said(source, cell)
    assert isinstance(reading, Fresh), reading
    return reading


async def missed(source: CellScrape, cell: Cell) -> str:
    _, reading = await said(source, cell)
    assert isinstance(reading, Missing), reading
    return reading.because


async def test_a_page_becomes_gauges_capacity_version_and_start(serve: Serve) -> None:
    node, clock = await serve(page(cpu=10.0)), Clock()
    async with scrape(clock) as source:
        await heard(source, node.cell())
        node.text, clock.now = page(cpu=11.5), 1_001.0
        health, reading = await said(source, node.cell())
    assert health is Health.UP
    assert isinstance(reading, Fresh)
    assert reading.metrics.gauges == {
        "cpu": Gauge(used=1.5, limit=3.0, scales_with_load=True),
        "memory": Gauge(used=400.0, limit=1_000.0),
    }
    assert reading.metrics.capacity == {"cpu": 3.0}
    assert reading.metrics.version == "v1"
    assert reading.metrics.started_at_s == 500.0
    assert reading.age_s == 0.0


async def test_the_source_keeps_its_contract(serve: Serve) -> None:
    node = await serve(page())
    async with scrape(Clock()) as source:
        await check_source(source, (node.cell(),))


async def test_the_first_scrape_has_no_rate_and_does_not_call_it_zero(serve: Serve) -> None:
    node = await serve(page())
    async with scrape(Clock()) as source:
        reading = await heard(source, node.cell())
    assert set(reading.metrics.gauges) == {"memory"}
    assert reading.metrics.capacity == {"cpu": 3.0}


@pytest.mark.parametrize(
    "after",
    [page(cpu=0.5, started=1_000.0), page(cpu=0.5), page(cpu=99.0, started=1_000.0)],
    ids=["restart", "counter fell", "restart that overtook its counter"],
)
async def test_a_restart_gives_no_rate_until_the_second_scrape(serve: Serve, after: str) -> None:
    node, clock = await serve(page(cpu=50.0)), Clock()
    async with scrape(clock) as source:
        for text in (page(cpu=50.0), page(cpu=51.0)):
            node.text, clock.now = text, clock.now + 1.0
            await heard(source, node.cell())
        node.text, clock.now = after, clock.now + 1.0
        assert "cpu" not in (await heard(source, node.cell())).metrics.gauges
        clock.now += 1.0
        reading = await heard(source, node.cell())
    assert reading.metrics.gauges["cpu"].used == 0.0


async def test_two_scrapes_at_once_do_not_spoil_the_rate(serve: Serve) -> None:
    node, clock = await serve(page(cpu=10.0)), Clock()
    async with scrape(clock) as source:
        await heard(source, node.cell())
        node.text, clock.now = page(cpu=11.0), 1_001.0
        await heard(source, node.cell())
        node.text, clock.now = page(cpu=11.01), 1_001.001
        assert (await heard(source, node.cell())).metrics.gauges["cpu"].used == 1.0
        node.text, clock.now = page(cpu=13.0), 1_002.0
        assert (await heard(source, node.cell())).metrics.gauges["cpu"].used == 2.0


async def test_nodes_of_a_cell_are_summed(serve: Serve) -> None:
    first, second = await serve(page(memory=100.0)), await serve(page(memory=300.0, started=900))
    cell = Cell(name="eu-1", region="eu", zone="eu-a", nodes=(first.node, second.node))
    async with scrape(Clock()) as source:
        reading = await heard(source, cell)
    assert reading.metrics.gauges["memory"] == Gauge(used=400.0, limit=2_000.0)
    assert reading.metrics.capacity == {"cpu": 6.0}
    assert reading.metrics.started_at_s == 900.0


async def test_a_dead_node_leaves_the_sum_and_the_cell_stays_up(serve: Serve) -> None:
    node = await serve(page(memory=100.0))
    dead = Node(host="127.0.0.1", port=closed_port())
    cell = Cell(name="eu-1", region="eu", zone="eu-a", nodes=(node.node, dead))
    async with scrape(Clock()) as source:
        health, reading = await said(source, cell)
    assert health is Health.UP
    assert isinstance(reading, Fresh)
    assert reading.metrics.gauges["memory"] == Gauge(used=100.0, limit=1_000.0)
    assert reading.metrics.capacity == {"cpu": 3.0}


async def test_refused_connections_mean_down_and_missing_with_the_address() -> None:
    port = closed_port()
    cell = Cell(name="eu-1", region="eu", zone="eu-a", nodes=(Node(host="127.0.0.1", port=port),))
    async with scrape(Clock()) as source:
        health, reading = await said(source, cell)
    assert health is Health.DOWN
    assert reading == Missing(f"127.0.0.1:{port} refuses connections")


async def test_a_name_with_two_refusing_addresses_is_down() -> None:
    cell = Cell(
        name="a", region="eu", zone="z", nodes=(Node(host="localhost", port=closed_port()),)
    )
    async with scrape(Clock()) as source:
        assert (await said(source, cell))[0] is Health.DOWN


async def test_a_silent_cell_is_unknown_and_does_not_hold_up_its_siblings(serve: Serve) -> None:
    silent, loud = await serve(page()), await serve(page())
    silent.delay_s = 30.0
    async with scrape(Clock(), ScrapeOptions(timeout_s=0.2)) as source:
        read = await source.read((silent.cell("silent"), loud.cell("loud")))
    assert read["silent"][0] is Health.UNKNOWN
    assert isinstance(read["silent"][1], Missing)
    assert "no answer in 0.2 s" in read["silent"][1].because
    assert read["loud"][0] is Health.UP
    assert isinstance(read["loud"][1], Fresh)


async def test_one_missed_scrape_is_bridged_at_its_true_age_and_not_for_long(
    serve: Serve,
) -> None:
    node, clock = await serve(page()), Clock()
    async with scrape(clock, ScrapeOptions(timeout_s=0.1)) as source:
        await heard(source, node.cell())
        node.delay_s, clock.now = 30.0, 1_002.0
        health, reading = await said(source, node.cell())
        assert health is Health.UNKNOWN
        assert isinstance(reading, Fresh)
        assert reading.age_s == 2.0
        clock.now = 1_004.0
        assert "no answer" in await missed(source, node.cell())


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-1"])
async def test_a_lying_page_is_refused_by_metric_and_value(serve: Serve, value: str) -> None:
    node = await serve(page())
    async with scrape(Clock()) as source:
        await heard(source, node.cell())
        node.text = page(memory=float(value))
        health, reading = await said(source, node.cell())
    assert health is Health.UP
    assert isinstance(reading, Missing)
    assert f'cell_resource_used{{resource="memory"}} is {float(value)}' in reading.because


async def test_a_limit_of_zero_is_refused(serve: Serve) -> None:
    node = await serve('cell_resource_limit{resource="cpu"} 0\n')
    async with scrape(Clock()) as source:
        assert "is 0, a limit must be > 0" in await missed(source, node.cell())


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("", "the page has none of cell_cpu_seconds_total"),
        ("<html>hello</html>", "the page has none of"),
        ("cell_cpu_seconds_total twelve", "not Prometheus text"),
    ],
)
async def test_a_page_that_says_nothing_is_missing(serve: Serve, text: str, because: str) -> None:
    node = await serve(text)
    async with scrape(Clock()) as source:
        assert because in await missed(source, node.cell())


async def test_an_endless_page_is_refused(serve: Serve) -> None:
    node = await serve("x 1\n" * 1_500_000)
    async with scrape(Clock(), ScrapeOptions(timeout_s=20.0)) as source:
        assert "is larger than" in await missed(source, node.cell())


async def test_a_broken_page_is_no_broken_service(serve: Serve) -> None:
    node = await serve(page())
    node.status = 503
    async with scrape(Clock()) as source:
        health, reading = await said(source, node.cell())
    assert health is Health.UNKNOWN
    assert isinstance(reading, Missing)
    assert "answers 503" in reading.because


@pytest.mark.parametrize(
    ("status", "health"),
    [(200, Health.UP), (204, Health.UP), (503, Health.UNKNOWN), (404, Health.UNKNOWN)],
)
async def test_the_health_path_decides_health_where_there_is_one(
    serve: Serve, status: int, health: Health
) -> None:
    node = await serve(page())
    node.health = status
    async with scrape(Clock(), ScrapeOptions(health_path="/health")) as source:
        answer, reading = await said(source, node.cell())
    assert answer is health
    assert isinstance(reading, Fresh)


async def test_a_health_check_that_keeps_failing_is_down_and_one_hiccup_is_not(
    serve: Serve,
) -> None:
    node = await serve(page())
    seen = []
    async with scrape(Clock(), ScrapeOptions(health_path="/health")) as source:
        for status in (503, 503, 200, 503, 503, 503, 503):
            node.health = status
            seen.append((await said(source, node.cell()))[0])
    ill, down = Health.UNKNOWN, Health.DOWN
    assert seen == [ill, ill, Health.UP, ill, ill, down, down]


async def test_a_frozen_page_with_a_heartbeat_ages(serve: Serve) -> None:
    node, clock = await serve(page() + "process_cpu_seconds_total 7\n"), Clock()
    ages = []
    async with scrape(clock, ScrapeOptions(frozen_after_s=10.0)) as source:
        for _ in range(4):
            ages.append((await heard(source, node.cell())).age_s)
            clock.now += 5.0
        node.text = page() + "process_cpu_seconds_total 7.01\n"
        ages.append((await heard(source, node.cell())).age_s)
    assert ages == [0.0, 0.0, 10.0, 15.0, 0.0]


async def test_an_idle_page_without_a_heartbeat_stays_fresh(serve: Serve) -> None:
    node, clock = await serve(page()), Clock()
    async with scrape(clock, ScrapeOptions(frozen_after_s=10.0)) as source:
        for _ in range(5):
            assert (await heard(source, node.cell())).age_s == 0.0
            clock.now += 5.0


async def test_a_start_time_is_put_on_our_clock(serve: Serve) -> None:
    node, clock = await serve(page(started=500.0)), Clock(now=1_060.0)
    async with scrape(clock) as source:
        assert (await heard(source, node.cell())).metrics.started_at_s == 560.0
        clock.now = 1_061.5
        assert (await heard(source, node.cell())).metrics.started_at_s == 560.0


async def test_a_killed_process_is_down_even_on_a_kept_connection() -> None:
    async with child() as (process, port):
        cell = Cell(name="a", region="eu", zone="z", nodes=(Node(host="127.0.0.1", port=port),))
        async with scrape(Clock(), ScrapeOptions(timeout_s=5.0)) as source:
            assert (await said(source, cell))[0] is Health.UP
            process.kill()
            await process.wait()
            health, reading = await said(source, cell)
    assert health is Health.DOWN
    assert isinstance(reading, Missing)


async def test_a_stopped_process_is_unknown() -> None:
    async with child() as (process, port):
        cell = Cell(name="a", region="eu", zone="z", nodes=(Node(host="127.0.0.1", port=port),))
        async with scrape(Clock(), ScrapeOptions(timeout_s=1.0)) as source:
            os.kill(process.pid, signal.SIGSTOP)
            assert (await said(source, cell))[0] is Health.UNKNOWN


async def test_nodes_that_left_are_forgotten(serve: Serve) -> None:
    node, clock = await serve(page()), Clock()
    async with scrape(clock) as source:
        await heard(source, node.cell())
        await source.read(())
        clock.now += 1.0
        assert "cpu" not in (await heard(source, node.cell())).metrics.gauges


def test_two_gauges_for_one_resource_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="must be distinct"):
        CellScrape((MEMORY, MEMORY), now_s=Clock().now_s)


SERVER = """
import http.server
class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = b'cell_resource_used{resource="memory"} 1\\n'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
print(server.server_port, flush=True)
server.serve_forever()
"""


@asynccontextmanager
async def child() -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield process, int(await asyncio.wait_for(process.stdout.readline(), 20.0))
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
