"""This module is a light load generator: one process, keep-alive connections, an open schedule.

    python benchmarks/hammer.py PORT RATE CONNECTIONS PART/PARTS PLAN.npy OUT.npz

`PLAN.npy` holds the number of the key of every request; this process sends every PARTS-th of
them, at the time that the rate gives it, whether or not others were answered. What it finds goes
to `OUT.npz`: of every request when it was due, was sent and was answered (CLOCK_MONOTONIC), its
status (0 = none) and the number at the end of the answering cell's name (-1 = none).
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from collections.abc import Coroutine
from pathlib import Path
from typing import cast

import numpy as np
import uvloop

HOST = "127.0.0.1"
STEP_S = 0.001
LAST_ANSWERS_S = 3.0
START_S = 0.2
REQUEST = b"POST /checkout HTTP/1.1\r\nhost: bench\r\nx-key: key-%d\r\ncontent-length: 0\r\n\r\n"


class Wire(asyncio.Protocol):
    """One connection, which has at most one request open."""

    def __init__(self, hammer: Hammer) -> None:
        self._hammer = hammer
        self._transport: asyncio.Transport | None = None
        self._request = -1
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be ready for a request."""
        # uvloop's are no instances of asyncio's, though they are used alike.
        self._transport = cast("asyncio.Transport", transport)
        self._hammer.idle.append(self)

    def ask(self, request: int, key: int) -> None:
        """Send a request."""
        self._request = request
        self._hammer.sent_s[request] = time.monotonic()
        if self._transport is not None:
            self._transport.write(REQUEST % key)

    def data_received(self, data: bytes) -> None:
        """Take an answer, which has no body."""
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            return
        hammer, request, head = self._hammer, self._request, self._head[:end]
        hammer.answered_s[request] = time.monotonic()
        hammer.status[request] = int(head[9:12])
        at = head.find(b"\r\nx-cell: ")
        if at >= 0:
            name = head[at + 10 :].split(b"\r\n", 1)[0]
            hammer.cell[request] = int(name.rpartition(b"-")[2])
        self._head, self._request = self._head[end + 4 :], -1
        hammer.idle.append(self)

    def connection_lost(self, error: Exception | None) -> None:
        """Leave the open request unanswered; it has failed."""
        if self in self._hammer.idle:
            self._hammer.idle.remove(self)
        self._hammer.lost += 1


class Hammer:
    """Sends a plan of requests."""

    def __init__(self, port: int, keys: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
        self._port = port
        self._keys = keys.tolist()
        size = len(self._keys)
        self.idle: deque[Wire] = deque()
        self.lost = 0
        self.due_s = np.zeros(size)
        self.sent_s = np.full(size, np.nan)
        self.answered_s = np.full(size, np.nan)
        self.status = np.zeros(size, dtype=np.int64)
        self.cell = np.full(size, -1, dtype=np.int64)

    async def run(self, rate: float, connections: int) -> None:
        """Send all, and wait a moment for the last answers."""
        loop = asyncio.get_running_loop()

        def connect() -> Coroutine[None, None, object]:
            return loop.create_connection(lambda: Wire(self), HOST, self._port)

        for _ in range(connections):
            await connect()
        began_s = time.monotonic() + START_S
        self.due_s[:] = began_s + np.arange(len(self._keys)) / rate
        sent = 0
        deadline_s = float(self.due_s[-1]) + LAST_ANSWERS_S
        while sent < len(self._keys) and time.monotonic() < deadline_s:
            due = int((time.monotonic() - began_s) * rate) + 1
            while self.idle and sent < min(due, len(self._keys)):
                self.idle.popleft().ask(sent, self._keys[sent])
                sent += 1
            while self.lost:
                self.lost -= 1
                await connect()
            await asyncio.sleep(STEP_S)
        for _ in range(int(LAST_ANSWERS_S / STEP_S)):
            if len(self.idle) >= connections:
                break
            await asyncio.sleep(STEP_S)


def main(argv: list[str]) -> int:
    """Send, then write down what was found."""
    port, rate, connections, part, plan, out = argv[1:]
    number, parts = map(int, part.split("/"))
    keys = np.load(plan)[number::parts]
    hammer = Hammer(int(port), keys)
    uvloop.run(hammer.run(float(rate) / parts, int(connections)))
    np.savez(
        Path(out),
        key=keys,
        due_s=hammer.due_s,
        sent_s=hammer.sent_s,
        answered_s=hammer.answered_s,
        status=hammer.status,
        cell=hammer.cell,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
