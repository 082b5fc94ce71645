"""This module is the service inside a cell: what a request waits for, holds, uses and gets.

A request takes a connection (or waits for one, and is refused after a while), waits for what
its class depends on, stands in line for a cpu, and lets everything go. A request whose client
has gone away is served to the end: that is what servers do, and why overload feeds on itself.
"""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass
from time import monotonic
from typing import Final

from foreshard.lab import service
from foreshard.lab.cell.cpu import CpuQueue
from foreshard.lab.cell.disk import Disk
from foreshard.lab.cell.draw import CPU, DEPENDENCY, ERRORS, erlang, uniform
from foreshard.lab.cell.faults import Fault, FaultKind, Faults
from foreshard.lab.cell.memory import Heap
from foreshard.lab.cell.metrics import LoadReport, Metrics, Resource, Snapshot
from foreshard.lab.cell.pool import Pool

__all__ = ["Answer", "Shop"]

OK: Final = 200
FAILED: Final = 500
REFUSED: Final = 503
# Far more than the demo's keys; a stranger's keys must not become a leak of their own.
KEYS_REMEMBERED: Final = 100_000


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request got: an HTTP status, a word of why, and what it cost in cpu seconds."""

    status: int
    text: str
    cpu_s: float = 0.0


BUSY: Final = Answer(REFUSED, "too many requests in this cell\n")
BROKEN: Final = Answer(REFUSED, "this cell is broken\n")
NO_CONNECTION: Final = Answer(REFUSED, "no connection became free in time\n")


class Shop:
    """One cell's resources and the requests that use them."""

    def __init__(self, *, cell: str, version: str, memory_room_bytes: int) -> None:
        self._cpu = CpuQueue(servers=int(service.CELL_CPUS))
        self._heap = Heap(room_bytes=memory_room_bytes, seed=cell)
        self._pool = Pool(size=service.CONNECTIONS)
        self._disk = Disk()
        self._faults = Faults()
        self._leak_room_bytes = 0
        self._seen_keys: dict[str, None] = {}
        self._in_flight = 0
        self._finished = 0
        self.metrics = Metrics(cell=cell, version=version, read=self.snapshot)
        self.report = LoadReport(cpus=service.CELL_CPUS)

    async def serve(self, name: str, *, key: str, draw: int) -> Answer:
        """Serve one request.

        Args:
            name: Its class, one of `service.WORK`.
            key: Partition key; only a class with cold keys looks at it.
            draw: Seeds what it costs.
        """
        arrived_s = monotonic()
        self._in_flight += 1
        answer = BUSY
        try:
            if self._is_refused(name, draw, now_s=arrived_s):
                answer = BROKEN
            elif self._in_flight <= service.BACKLOG:
                answer = await self._with_connection(name, key, draw)
        finally:
            self._in_flight -= 1
            self._finished += 1
            self._disk.log_request()
            self.metrics.count(name, answer.status, monotonic() - arrived_s)
        return answer

    def _is_refused(self, name: str, draw: int, *, now_s: float) -> bool:
        """Whether a request is one of those that a fault answers with an error at once."""
        ratio = self._faults.growth_for(FaultKind.ERRORS, name, now_s=now_s)
        return ratio > 0.0 and uniform(draw, ERRORS) < ratio

    async def _with_connection(self, name: str, key: str, draw: int) -> Answer:
        work = service.WORK[name]
        if not await self._pool.acquire(timeout_s=service.POOL_WAIT_S):
            return NO_CONNECTION
        held = bytearray(work.holds_bytes)
        try:
            await _sleep(self._wait_s(name, key, draw))
            now_s = monotonic()
            cpu_s = work.cpu_s * erlang(draw, CPU) / self._faults.speed(now_s=now_s)
            finish_s = self._cpu.offer(now_s, busy_s=cpu_s)
            await _sleep(finish_s - now_s)
            if work.writes and self._disk.is_full:
                return Answer(FAILED, "no space left on device\n", cpu_s)
            return Answer(OK, "ok\n", cpu_s)
        finally:
            del held
            self._pool.release()

    def _wait_s(self, name: str, key: str, draw: int) -> float:
        work = service.WORK[name]
        wait_s = self._faults.growth_for(FaultKind.LATENCY, name, now_s=monotonic())
        if work.cold_s and key not in self._seen_keys:
            wait_s += work.cold_s
            self._seen_keys[key] = None
            if len(self._seen_keys) > KEYS_REMEMBERED:
                del self._seen_keys[next(iter(self._seen_keys))]
        if work.dependency:
            wait_s += work.dependency_s * erlang(draw, DEPENDENCY)
            wait_s += self._faults.growth(FaultKind.SLOW_DEPENDENCY, now_s=monotonic())
        return wait_s

    @property
    def is_mute(self) -> bool:
        """Whether nobody gets an answer who asks for metrics."""
        return self._faults.has(FaultKind.MUTE)

    def snapshot(self) -> Snapshot:
        """The present state."""
        return Snapshot(
            cpu_busy_s=self._cpu.busy_s(monotonic()),
            in_flight=self._in_flight,
            resources={
                "cpu": Resource(used=None, limit=service.CELL_CPUS),
                "memory": Resource(used=self._heap.used_bytes, limit=self._heap.limit_bytes),
                "disk": Resource(used=self._disk.used_bytes, limit=self._disk.limit_bytes),
                "connections": Resource(used=self._pool.used, limit=self._pool.size),
            },
        )

    def inject(self, fault: Fault) -> None:
        """Begin a fault of this process; a crash does not return."""
        if fault.kind is FaultKind.CRASH:
            os.kill(os.getpid(), signal.SIGKILL)
        if fault.kind is FaultKind.LEAK:
            self._heap.forgive()
            self._leak_room_bytes = self._heap.room_bytes
        self._faults.inject(fault, now_s=monotonic())

    def clear(self) -> None:
        """End all faults and give back what they took."""
        self._faults.clear()
        self._heap.forgive()
        self.tick()

    def tick(self) -> None:
        """Let faults grow and the heap breathe; die when memory is over its limit."""
        now_s = monotonic()
        leak = self._faults.unbounded_growth(FaultKind.LEAK, now_s=now_s)
        self._heap.leak_to(leak * self._leak_room_bytes)
        self._heap.breathe()
        lost = self._faults.growth(FaultKind.POOL, now_s=now_s)
        self._pool.lose(round(lost * self._pool.size))
        self._disk.fill(self._faults.growth(FaultKind.DISK_FILL, now_s=now_s))
        snapshot = self.snapshot()
        memory = snapshot.resources["memory"]
        ratio = (memory.used or 0.0) / memory.limit
        if ratio > 1.0:
            # As the kernel does: without a word, and without a chance to tidy up.
            os.kill(os.getpid(), signal.SIGKILL)
        self.report.advance(now_s, finished=self._finished, memory_ratio=ratio, snapshot=snapshot)


async def _sleep(seconds: float) -> None:
    if seconds > 0.0:
        await asyncio.sleep(seconds)
