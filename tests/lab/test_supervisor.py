"""Real cells that really die."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

from foreshard.controller import process
from foreshard.lab import service
from foreshard.lab.cell.faults import Fault, FaultKind
from foreshard.lab.keeper import CellState, CellStatus, Patience
from foreshard.lab.supervisor import Supervisor
from foreshard.lab.webhook import RECYCLE, Webhook
from foreshard.model.errors import InvalidValueError, LabError

CELL = "eu-2"
QUICK = Patience(restart_delay_s=0.2, start_timeout_s=20.0, grace_s=5.0)
OWNER = """
import asyncio, sys
from foreshard.lab.supervisor import Supervisor

async def main() -> None:
    async with Supervisor(cells=("eu-1", "eu-2")) as fleet:
        print(*(status.pid for status in fleet.status().values()), flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    # An orphan that nobody reaps stays as a zombie: it holds nothing and runs nothing.
    return stat.rsplit(")", 1)[1].split()[0] != "Z"


async def gone(*pids: int) -> None:
    async with asyncio.timeout(10.0):
        while any(is_alive(pid) for pid in pids):  # noqa: ASYNC110 - /proc cannot be awaited
            await asyncio.sleep(0.02)


async def until(fleet: Supervisor, state: CellState, *, restarts: int) -> CellStatus:
    async with asyncio.timeout(30.0):
        while True:
            status = fleet.status()[CELL]
            if status.state is state and status.restarts == restarts:
                return status
            await asyncio.sleep(0.02)


async def exists(fleet: Supervisor) -> bool:
    url = f"http://{service.HOST}:{fleet.ports[CELL]}/health"
    try:
        async with aiohttp.ClientSession() as client, client.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


@pytest.mark.e2e
async def test_cells_start_together_and_nothing_is_left_at_the_end() -> None:
    async with Supervisor(cells=("eu-1", CELL), patience=QUICK) as fleet:
        status = fleet.status()
        assert [each.state for each in status.values()] == [CellState.UP, CellState.UP]
        assert fleet.fleet.names == ("eu-1", CELL)
        pids = [each.pid for each in status.values() if each.pid]
        assert len(set(pids)) == 2
    assert not any(is_alive(pid) for pid in pids)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
    assert not await exists(fleet)


@pytest.mark.e2e
async def test_a_leak_ends_in_a_kill_and_a_restart_on_the_same_port(tmp_path: Path) -> None:
    async with Supervisor(cells=(CELL,), patience=QUICK, logs=tmp_path) as fleet:
        first = fleet.status()[CELL]
        await fleet.inject(CELL, Fault.of(FaultKind.LEAK, duration_s=3.0))
        await until(fleet, CellState.RESTARTING, restarts=0)
        again = await until(fleet, CellState.UP, restarts=1)
        assert again.pid != first.pid
        assert again.port == first.port
        assert await exists(fleet)


@pytest.mark.e2e
async def test_a_leak_that_is_forgiven_kills_nobody() -> None:
    async with Supervisor(cells=(CELL,), patience=QUICK) as fleet:
        first = fleet.status()[CELL]
        leak = Fault(kind=FaultKind.LEAK, magnitude=0.6, duration_s=0.3)
        await fleet.inject(CELL, leak)
        used: list[float] = []
        url = f"http://{service.HOST}:{fleet.ports[CELL]}/metrics"
        async with aiohttp.ClientSession() as client, asyncio.timeout(20.0):
            while not used or used[-1] > used[0] + 20e6 or max(used) < used[0] + 50e6:
                async with client.get(url) as answer:
                    text = await answer.text()
                line = next(x for x in text.splitlines() if 'used{resource="memory"}' in x)
                used.append(float(line.split()[1]))
                if used[-1] > used[0] + 50e6:
                    await fleet.clear(CELL)
                await asyncio.sleep(0.05)
        assert fleet.status()[CELL].pid == first.pid


@pytest.mark.e2e
async def test_a_crashed_cell_is_started_again_with_nobody_asking() -> None:
    async with Supervisor(cells=(CELL,), patience=QUICK) as fleet:
        await fleet.inject(CELL, Fault.of(FaultKind.CRASH))
        await until(fleet, CellState.UP, restarts=1)
        os.kill(fleet.status()[CELL].pid or 0, signal.SIGKILL)
        await until(fleet, CellState.UP, restarts=2)


@pytest.mark.e2e
async def test_a_host_that_is_off_stays_off_until_it_is_switched_on() -> None:
    async with Supervisor(cells=(CELL,), patience=QUICK) as fleet:
        fleet.power_off(CELL)
        off = await until(fleet, CellState.OFF, restarts=0)
        assert off.pid is None
        await asyncio.sleep(2 * QUICK.restart_delay_s)
        fleet.recycle(CELL)
        assert fleet.status()[CELL].state is CellState.OFF
        assert not await exists(fleet)
        fleet.power_on(CELL)
        await until(fleet, CellState.UP, restarts=1)


@pytest.mark.e2e
async def test_maintenance_is_a_window_and_clearing_ends_it() -> None:
    async with Supervisor(cells=(CELL,), patience=QUICK) as fleet:
        await fleet.inject(CELL, Fault.of(FaultKind.MAINTENANCE, duration_s=0.5))
        await until(fleet, CellState.OFF, restarts=0)
        await until(fleet, CellState.UP, restarts=1)
        await fleet.inject(CELL, Fault.of(FaultKind.MAINTENANCE, duration_s=50.0))
        await until(fleet, CellState.OFF, restarts=1)
        await fleet.clear(CELL)
        await until(fleet, CellState.UP, restarts=2)


@pytest.mark.e2e
async def test_a_recycled_cell_finishes_what_it_has() -> None:
    async with Supervisor(cells=(CELL,), patience=QUICK) as fleet:
        slow = Fault(kind=FaultKind.SLOW_DEPENDENCY, magnitude=1.0, duration_s=1.0, elapsed_s=1.0)
        await fleet.inject(CELL, slow)
        url = f"http://{service.HOST}:{fleet.ports[CELL]}"
        async with aiohttp.ClientSession() as client:

            async def search() -> int:
                async with client.get(f"{url}/search", headers={"x-draw": "1"}) as answer:
                    await answer.read()
                    return answer.status

            asked = asyncio.create_task(search())
            await asyncio.sleep(0.2)
            fleet.recycle(CELL)
            fleet.recycle(CELL)
            assert fleet.status()[CELL].state is CellState.STOPPING
            assert await asked == 200
        await until(fleet, CellState.UP, restarts=1)
        await asyncio.sleep(0.5)
        assert fleet.status()[CELL].restarts == 1


@pytest.mark.e2e
async def test_a_restart_does_not_cure_somebody_elses_slowness() -> None:
    async with Supervisor(cells=(CELL,), patience=QUICK) as fleet:
        slow = Fault(kind=FaultKind.SLOW_DEPENDENCY, magnitude=0.3, duration_s=1.0, elapsed_s=1.0)
        await fleet.inject(CELL, slow)
        fleet.kill(CELL)
        await until(fleet, CellState.UP, restarts=1)
        await asyncio.sleep(0.2)
        started = asyncio.get_running_loop().time()
        url = f"http://{service.HOST}:{fleet.ports[CELL]}/search"
        async with aiohttp.ClientSession() as client, client.get(url) as answer:
            assert answer.status == 200
        assert asyncio.get_running_loop().time() - started >= 0.3


@pytest.mark.e2e
async def test_a_killed_owner_takes_its_cells_along(tmp_path: Path) -> None:
    owner = await process.start(
        [sys.executable, "-c", OWNER], name="owner", log=tmp_path / "owner.log"
    )
    async with asyncio.timeout(30.0):
        while len(owner.tail().split()) != 2 or not owner.tail()[0].isdigit():
            assert owner.is_running, owner.tail()
            await asyncio.sleep(0.05)
        pids = [int(text) for text in owner.tail().split()]
        assert all(is_alive(pid) for pid in pids)
        # The process alone, not its group: its cells must end by themselves.
        owner.send(signal.SIGKILL)
        await owner.wait()
        await gone(*pids)


@pytest.mark.e2e
async def test_a_fleet_whose_cell_cannot_start_says_why_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    fleet = Supervisor(cells=(CELL,), patience=QUICK, logs=tmp_path, memory_room_bytes=-1)
    with pytest.raises(LabError, match=r"cell eu-2 does not answer.*room_bytes is -1"):
        await fleet.start()
    assert all(status.pid is None for status in fleet.status().values())


def test_a_stranger_is_no_cell_of_the_fleet() -> None:
    with pytest.raises(LabError, match="mars-1"):
        Supervisor(cells=("mars-1",))
    with pytest.raises(InvalidValueError, match="patience"):
        Patience(restart_delay_s=-1.0)


def event(**changes: object) -> dict[str, object]:
    return {
        "specversion": "1.0",
        "type": RECYCLE,
        "source": "/foreshard/test",
        "id": "1",
        "subject": CELL,
        **changes,
    }


@pytest.mark.e2e
async def test_an_event_restarts_a_cell_once() -> None:
    async with (
        Supervisor(cells=(CELL,), patience=QUICK) as fleet,
        Webhook(fleet) as door,
        aiohttp.ClientSession(door.url) as client,
    ):
        for _ in range(2):
            async with client.post("/events", json=event()) as answer:
                assert answer.status == 202
        await until(fleet, CellState.UP, restarts=1)
        async with client.post("/events", json=event()) as answer:
            assert answer.status == 202
        await asyncio.sleep(0.3)
        async with client.get("/status") as answer:
            told = (await answer.json())[CELL]
        assert told["up"] is True
        assert told["restarts"] == 1
        assert told["port"] == fleet.ports[CELL]

        async with client.post("/faults", json={"cell": CELL, "kind": "crash"}) as answer:
            assert answer.status == 202
        await until(fleet, CellState.UP, restarts=2)
        async with client.post("/clear", json={"cell": CELL}) as answer:
            assert answer.status == 202


@pytest.mark.e2e
async def test_a_body_without_meaning_gets_a_sentence() -> None:
    bad: list[tuple[str, object, str]] = [
        ("/events", [], "the body is a JSON list, must be an object"),
        ("/events", event(specversion="0.3"), "specversion is '0.3', must be '1.0'"),
        ("/events", event(type="cell.explode"), "type is 'cell.explode'"),
        ("/events", event(id=""), "id is ''"),
        ("/events", event(source=7), "source is 7"),
        ("/events", event(subject="mars-1"), "cell 'mars-1' is unknown; there are eu-2"),
        ("/faults", {"kind": "leak"}, "cell is None"),
        ("/faults", {"cell": CELL, "kind": "gremlin"}, "kind is 'gremlin'"),
        ("/clear", {"cell": "mars-1"}, "cell 'mars-1' is unknown"),
    ]
    async with (
        Supervisor(cells=(CELL,), patience=QUICK) as fleet,
        Webhook(fleet) as door,
        aiohttp.ClientSession(door.url) as client,
    ):
        for path, body, because in bad:
            async with client.post(path, data=json.dumps(body)) as answer:
                assert answer.status == 400
                assert because in (await answer.json())["error"]
        async with client.post("/events", data=b"{") as answer:
            assert "the body is not JSON" in (await answer.json())["error"]
        assert fleet.status()[CELL].restarts == 0
