"""This module is a stranger's service: an Envoy and cells that Foreshard did not start.

What `foreshard init` and `foreshard check` are tried on. Its owner's requests go on all the time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from foreshard.controller.process import PortHold, hold_port
from foreshard.lab import reactive, service
from foreshard.lab.envoy import Envoy
from foreshard.lab.supervisor import Supervisor
from foreshard.model.topology import Fleet, Node

__all__ = ["Said", "Stranger", "foreshard", "frozen_cell", "strange", "with_node"]

CELLS = ("eu-1", "eu-2", "us-1")
PATIENCE_S = 45.0
# Some 60 requests a second, a sixth of what the cells can serve.
CLIENTS = 4
PAUSE_S = 0.04


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a command said."""

    status: int
    out: str
    err: str


@dataclass(kw_only=True)
class Stranger:
    """What runs.

    Attributes:
        cells: The fleet.
        envoy: In front of it.
        directory: An empty folder.
        hold: The port that requests go to.
    """

    cells: Supervisor
    envoy: Envoy
    directory: Path
    hold: PortHold

    @property
    def admin(self) -> str:
        """Of the Envoy, as host:port."""
        return self.envoy.admin.removeprefix("http://")

    @property
    def config(self) -> Path:
        """Where the tests let `init` write."""
        return self.directory / "foreshard.yaml"

    def edit(self, *changes: tuple[str, str]) -> None:
        """Replace text in the configuration; each must be there."""
        text = self.config.read_text(encoding="utf-8")
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        self.config.write_text(text, encoding="utf-8")


async def foreshard(*arguments: str, cwd: Path) -> Said:
    """Run the command to its end, as a user would in a terminal without a keyboard."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "foreshard",
        *arguments,
        cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "COLUMNS": "120", "TERM": "dumb"},
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Said(status=process.returncode or 0, out=out.decode(), err=err.decode())


@asynccontextmanager
async def strange(
    change: Callable[[Fleet], Fleet] = lambda fleet: fleet,
) -> AsyncIterator[Stranger]:
    """The service, under steady requests; everything is ended with the block.

    Args:
        change: Made to the fleet that the Envoy is told.
    """
    directory = Path(tempfile.mkdtemp(prefix="fs-"))
    async with AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        cells = await stack.enter_async_context(Supervisor(cells=CELLS))
        hold = hold_port()
        stack.callback(hold.release)
        config = reactive.bootstrap(change(cells.fleet), service.CLASSES, listen_port=hold.port)
        theirs = directory / "theirs"
        theirs.mkdir()
        envoy = await Envoy.launch(
            reactive.render(config), name="envoy", directory=theirs, port=hold.port
        )
        stack.push_async_callback(envoy.stop)
        for _ in range(CLIENTS):
            await stack.enter_async_context(_background(_requests(hold.port)))
        ours = directory / "ours"
        ours.mkdir()
        yield Stranger(cells=cells, envoy=envoy, directory=ours, hold=hold)


@asynccontextmanager
async def frozen_cell(page: str) -> AsyncIterator[Node]:
    """A node that serves every request, and says the same of itself for ever."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text=page if request.path == "/metrics" else "ok")

    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    hold = hold_port()
    try:
        await web.TCPSite(runner, service.HOST, hold.port, reuse_port=True).start()
        yield Node(host=service.HOST, port=hold.port)
    finally:
        await runner.cleanup()
        hold.release()


def with_node(fleet: Fleet, cell: str, node: Node) -> Fleet:
    """The fleet, a cell of which has another node."""
    return Fleet(
        cells=tuple(replace(c, nodes=(node,)) if c.name == cell else c for c in fleet.cells)
    )


async def _requests(port: int) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5.0)) as session:
        while True:
            # What becomes of a request is its owner's business.
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with session.get(f"http://{service.HOST}:{port}/search") as answer:
                    await answer.read()
            await asyncio.sleep(PAUSE_S)


@asynccontextmanager
async def _background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
