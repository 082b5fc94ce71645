"""`foreshard run` itself: what it makes, and what becomes of it when a part cannot run."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from stat import S_IMODE

import pytest
import yaml

from foreshard.adapters.routing.client import ServeSink
from foreshard.config import load
from foreshard.controller.process import free_port
from foreshard.lab.steering import demo_config
from foreshard.model.errors import SinkError
from tests.cli.test_main import committed
from tests.e2e.stage import until
from tests.test_config import site

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One that goes on; its lines are read from a file."""

    config: Path
    said: Path
    process: asyncio.subprocess.Process

    def lines(self, event: str) -> Sequence[dict[str, object]]:
        """What it has said of one kind so far."""
        whole = [line for line in self.said.read_text().splitlines() if line.startswith("{")]
        return [entry for line in whole if (entry := json.loads(line))["event"] == event]

    async def version(self) -> object:
        """Of the plan that is served; None = none, or nobody answers."""
        try:
            async with ServeSink(load(self.config).data_dir, timeout_s=2.0) as sink:
                return (await sink.status())["version"]
        except SinkError:
            return None


@asynccontextmanager
async def running(config: Path) -> AsyncIterator[Run]:
    said = config.with_name("said.log")
    with said.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "foreshard", "run", str(config), "--log-format", "json"),
            stdout=out,
            stderr=out,
            umask=0o022,
        )
    try:
        yield Run(config=config, said=said, process=process)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20.0):
            await process.wait()


@pytest.fixture
def config() -> Iterator[Path]:
    values = {
        **demo_config(site()),
        "data_dir": "var/foreshard",
        "events_file": None,
        "envoy": {"discovery": f"127.0.0.1:{free_port()}", "listen": "127.0.0.1:10000"},
    }
    # Not pytest's folder: the path of a control socket has 107 bytes.
    with tempfile.TemporaryDirectory(prefix="fs-") as directory:
        file = Path(directory) / "foreshard.yaml"
        file.write_text(yaml.safe_dump(values), encoding="utf-8")
        yield file


async def test_whatever_it_makes_is_its_user_s_alone(config: Path) -> None:
    data_dir = load(config).data_dir
    async with running(config) as run:

        async def has_decided() -> bool:
            return (data_dir / "engine.alive").exists() and any(
                (data_dir / "replay").glob("*.turns.gz")
            )

        await until(has_decided, "the engine decides")
        made = [data_dir.parent, data_dir, *data_dir.rglob("*")]
        names = {path.name for path in made}
        assert {"serve.sock", "engine.lock", "serve.log", "engine.log", "state"} <= names
        open_to_others = [
            f"{path} {S_IMODE(path.stat().st_mode):o}"
            for path in made
            if path.stat().st_mode & 0o077
        ]
        assert open_to_others == []
        run.process.send_signal(signal.SIGTERM)
        assert await run.process.wait() == 0
    assert S_IMODE(data_dir.stat().st_mode) == 0o700


async def test_an_engine_that_cannot_start_is_tried_again_while_the_last_plan_is_served(
    config: Path,
) -> None:
    data_dir = load(config).data_dir
    data_dir.mkdir(parents=True)
    plan = committed(config)
    # Its state cannot be used, whoever asks.
    (data_dir / "engine.lock").mkdir()
    async with running(config) as run:

        async def has_died_twice() -> bool:
            return len(run.lines("process.died")) >= 2

        await until(has_died_twice, "the engine is tried again")
        first, second = run.lines("process.died")[:2]
        assert (first["process"], first["in_a_row"]) == ("engine", 1)
        assert (second["process"], second["in_a_row"]) == ("engine", 2)
        assert "engine.lock" in str(first["said"]) or "cannot be used" in str(first["said"])
        assert await run.version() == plan.version
        (data_dir / "engine.lock").rmdir()

        async def decides() -> bool:
            return (data_dir / "engine.alive").exists()

        await until(decides, "the engine starts at last")
        serves = [line for line in run.lines("process.started") if line["process"] == "serve"]
        assert len(serves) == 1
        assert run.process.returncode is None


async def test_a_port_of_discovery_that_is_taken_is_told_at_once(config: Path) -> None:
    taken = load(config).envoy.discovery
    host, _, port = taken.rpartition(":")
    server = await asyncio.start_server(lambda _, writer: writer.close(), host, int(port))
    async with server, running(config) as run:
        async with asyncio.timeout(60.0):
            assert await run.process.wait() == 1
    last = run.said.read_text().splitlines()[-1]
    assert last.startswith("foreshard: serve cannot run: ")
    assert port in last
