"""A real cell, asked over real sockets."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from foreshard.lab import service
from foreshard.lab.cell.faults import Fault, FaultKind
from foreshard.lab.cell.shop import Shop
from foreshard.lab.keeper import Patience
from foreshard.lab.supervisor import Supervisor

CELL = "eu-1"
QUICK = Patience(restart_delay_s=0.1, start_timeout_s=20.0, grace_s=5.0)


@pytest.fixture
async def cell() -> AsyncIterator[Supervisor]:
    async with Supervisor(cells=(CELL,), patience=QUICK, versions={CELL: "1.7"}) as one:
        yield one


@pytest.fixture
async def client(cell: Supervisor) -> AsyncIterator[aiohttp.ClientSession]:
    base = f"http://{service.HOST}:{cell.ports[CELL]}"
    async with aiohttp.ClientSession(base) as session:
        yield session


async def ask(
    client: aiohttp.ClientSession, name: str, *, key: str = "k1", draw: int = 1
) -> tuple[int, dict[str, float]]:
    """Status and load report of one request."""
    match = service.request_class(name).match
    headers = {service.KEY_HEADER: key, service.DRAW_HEADER: str(draw)}
    async with client.request(match.method, match.path_prefix, headers=headers) as answer:
        await answer.read()
        load = answer.headers["endpoint-load-metrics"].removeprefix("TEXT ")
        pairs = (pair.split("=") for pair in load.split(","))
        return answer.status, {key: float(value) for key, value in pairs}


async def scrape(client: aiohttp.ClientSession) -> dict[tuple[str, ...], float]:
    """Samples by name and label values."""
    async with client.get("/metrics") as answer:
        text = await answer.text()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.e2e
async def test_every_class_is_served_and_counted(client: aiohttp.ClientSession) -> None:
    costs = {}
    for name in service.WORK:
        status, load = await ask(client, name, draw=5)
        assert status == 200
        costs[name] = load["named_metrics.cost.cpu"]
    seen = await scrape(client)
    assert seen["cell_info", CELL, "1.7"] == 1.0
    assert seen["cell_resource_limit", "cpu"] == service.CELL_CPUS
    assert seen["cell_cpu_seconds_total",] == pytest.approx(sum(costs.values()), rel=1e-3)
    assert seen["cell_resource_used", "connections"] == 0.0
    assert seen["cell_in_flight",] == 0.0
    for name in service.WORK:
        assert seen["cell_requests_total", name, "200"] == 1.0
        assert seen["cell_request_duration_seconds_count", name] == 1.0
    room = seen["cell_resource_limit", "memory"] - seen["cell_resource_used", "memory"]
    assert room == pytest.approx(service.MEMORY_ROOM_BYTES, rel=0.1)


@pytest.mark.e2e
async def test_the_first_request_of_a_key_waits_and_costs_no_cpu(
    client: aiohttp.ClientSession,
) -> None:
    sums, costs = [], []
    for _ in range(2):
        _, load = await ask(client, "checkout", key="fresh", draw=3)
        costs.append(load["named_metrics.cost.cpu"])
        seen = await scrape(client)
        sums.append(seen["cell_request_duration_seconds_sum", "checkout"])
    assert sums[0] >= service.WORK["checkout"].cold_s
    assert costs[0] == costs[1]


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "because"),
    [
        ("POST", "/checkout", {}, 400, "checkout needs the header x-key"),
        ("GET", "/search", {"x-draw": "many"}, 400, "x-draw is 'many', must be an integer"),
        ("GET", "/nowhere", {}, 404, "GET /nowhere is unknown"),
        ("POST", "/-/fault", {}, 400, ""),
    ],
)
async def test_a_bad_request_is_told_what_is_wrong(
    client: aiohttp.ClientSession,
    method: str,
    path: str,
    headers: dict[str, str],
    status: int,
    because: str,
) -> None:
    async with client.request(method, path, headers=headers) as answer:
        assert answer.status == status
        assert because in (await answer.json())["error"]


@pytest.mark.e2e
async def test_a_full_disk_fails_what_writes_and_nothing_else(
    cell: Supervisor, client: aiohttp.ClientSession
) -> None:
    await cell.inject(CELL, Fault.of(FaultKind.DISK_FILL, duration_s=0.01))
    await _until_used(client, "disk")
    assert (await ask(client, "checkout"))[0] == 500
    assert (await ask(client, "search"))[0] == 200
    await cell.clear(CELL)
    assert (await ask(client, "checkout"))[0] == 200


@pytest.mark.e2e
async def test_a_pool_that_leaked_away_refuses_after_a_wait(
    cell: Supervisor, client: aiohttp.ClientSession
) -> None:
    await cell.inject(CELL, Fault.of(FaultKind.POOL, duration_s=0.01))
    await _until_used(client, "connections")
    assert (await ask(client, "search"))[0] == 503
    seen = await scrape(client)
    # The event loop's timers round to whole milliseconds.
    waited_s = seen["cell_request_duration_seconds_sum", "search"] + 2e-3
    assert waited_s >= service.POOL_WAIT_S
    await cell.clear(CELL)
    assert (await ask(client, "search"))[0] == 200


@pytest.mark.e2e
async def test_a_slow_dependency_slows_the_class_that_needs_it(
    cell: Supervisor, client: aiohttp.ClientSession
) -> None:
    slow = Fault(kind=FaultKind.SLOW_DEPENDENCY, magnitude=0.5, duration_s=1.0, elapsed_s=1.0)
    await cell.inject(CELL, slow)
    await asyncio.gather(ask(client, "search"), ask(client, "checkout", draw=2))
    seen = await scrape(client)
    assert seen["cell_request_duration_seconds_sum", "search"] >= 0.5
    waited = [seen["cell_request_duration_seconds_sum", name] for name in ("checkout", "search")]
    assert waited[0] < waited[1]


@pytest.mark.e2e
async def test_creep_makes_the_same_request_dearer(
    cell: Supervisor, client: aiohttp.ClientSession
) -> None:
    _, well = await ask(client, "search", draw=9)
    creep = Fault(kind=FaultKind.CREEP, magnitude=0.5, duration_s=1.0, elapsed_s=1.0)
    await cell.inject(CELL, creep)
    _, ill = await ask(client, "search", draw=9)
    name = "named_metrics.cost.cpu"
    assert ill[name] == pytest.approx(2 * well[name], rel=1e-3)


async def test_too_many_at_once_are_refused_on_arrival() -> None:
    shop = Shop(cell=CELL, version="1.7", memory_room_bytes=service.MEMORY_ROOM_BYTES)
    crowd = (shop.serve("checkout", key=str(i), draw=i) for i in range(service.BACKLOG + 60))
    answers = await asyncio.gather(*crowd)
    refused = [answer for answer in answers if "too many" in answer.text]
    assert len(refused) == 60
    assert {answer.status for answer in refused} == {503}
    assert [answer.status for answer in answers].count(200) >= service.CONNECTIONS
    assert shop.snapshot().in_flight == 0


async def _until_used(client: aiohttp.ClientSession, resource: str) -> None:
    async with asyncio.timeout(10.0):
        while True:
            seen = await scrape(client)
            limit = seen["cell_resource_limit", resource]
            if seen["cell_resource_used", resource] == limit:
                return
            await asyncio.sleep(0.05)
