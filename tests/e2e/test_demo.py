"""The demo as a user runs it: beside another one, broken into, ended in every way."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import psutil
import pytest

from foreshard.controller.process import Child, free_port, start
from tests.e2e.stage import is_running, until

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(200)]

CELL = "eu-2"
PYTHON = Path(sys.executable).resolve()
UNDER_WAY = re.compile(r"\d+ s of \d+ \(quiet\)")
# A live table, two fleets of six and their balancers, the load generator, Foreshard's three.
LEAST_CHILDREN = 2 * 6 + 2 + 1 + 3


@pytest.fixture
def home() -> Iterator[Path]:
    """Where a demo keeps its things and is found: its own, so that others' demos are not."""
    # Not pytest's folder: the path of a control socket has 107 bytes.
    directory = Path(tempfile.mkdtemp(prefix="fs-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def environment(home: Path) -> dict[str, str]:
    return {"TMPDIR": str(home), "XDG_RUNTIME_DIR": str(home)}


@asynccontextmanager
async def demo(home: Path, name: str, *options: str) -> AsyncIterator[Child]:
    """A demo at light load that nobody watches."""
    argv = [sys.executable, "-m", "foreshard", "demo", "--headless", "--story", "quiet"]
    argv += ["--load", "0.15", "--duration-s", "30", *options]
    child = await start(argv, name=name, log=home / f"{name}.log", env=environment(home))
    try:
        yield child
    finally:
        child.kill()
        await child.wait()


async def until_under_way(*children: Child) -> None:
    """Return when the stories of all have begun."""

    async def are_under_way() -> bool:
        for child in children:
            assert child.is_running, f"it ended early: {child.tail(20)}"
        return all(UNDER_WAY.search(child.log.read_text()) for child in children)

    await until(are_under_way, "the story begins")


def is_asked(home: Path) -> bool:
    """Whether the load generator said at least once how many requests it sent."""
    return any(log.stat().st_size for log in home.glob("foreshard-*/loadgen.log"))


def leftovers(home: Path) -> list[Path]:
    return list(home.glob("foreshard-*/*.yaml"))


async def command(home: Path, *arguments: str) -> tuple[int, str]:
    """A `foreshard` command: its exit status, and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "foreshard", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **environment(home)},
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_two_demos_run_side_by_side_and_one_is_broken_and_frozen_meanwhile(
    home: Path,
) -> None:
    async with AsyncExitStack() as stack:
        reports = [home / "first.json", home / "second.json"]
        demos = [
            await stack.enter_async_context(
                demo(
                    home, path.stem, "--json", str(path), "--html", str(path.with_suffix(".html"))
                )
            )
            for path in reports
        ]
        await until_under_way(*demos)
        status, said = await command(home, "freeze", "nobody moves")
        assert status == 0, said
        assert "frozen" in said
        status, said = await command(home, "thaw")
        assert status == 0, said
        status, said = await command(home, "fault", CELL, "crash")
        assert status == 0, said
        assert "both fleets" in said

        async def is_told() -> bool:
            status, said = await command(home, "why", CELL)
            assert status == 0, said
            return "nothing was ever decided" not in said

        await until(is_told, "it says why the crashed cell lost its work")
        status, said = await command(home, "why", CELL)
        assert status == 0
        assert said.startswith(f"cell {CELL}, ")
        assert re.search(r"down|refuses|dead|restart|proves|warm", said), said
        for wrong in (("why", "eu-9"), ("fault", CELL, "flood"), ("fault", "eu-9", "crash")):
            status, said = await command(home, *wrong)
            assert status == 1
            assert len(said.strip().splitlines()) == 1, said

        for child, path in zip(demos, reports, strict=True):
            assert await child.wait() == 0, child.tail(20)
            fleets = json.loads(path.read_text())["fleets"]
            assert fleets["foreshard"]["requests"] == fleets["reactive"]["requests"] > 1000
            text = path.with_suffix(".html").read_text()
            assert text.startswith("<!doctype html>")
            assert all(f"<h3>eu-{n}</h3>" in text for n in (1, 2, 3))
            assert 'class="line risk"' in text, "the probabilities of the run are drawn"
            drawn = home / "again.html"
            status, said = await command(home, "report", str(path), "-o", str(drawn))
            assert status == 0, said
            assert drawn.read_text() == text
    status, said = await command(home, "why", CELL)
    assert status == 1
    assert "no demo is running" in said


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill"])
async def test_however_a_demo_ends_nothing_of_it_is_left(home: Path, sent: signal.Signals) -> None:
    async with demo(home, "demo") as child:

        async def has_traffic() -> bool:
            assert child.is_running, f"it ended early: {child.tail(20)}"
            return is_asked(home)

        await until(has_traffic, "requests are sent")
        family = psutil.Process(child.pid).children(recursive=True)
        assert len(family) >= LEAST_CHILDREN
        ports = await asyncio.to_thread(listened, {member.pid for member in family})
        # Six cells twice, two balancers with two doors each, the discovery service.
        assert len(ports) >= 2 * 6 + 2 * 2 + 1
        child.send(sent)
        status = await child.wait()
        assert status == (0 if sent is signal.SIGINT else -signal.SIGKILL), child.tail(20)

        async def is_gone() -> bool:
            return not any(is_running(member) for member in family)

        await until(is_gone, "all that it started has ended")
        assert [port for port in ports if is_answered(port)] == []
    if sent is signal.SIGINT:
        assert "weighted bad" in child.log.read_text(), "what ran until then is reported"
        assert leftovers(home) == []


def is_answered(port: int) -> bool:
    with socket.socket() as caller:
        caller.settimeout(1.0)
        return caller.connect_ex(("127.0.0.1", port)) == 0


def listened(processes: set[int]) -> set[int]:
    """Ports on which processes take connections; after busy tests there are many to look at."""
    open_ones = psutil.net_connections(kind="tcp")
    heard = (c for c in open_ones if c.status == psutil.CONN_LISTEN and c.pid in processes)
    return {c.laddr.port for c in heard if c.laddr}


async def test_ctrl_c_before_the_story_begins_ends_it_at_once(home: Path) -> None:
    async with demo(home, "demo") as child:

        async def has_children() -> bool:
            return len(psutil.Process(child.pid).children(recursive=True)) > 3

        await until(has_children, "it started its first cells")
        family = psutil.Process(child.pid).children(recursive=True)
        child.send(signal.SIGINT)
        assert await child.wait() == 1
        assert not any(is_running(member) for member in family)
        said = child.log.read_text()
    assert said.splitlines()[-1].startswith("foreshard: the demo was ended before its story began")


async def test_a_demo_without_envoy_says_so_before_it_starts_anything(home: Path) -> None:
    # A Python beside which there is no Envoy, with the same packages.
    lonely = home / "python"
    lonely.symlink_to(PYTHON)
    process = await asyncio.create_subprocess_exec(
        *(str(lonely), "-m", "foreshard", "demo", "--headless"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={
            **environment(home),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "PATH": "",
        },
    )
    said, _ = await process.communicate()
    assert process.returncode == 1
    line = said.decode().strip()
    assert line.startswith("foreshard: Envoy is missing"), line
    assert len(line.splitlines()) == 1


async def test_a_taken_discovery_port_is_one_sentence(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = home / "taken.yaml"
        config.write_text(json.dumps(smallest_config(home, port)))
        status, said = await command(home, "serve", str(config))
    assert status == 1
    assert f"127.0.0.1:{port}" in said
    assert "taken" in said
    assert "Traceback" not in said


def smallest_config(home: Path, port: int) -> dict[str, object]:
    return {
        "service": "shop",
        "data_dir": str(home / "data"),
        "classes": [
            {
                "name": "all",
                "priority": "normal",
                "weight": 1.0,
                "objective_s": 1.0,
                "timeout_s": 2.0,
            }
        ],
        "default_class": "all",
        "cells": [{"name": "a", "region": "eu", "nodes": ["127.0.0.1:9"]}],
        "scrape": {
            "gauges": [
                {"resource": "cpu", "used": {"metric": "used"}, "limit": 1.0, "capacity": True}
            ]
        },
        "balancers": [{"admin": f"127.0.0.1:{free_port()}", "origin": "eu"}],
        "envoy": {"discovery": f"127.0.0.1:{port}"},
    }
