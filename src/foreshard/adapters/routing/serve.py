"""This module is the `serve` process: it keeps the proxies supplied, whatever becomes of the rest.

It holds the last committed plan and an operator's freeze, and survives the engine, which it
neither needs nor asks. Killed and started again, it goes on from its disk.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import structlog
from aiohttp import web

from foreshard.adapters.routing.client import SOCKET
from foreshard.adapters.routing.control import PlanControl
from foreshard.adapters.routing.control_api import control_app
from foreshard.adapters.routing.envoy.discovery import Discovery, DiscoverySettings
from foreshard.adapters.routing.envoy.editions import EditionService
from foreshard.adapters.routing.envoy.health import health_handler
from foreshard.adapters.routing.envoy.path_log import PathLog
from foreshard.adapters.routing.envoy.snapshot import Render
from foreshard.adapters.routing.seal import Seal
from foreshard.adapters.routing.table_service import TableService
from foreshard.model.errors import SinkError

__all__ = ["ServeSettings", "run_serve", "serving"]

LOCK = "serve.lock"
LOCK_AGAIN_S = 0.05

# What Linux allows in sockaddr_un, less the closing zero.
MAX_SOCKET_PATH = 107

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """Where `serve` listens and keeps its things.

    Attributes:
        data_dir: For control socket, committed table and freeze; made if it is missing.
        render: Turns a table into resources for one origin region.
        host: Address of the discovery port; loopback, because it has no authentication yet.
        port: Of the discovery service; 0 = any free one.
        discovery: How patient the discovery service is.
        seal: Goes on what relays are given to keep.
        lock_patience_s: One before us that is just ending (killed, or replaced by this one) is
            waited for so long.
    """

    data_dir: Path
    render: Render
    host: str = "127.0.0.1"
    port: int = 0
    discovery: DiscoverySettings = field(default_factory=DiscoverySettings)
    seal: Seal = field(default_factory=Seal)
    lock_patience_s: float = 5.0


async def run_serve(
    settings: ServeSettings, *, started: Callable[[int], None] | None = None
) -> None:
    """Serve until cancelled.

    Args:
        settings: See there.
        started: Called with the discovery port once everything is open.

    Raises:
        SinkError: Port or data directory are taken, or cannot be used.
    """
    async with serving(settings) as port:
        if started is not None:
            started(port)
        await asyncio.Event().wait()


@asynccontextmanager
async def serving(settings: ServeSettings) -> AsyncIterator[int]:
    """Serve inside the block; gives the discovery port.

    Raises:
        SinkError: Port or data directory are taken, or cannot be used.
    """
    socket = settings.data_dir / SOCKET
    if len(os.fsencode(socket)) > MAX_SOCKET_PATH:
        raise SinkError(
            f"data_dir is {settings.data_dir}: the path of its control socket has more than "
            f"{MAX_SOCKET_PATH} bytes, choose a shorter one"
        )
    async with _locked(settings.data_dir, settings.lock_patience_s):
        discovery = Discovery(settings.render, settings.discovery)
        control = PlanControl(discovery, settings.data_dir)
        paths = PathLog(control.tally)
        # Before the port is open: a proxy that asks at once gets the committed plan.
        await control.restore()
        handlers = [
            health_handler(lambda: discovery.committed is not None),
            EditionService(discovery, settings.seal).handler(),
            paths.handler(),
            TableService(control.table, control.news, settings.seal).handler(),
        ]
        port = await discovery.start(settings.host, settings.port, handlers=handlers)
        runner = web.AppRunner(control_app(control), access_log=None, shutdown_timeout=1.0)
        try:
            await runner.setup()
            await web.UnixSite(runner, str(_cleared(socket))).start()
            log.info("serve.started", port=port, data_dir=str(settings.data_dir))
            yield port
        finally:
            await runner.cleanup()
            paths.close()
            await discovery.stop()


def _cleared(socket: Path) -> Path:
    """The place of the control socket, without the one that a killed process left.

    Raises:
        SinkError: Something else lies there.
    """
    # The lock says that it is nobody's.
    if socket.is_socket():
        socket.unlink()
    elif socket.exists() or socket.is_symlink():
        raise SinkError(f"{socket}: is no socket, so nobody could reach serve; move it away")
    return socket


@asynccontextmanager
async def _locked(directory: Path, patience_s: float) -> AsyncIterator[None]:
    with _opened(directory) as lock:
        deadline_s = time.monotonic() + patience_s
        while not _taken(lock):
            if time.monotonic() >= deadline_s:
                raise SinkError(
                    f"data_dir {directory}: another `foreshard serve` uses it; stop that one, or "
                    "choose another directory"
                )
            await asyncio.sleep(LOCK_AGAIN_S)
        yield


def _opened(directory: Path) -> IO[str]:
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        # For both: to open a pipe for writing alone is to wait for a reader.
        return (directory / LOCK).open("a+")
    except OSError as error:
        raise SinkError(f"data_dir {directory}: cannot be used ({error})") from error


def _taken(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
