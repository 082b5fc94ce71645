"""A plant by formula: demand times shares, a cpu that saturates, and deaths that lose requests.

It keeps the contract and nothing more: no queues, no proxies, no chance.
"""

from __future__ import annotations

import numpy as np

from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.actuators import shares_of
from foreshard.lab.simulation.effects import Effects
from foreshard.lab.simulation.plant import LATENCY_EDGES_S, Counts, Fate, Ledger
from foreshard.lab.simulation.routing import Routing
from foreshard.model.errors import LabError

__all__ = ["FormulaPlant"]

AT_ONCE_S = 0.03


class FormulaPlant:
    """A `Plant` without chance."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario = scenario
        self.seed = seed
        self.routed: list[Routing] = []
        origins = scenario.load.origins or {scenario.origins[0]: 1.0}
        part = np.array([origins[name] for name in scenario.origins])
        share = np.array([offer.share for offer in scenario.offers])
        self._rate = scenario.rate_rps() * np.outer(part, share / share.sum())
        self._cost_s = np.array([offer.work.cpu_s for offer in scenario.offers])
        self._cpus = np.array(scenario.cpus())
        self._now_s = 0.0
        self._shares: np.ndarray | None = None
        self._counts = self._zero()
        seconds, cells, classes = round(scenario.duration_s), len(scenario.sites), share.size
        self._ledger = Ledger(
            fates=np.zeros((seconds, part.size, classes, len(Fate))),
            served=np.zeros((seconds, cells, classes)),
            latency=np.zeros((classes, len(LATENCY_EDGES_S) - 1)),
            crossed=np.zeros(seconds),
        )

    def route(self, routing: Routing) -> None:
        self.routed.append(routing)
        self._shares = shares_of(routing)

    def advance(self, to_s: float, effects: Effects) -> None:
        if self._shares is None:
            raise LabError("plant: a request arrived before anybody routed it")
        dt = to_s - self._now_s
        second = min(int(self._now_s + 1e-6), len(self._ledger.fates) - 1)
        self._now_s = to_s
        arrived = self._rate * effects.demand * dt
        given = arrived[..., None] * self._shares  # [O, K, C + 1]
        tries = given[..., :-1].transpose(0, 2, 1)
        work_s = (tries * self._cost_s).sum(axis=(0, 2)) / dt
        able = self._cpus * effects.speed
        served = np.minimum(1.0, able / np.maximum(work_s, 1e-12))
        served *= effects.is_up & effects.is_reachable
        good = tries * (served[:, None] * (1.0 - effects.error_ratio))[None]
        wait_s = AT_ONCE_S + effects.wait_s
        self._add("arrived", arrived)
        self._add("shed", given[..., -1])
        self._add("tries", tries)
        self._add("failed", tries - good)
        self._add("latency_s", tries * wait_s[None])
        self._add("busy_s", np.minimum(work_s, able) * dt * effects.is_up)
        self._counts["inside"] = work_s * AT_ONCE_S * 10.0
        self._counts["in_flight"] = tries / dt * wait_s[None]
        fates = self._ledger.fates[second]
        fates[..., Fate.GOOD] += good.sum(axis=1)
        fates[..., Fate.FAILED] += (tries - good).sum(axis=1)
        fates[..., Fate.SHED] += given[..., -1]
        self._ledger.served[second] += good.sum(axis=0)

    def count(self) -> Counts:
        counts, self._counts = self._counts, self._zero()
        return Counts(**counts)

    def ledger(self) -> Ledger:
        return self._ledger

    def close(self) -> Ledger:
        return self._ledger

    def _add(self, name: str, amount: np.ndarray) -> None:
        self._counts[name] = self._counts[name] + amount

    def _zero(self) -> dict[str, np.ndarray]:
        told = self.scenario
        origins, cells, classes = len(told.origins), len(told.sites), len(told.offers)
        edge, deep = np.zeros((origins, classes)), np.zeros((origins, cells, classes))
        cell = np.zeros(cells)
        return {
            "arrived": edge,
            "shed": edge,
            "tries": deep,
            "failed": deep,
            "slow": deep,
            "latency_s": deep,
            "in_flight": deep,
            "busy_s": cell,
            "inside": cell,
            "waiting": cell,
            "is_noticed": np.ones((origins, cells)),
        }
