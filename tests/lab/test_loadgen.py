import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web

from foreshard.controller.process import start
from foreshard.lab import service
from foreshard.lab.loadgen import Load, generate
from foreshard.lab.reactive import SERVED_BY
from foreshard.lab.records import Outcome, load, save
from foreshard.lab.traffic import Demand, Schedule, arrivals
from foreshard.model.errors import LabError

STATUS = {"checkout": 429, "search": 503, "report": 200}


@asynccontextmanager
async def backend(*, wait_s: float = 0.0) -> AsyncIterator[int]:
    """A fleet that sheds checkout, fails search and serves report."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(wait_s)
        headers = {SERVED_BY: "127.0.0.1:1"}
        return web.Response(status=STATUS[request.path.strip("/")], headers=headers)

    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, service.HOST, 0).start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def schedule(duration_s: float, rate_rps: float = 100.0) -> Schedule:
    mix = tuple(service.MIX[c.name] for c in service.CLASSES)
    return arrivals(Demand(rate_rps=rate_rps, duration_s=duration_s, mix=mix), seed=1)


def aimed(ports: Mapping[str, int], plan: Schedule) -> Load:
    return Load(
        targets={fleet: f"http://{service.HOST}:{port}" for fleet, port in ports.items()},
        classes=service.CLASSES,
        schedule=plan,
        start_at_s=time.time() + 0.1,
        cells={"127.0.0.1:1": "eu-1"},
    )


def ignore(figures: Mapping[str, object]) -> None:
    """For tests that do not read the live figures."""


async def test_both_fleets_get_every_request_and_each_is_written_down() -> None:
    lines: list[Mapping[str, object]] = []
    plan = schedule(1.3)
    async with backend() as one, backend() as two:
        run = await generate(
            aimed({"reactive": one, "foreshard": two}, plan),
            stop=asyncio.Event(),
            report=lines.append,
        )
    assert list(run.fleets) == ["reactive", "foreshard"]
    for records in run.fleets.values():
        assert np.all(records.outcome == Outcome.ANSWERED)
        assert np.array_equal(records.t_s, plan.t_s)
        for index, request_class in enumerate(service.CLASSES):
            own = records.request_class == index
            assert np.all(records.status[own] == STATUS[request_class.name])
        assert np.all(records.cell == 0)
        assert np.all(records.lateness_s >= 0.0)
    assert json.loads(json.dumps(lines))[0]["fleets"]["foreshard"]["checkout"]["shed"] > 0


async def test_arrivals_do_not_wait_for_answers() -> None:
    async with backend(wait_s=0.5) as port:
        plan = schedule(0.3, rate_rps=200.0)
        run = await generate(aimed({"x": port}, plan), stop=asyncio.Event(), report=ignore)
    records = run.fleets["x"]
    # One after the other they would have taken half a second each.
    assert np.all(records.lateness_s < 0.5)
    assert np.all(records.latency_s >= 0.49)


async def test_a_fleet_that_cannot_be_reached_fails_every_request() -> None:
    async with backend() as port:
        pass
    run = await generate(aimed({"x": port}, schedule(0.2)), stop=asyncio.Event(), report=ignore)
    assert np.all(run.fleets["x"].outcome == Outcome.NOT_CONNECTED)


async def test_what_was_cut_off_is_nobodys_fault(tmp_path: Path) -> None:
    stop = asyncio.Event()
    async with backend(wait_s=0.3) as port:
        asyncio.get_running_loop().call_later(0.7, stop.set)
        run = await generate(aimed({"x": port}, schedule(30.0)), stop=stop, report=ignore)
    records = run.fleets["x"]
    assert np.any(records.outcome == Outcome.OPEN)
    assert np.any(records.outcome == Outcome.UNSENT)
    finished = records.finished()
    assert 0 < len(finished) < len(records)
    assert np.all(finished.outcome == Outcome.ANSWERED)
    save(run, tmp_path / "run.npz")
    again = load(tmp_path / "run.npz")
    assert again.cells == run.cells
    assert np.array_equal(again.fleets["x"].status, records.status)


async def test_a_start_in_the_past_is_refused() -> None:
    late = Load(
        targets={"x": "http://127.0.0.1:1"},
        classes=service.CLASSES,
        schedule=schedule(1.0),
        start_at_s=time.time() - 1.0,
    )
    with pytest.raises(LabError, match="start further ahead"):
        await generate(late, stop=asyncio.Event(), report=ignore)


def test_a_file_that_holds_no_records_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.npz").write_text("nothing")
    with pytest.raises(LabError, match="cannot be read"):
        load(tmp_path / "run.npz")


async def test_the_command_writes_its_records_when_it_is_terminated(tmp_path: Path) -> None:
    async with backend() as port:
        out = tmp_path / "run.npz"
        argv = [sys.executable, "-m", "foreshard.lab.loadgen", "--duration-s", "60"]
        argv += ["--rate-rps", "50", "--target", f"x=http://127.0.0.1:{port}", "--out", str(out)]
        child = await start(argv, name="loadgen", log=tmp_path / "log")
        try:
            for _ in range(200):
                if '"t_s": 1' in child.tail(lines=9):
                    break
                await asyncio.sleep(0.1)
        finally:
            code = await child.terminate(grace_s=10.0)
    assert code == 0, child.tail()
    assert len(load(out).fleets["x"].finished()) > 0
    assert "cpu_us_per_request" in child.tail(lines=1)
