"""This module is a child process that never outlives us, and the ports that children need.

Every child runs on a leash (see `leash`): however this process ends, the kernel ends its
children. It runs in a session of its own, so that Ctrl-C on the terminal reaches us alone and
we decide the order in which things end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from foreshard.controller import leash
from foreshard.model.errors import ProcessError

__all__ = ["Child", "PortHold", "free_port", "hold_port", "start"]

LOOPBACK = "127.0.0.1"
STDERR = 2


class Child:
    """A running child; made by `start`."""

    def __init__(self, process: asyncio.subprocess.Process, *, name: str, log: Path) -> None:
        self._process = process
        self.name = name
        self.log = log

    @property
    def pid(self) -> int:
        """Its process id, also of its process group."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit status, negative when a signal ended it; None while it runs."""
        return self._process.returncode

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.returncode is None

    async def wait(self) -> int:
        """Return its exit status once it has ended."""
        return await self._process.wait()

    def send(self, sent: signal.Signals) -> None:
        """Send a signal; nothing happens when it has ended."""
        if self.is_running:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(sent)

    def kill(self) -> None:
        """End it and its process group at once."""
        if self.is_running:
            # Until it is reaped its id cannot belong to anyone else.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    async def terminate(self, *, grace_s: float = 5.0) -> int:
        """Ask it to end (SIGTERM), make it end after `grace_s`, return its exit status."""
        self.send(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_s):
                return await self.wait()
        except TimeoutError:
            self.kill()
            return await self.wait()
        finally:
            self.kill()

    def tail(self, lines: int = 5) -> str:
        """The last lines of its log, for messages to people."""
        try:
            text = self.log.read_text(errors="replace")
        except OSError as error:
            return f"(no log: {error})"
        return "\n".join(text.splitlines()[-lines:]) or "(its log is empty)"


async def start(
    argv: Sequence[str],
    *,
    name: str,
    log: Path,
    out: int | None = None,
    env: Mapping[str, str] | None = None,
    keeps: Sequence[int] = (),
) -> Child:
    """Start a program that ends when this process ends, whatever ends it.

    Call it from the main thread: the leash is tied to the thread that starts the child.

    Args:
        argv: Program and arguments; a program without a slash is looked up on PATH.
        name: For messages.
        log: File that gets its standard output and error, appended to.
        out: Open file of ours that gets them in the log's place; None = the log does.
        env: Added to this process's environment.
        keeps: Open files of ours that it gets too, under the same numbers.

    Raises:
        ProcessError: The process cannot be created or its log cannot be written. A program that
            does not exist shows as exit status 127 and a line in the log.
    """
    leashed = [sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *argv]
    try:
        with _opened(log, out) as said:
            process = await asyncio.create_subprocess_exec(
                *leashed,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=said,
                stderr=asyncio.subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
                pass_fds=keeps,
            )
    except OSError as error:
        raise ProcessError(f"{name} cannot be started (log {log}): {error}") from error
    return Child(process, name=name, log=log)


def _opened(log: Path, out: int | None) -> contextlib.AbstractContextManager[int | BinaryIO]:
    if out is not None:
        return contextlib.nullcontext(out)
    log.parent.mkdir(parents=True, exist_ok=True)
    return log.open("ab")


def free_port() -> int:
    """A TCP port of the loopback that was free a moment ago; prefer `hold_port`."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


class PortHold:
    """A port that stays ours while nobody listens on it, also between two lives of a child.

    The socket is bound with SO_REUSEPORT and never listens: connecting is refused, the
    kernel gives the port to nobody else, not even as the near end of an outgoing
    connection, and a child that sets SO_REUSEPORT too (aiohttp's `reuse_port`, Envoy by
    default) may listen there.
    """

    def __init__(self, held: socket.socket) -> None:
        self._held = held
        self.port = int(held.getsockname()[1])

    def release(self) -> None:
        """Give the port back."""
        self._held.close()


def hold_port() -> PortHold:
    """Take a free port of the loopback and keep it until it is released.

    Raises:
        ProcessError: There is none.
    """
    held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((LOOPBACK, 0))
    except OSError as error:
        held.close()
        raise ProcessError(f"no free port on {LOOPBACK}: {error}") from error
    return PortHold(held)
