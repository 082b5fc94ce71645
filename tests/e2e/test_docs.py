"""The pages of the documentation, typed in as they stand.

Ports and cells are put in place of those of the example, as the page tells its reader to do; a
program that runs until it is ended is ended with the test.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from foreshard.app.asking import engine_status
from foreshard.config import load
from foreshard.controller.process import Child, free_port, hold_port, start
from foreshard.lab.supervisor import Supervisor
from tests.architecture.source import ROOT
from tests.docs.page import script_of, words_of
from tests.e2e.stage import CELLS, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(200)]

BIN = Path(sys.executable).parent
TUTORIAL = "docs/tutorial/demo.md"
STEERING = "docs/how-to/steer-your-envoy.md"
# The last one thaws.
RUNNING = ("docs/how-to/read-why.md", "docs/how-to/on-call.md", "docs/how-to/freeze.md")
# `grep` finds nothing on a good day; Envoy has no listener before its first plan.
FINE: Mapping[str, tuple[int, ...]] = {"grep": (0, 1), "curl": (0, 7)}
ENDLESS = ("foreshard run", "envoy ")
# What the tutorial starts, shorter and lighter; that the pages' own words are right is checked
# by tests/docs.
SHORT_DEMO = ("--headless", "--story", "quiet", "--load", "0.15", "--duration-s", "90")


@dataclass(kw_only=True)
class Desk:
    """Where a reader sits: a folder with the example in it, and a shell.

    Attributes:
        folder: The current one.
        stack: Ends what was started.
        instead: What stands on the page, and what is right here.
        started: Programs that go on, by the command that started them.
    """

    folder: Path
    stack: AsyncExitStack
    instead: dict[str, str] = field(default_factory=dict)
    started: dict[str, Child] = field(default_factory=dict)

    async def type(self, command: str) -> str:
        """Type a command; gives what it said."""
        for printed, here in self.instead.items():
            command = command.replace(printed, here)
        if command.startswith(ENDLESS):
            await self._start(command)
            return ""
        process = await asyncio.create_subprocess_exec(
            *("bash", "-ec", command),
            cwd=self.folder,
            env=self.environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said = (await process.communicate())[0].decode()
        assert process.returncode in FINE.get(words_of(command)[0], (0,)), f"{command}\n{said}"
        return said

    async def _start(self, command: str) -> None:
        name = command.split(maxsplit=1)[0]
        script = f"cd {self.folder} && exec {command}"
        child = await start(
            ["bash", "-ec", script],
            name=name,
            log=self.folder / f"{name}.log",
            env=self.environment(),
        )
        self.started[command] = child
        self.stack.push_async_callback(child.terminate)

    def environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(BIN), os.environ.get("PATH", "")])
        home = str(self.folder)
        return {**os.environ, "PATH": path, "TMPDIR": home, "XDG_RUNTIME_DIR": home}

    def status(self) -> Mapping[str, Any] | None:
        return engine_status(load(self.folder / "foreshard.yaml"))


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not pytest's folder: the path of a control socket has 107 bytes.
    directory = Path(tempfile.mkdtemp(prefix="fs-"))
    (directory / ".venv").symlink_to(BIN.parent)
    shutil.copytree(ROOT / "examples", directory / "examples")
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@asynccontextmanager
async def desk(folder: Path) -> AsyncIterator[Desk]:
    async with AsyncExitStack() as stack:
        yield Desk(folder=folder, stack=stack)


@asynccontextmanager
async def desk_with_cells(folder: Path) -> AsyncIterator[Desk]:
    """A reader who has three cells of their own, on ports of their own."""
    async with desk(folder) as reader, Supervisor(cells=CELLS) as fleet:
        hold = hold_port()
        reader.stack.callback(hold.release)
        reader.instead |= {
            f"127.0.0.1:900{i}": f"127.0.0.1:{fleet.ports[name]}"
            for i, name in enumerate(CELLS, start=1)
        }
        reader.instead |= {
            "127.0.0.1:10000": f"127.0.0.1:{hold.port}",
            "127.0.0.1:18000": f"127.0.0.1:{free_port()}",
            "127.0.0.1:9901": f"127.0.0.1:{free_port()}",
        }
        yield reader


def describe(reader: Desk) -> None:
    """Do what step 1 asks for: say in the configuration where one's cells and gauges are."""
    path = reader.folder / "foreshard.yaml"
    text = path.read_text(encoding="utf-8")
    for printed, here in reader.instead.items():
        text = text.replace(printed, here)
    values = yaml.safe_load(text)
    for gauge in values["scrape"]["gauges"]:
        labels = {"resource": gauge["resource"]}
        if gauge["resource"] == "cpu":
            gauge["used"] = {"metric": "cell_cpu_seconds_total"}
        else:
            gauge["used"] = {"metric": "cell_resource_used", "labels": labels}
        gauge["limit"] = {"metric": "cell_resource_limit", "labels": labels}
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def set_admin_port(reader: Desk, command: str) -> str:
    """The bootstrap of an Envoy whose admin page is not where the example has it."""
    port = reader.instead["127.0.0.1:9901"].rpartition(":")[2]
    return command.replace("foreshard.yaml >", f"foreshard.yaml --admin-port {port} >")


async def steered(reader: Desk) -> list[str]:
    """Type the page on steering; gives what its questions were answered."""
    answers = []
    for command in script_of(STEERING):
        if command.startswith("curl"):

            async def is_answered(asked: str = command) -> bool:
                return await reader.type(asked) == "200\n"

            await until(is_answered, "Envoy has a plan and answers")
        elif command.startswith("foreshard why"):

            async def is_seen(asked: str = command) -> bool:
                answers.append(await reader.type(asked))
                return "requests/s; cpu" in answers[-1]

            await until(is_seen, f"it sees the cell; {answers}")
        elif command.startswith("foreshard bootstrap"):
            await reader.type(set_admin_port(reader, command))
        else:
            await reader.type(command)
        if "> foreshard.yaml" in command:
            describe(reader)
        if command.startswith("foreshard run"):

            async def is_running() -> bool:
                return reader.status() is not None

            await until(is_running, "Foreshard has looked at the fleet")
    return answers


async def test_an_envoy_is_steered_as_the_page_says(folder: Path) -> None:
    async with desk_with_cells(folder) as reader:
        answers = await steered(reader)
        assert answers[-1].startswith("cell eu-1: nothing was ever decided about it")
        assert re.search(r"now \(\d\d:\d\d:\d\d\): active, .*memory \d+%", answers[-1])
        before = reader.status()
        assert before is not None
        # The last step asks for a new start.
        (child,) = [c for name, c in reader.started.items() if name.startswith("foreshard run")]
        await child.terminate()
        assert load(folder / "foreshard.yaml").mode.value == "act"
        await reader.type("foreshard run foreshard.yaml")

        async def goes_on() -> bool:
            status = reader.status()
            return status is not None and status["now_s"] > before["now_s"]

        await until(goes_on, "it goes on")
        after = reader.status()
        assert after is not None
        assert after["version"] >= before["version"] >= 1


async def test_the_commands_of_a_running_foreshard_work(folder: Path) -> None:
    async with desk_with_cells(folder) as reader:
        await steered(reader)
        for page in RUNNING:
            await followed(reader, page)


async def followed(reader: Desk, page: str) -> None:
    """Type a page about a Foreshard that runs, and look at what it says."""
    typed = script_of(page)
    for command in typed:
        answer = await reader.type(command)
        if command.startswith("foreshard freeze"):
            assert "frozen" in answer
        if command.startswith("foreshard why"):
            assert answer.startswith("cell eu-2")
    changes = [c for c in typed if c.startswith(("foreshard freeze", "foreshard thaw"))]
    is_frozen = bool(changes) and "freeze" in changes[-1]
    answer = await reader.type("foreshard why eu-2 --config foreshard.yaml")
    assert ("  frozen: " in answer) == is_frozen


async def test_the_tutorial_runs(folder: Path) -> None:
    async with desk(folder) as reader:
        argv = [sys.executable, "-m", "foreshard", "demo", *SHORT_DEMO]
        log = folder / "demo.log"
        demo = await start(argv, name="demo", log=log, env=reader.environment())
        reader.stack.push_async_callback(demo.terminate)

        async def is_under_way() -> bool:
            assert demo.is_running, demo.tail(20)
            return bool(re.search(r"\d+ s of 90 \(quiet\)", log.read_text(encoding="utf-8")))

        await until(is_under_way, "the story begins", within_s=120.0)
        typed = [c for c in script_of(TUTORIAL) if not c.startswith("make ")]
        told = [(command, await reader.type(command)) for command in typed]
        answers = [answer for command, answer in told if command.startswith("foreshard why")]
        assert all(answer.startswith("cell ") for answer in answers)
        assert "frozen: looking at it myself" in answers[-1]
        assert "on both fleets" in dict(told)["foreshard fault us-2 leak"]

        async def is_seen() -> bool:
            # On a slow machine the doubt may be over when it is asked for.
            return "nothing was ever decided" not in await reader.type("foreshard why us-2")

        await until(is_seen, f"it sees the leak that the reader made; {demo.tail(20)}")
