"""This module is cells that queue, request by request: what the estimator of serving is shown."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from foreshard.lab.cell.cpu import CpuQueue
from foreshard.profile.look import Look

__all__ = ["CPUS", "FULL_RPS", "OBJECTIVE_S", "WORK_S", "Cell", "look_at"]

CPUS = 3
# checkout, search, report: cpu seconds, objectives, and requests a second of a cell at load 1.
WORK_S = np.array([0.012, 0.024, 0.08])
OBJECTIVE_S = np.array([0.4, 0.5, 2.0])
FULL_RPS = np.array([48.4, 60.5, 12.1])


@dataclass
class Cell:
    """First come, first served on three cpus; Poisson arrivals, gamma costs.

    Attributes:
        rng: Of arrivals and costs.
        speed: Of its cpus, 1 = as declared.
        wait_s: By class: a dependency's answer, before the cpu is asked for.
        pool: By class: how many requests its dependency serves at once; 0 = any number.
        gauge: Whether the cpu gauge tells the truth; else it stands at this value.
    """

    rng: np.random.Generator
    speed: float = 1.0
    wait_s: dict[int, float] = field(default_factory=dict)
    pool: dict[int, int] = field(default_factory=dict)
    gauge: float | None = None
    now_s: float = 0.0

    def __post_init__(self) -> None:
        self._cpus = CpuQueue(servers=CPUS)
        self._pools: dict[int, CpuQueue] = {}
        self._open: list[tuple[float, float, int]] = []
        self._ready: list[tuple[float, float, int]] = []
        self._busy_s = 0.0

    def second(self, rates_rps: np.ndarray) -> dict[str, np.ndarray | float]:
        """Serve one second of load; what was counted over it."""
        counts = self.rng.poisson(rates_rps)
        arrivals = sorted(
            (self.now_s + self.rng.uniform(), k) for k, n in enumerate(counts) for _ in range(n)
        )
        self._ready += [(at + self._depends_s(at, k), at, k) for at, k in arrivals]
        # The cpus take work as it comes to them: what still waits elsewhere holds none.
        due = sorted(row for row in self._ready if row[0] <= self.now_s + 1.0)
        self._ready = [row for row in self._ready if row[0] > self.now_s + 1.0]
        for ready_s, at_s, k in due:
            cost_s = float(self.rng.gamma(4.0, WORK_S[k] / 4.0)) / self.speed
            done_s = self._cpus.offer(ready_s, busy_s=cost_s)
            self._open.append((done_s, at_s, k))
        self.now_s += 1.0
        done = [row for row in self._open if row[0] <= self.now_s]
        self._open = [row for row in self._open if row[0] > self.now_s]
        rate = np.array([sum(row[2] == k for row in done) for k in range(3)], dtype=float)
        spent = np.array([sum(row[0] - row[1] for row in done if row[2] == k) for k in range(3)])
        busy_s, self._busy_s = self._busy_s, self._cpus.busy_s(self.now_s)
        used = (self._busy_s - busy_s) / CPUS
        return {
            "rate": rate,
            "latency": np.where(rate > 0.0, spent / np.maximum(rate, 1.0), np.nan),
            "in_flight": float(len(self._open) + len(self._ready)),
            "busy": used if self.gauge is None else self.gauge,
            "sent": counts.astype(float),
        }

    def _depends_s(self, at_s: float, k: int) -> float:
        wait_s = self.wait_s.get(k, 0.0)
        if not self.pool.get(k):
            return wait_s
        pool = self._pools.setdefault(k, CpuQueue(servers=self.pool[k]))
        return pool.offer(at_s, busy_s=wait_s) - at_s


def look_at(cells: list[Cell], rates_rps: np.ndarray) -> Look:
    """One second of all cells, [C, K] requests a second; capacity 1 is a cell at speed 1."""
    seen = [cell.second(rates) for cell, rates in zip(cells, rates_rps, strict=True)]
    rate = np.array([s["rate"] for s in seen])
    return Look(
        rate_rps=rate,
        failed_ratio=np.zeros_like(rate),
        latency_s=np.array([s["latency"] for s in seen]),
        in_flight=np.array([s["in_flight"] for s in seen]),
        busy=np.array([s["busy"] for s in seen]),
        capacity=np.ones(len(cells)),
        work=WORK_S / CPUS,
        sent_rps=np.array([s["sent"] for s in seen]).sum(axis=0),
    )
