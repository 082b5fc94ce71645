"""This module is when the oracle restarts a cell: before it hurts, and one after the other.

A restart costs the cell for `restart_s` (and a drain before); it is worth it when a fault that it
cures would cost more than that, or when the fault kills several cells at once that could as well
go one by one, or kills at a moment that depends on what the cell will serve: not even an oracle
knows that to the second, and what is inside then is lost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite

import numpy as np

from foreshard.lab.policy.outlook import FULLEST, Outlook, outlook_of
from foreshard.lab.policy.policy import Truth
from foreshard.lab.policy.setting import Setting
from foreshard.lab.scenario.fault import FaultLine, Recovery, Shape
from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.effects import Bools, Effects, Floats, calm

__all__ = ["Nurse", "is_curable"]

# A cell is empty so long after its last share: the longest objective of the demo's shop.
EMPTY_S = 2.0
# How far ahead losses are added up, how finely, and how often.
AHEAD_S, GRID_S, EVERY_S = 60.0, 2.0, 5.0
# Others may be filled to this while one is restarted.
CARRIED = 0.9
# What a restart must save, in times of what it costs.
WORTH = 1.5


def is_curable(fault: FaultLine, cell: str, *, now_s: float) -> bool:
    """Whether a restart now ends the fault in that cell for good, or puts it off."""
    if cell not in fault.cells:
        return False
    begins_s = fault.at_s + fault.stagger_s * fault.cells.index(cell)
    ends_s = begins_s + fault.grows_s + fault.holds_s
    cured = fault.kind.is_of_process or fault.recovery is Recovery.RESTART
    return cured and begins_s <= now_s < ends_s


@dataclass(slots=True)
class _Ward:
    """The one cell that is being restarted."""

    cell: int
    since_s: float
    is_asked: bool = False


class Nurse:
    """Decides on restarts.

    Args:
        scenario: Its faults are known to an oracle.
        setting: The fleet.
    """

    def __init__(self, scenario: Scenario, setting: Setting) -> None:
        self._scenario = scenario
        self._setting = setting
        self._ward: _Ward | None = None
        self._looked_s = -np.inf
        self._calm = calm(
            len(scenario.sites),
            len(scenario.offers),
            len(scenario.origins),
            connections=scenario.make.connections,
        )

    def spared(self, outlook: Outlook) -> Outlook:
        """The outlook without the cell that is to be restarted."""
        if self._ward is None:
            return outlook
        out = np.arange(self._setting.size.size) == self._ward.cell
        return replace(
            outlook,
            cpu=np.where(out, 0.0, outlook.cpu),
            in_time=outlook.in_time & ~out[None, None],
        )

    def refused(self, cell: str) -> None:
        """Nobody was there to restart it."""
        self._ward = None

    def visit(self, truth: Truth, demand_rps: Floats, *, now_s: float) -> tuple[str, ...]:
        """Whom to restart right now: one cell, or none."""
        ward = self._ward
        if ward is not None:
            return self._attend(ward, truth, now_s)
        if now_s < self._looked_s + EVERY_S:
            return ()
        self._looked_s = now_s
        chosen = self._chosen(truth, demand_rps, now_s)
        if chosen is not None:
            self._ward = _Ward(cell=chosen, since_s=now_s)
        return ()

    def _attend(self, ward: _Ward, truth: Truth, now_s: float) -> tuple[str, ...]:
        is_up = bool(truth.effects(now_s).is_up[ward.cell])
        if ward.is_asked:
            # Truth knows by now that it is down, or it is back already.
            if is_up and now_s > ward.since_s + 1.0:
                self._ward = None
            return ()
        if not is_up:
            self._ward = None
            return ()
        if now_s < ward.since_s + EMPTY_S:
            return ()
        ward.is_asked, ward.since_s = True, now_s
        return (self._setting.fleet.names[ward.cell],)

    def _chosen(self, truth: Truth, demand_rps: Floats, now_s: float) -> int | None:
        curable = self._curable(now_s)
        if not curable.any():
            return None
        work = self._work(demand_rps)
        until_s = min(now_s + AHEAD_S, self._scenario.duration_s)
        grid = np.arange(now_s, until_s, GRID_S)
        if not grid.size:
            return None
        well = self._health(self._calm, demand_rps, work)
        health = np.array(
            [self._health(truth.effects(float(t)), demand_rps, work) for t in grid]
        ) / np.maximum(well, 1e-9)
        lost_s = (1.0 - health).sum(axis=0) * GRID_S
        cost_s = self._scenario.make.restart_s + EMPTY_S + 0.5 * self._scenario.make.cold_s
        # A death ahead costs a restart by itself, unless it comes together with another.
        dying = (health <= 0.0).any(axis=0) & (health[0] > 0.0)
        first_s = np.where(dying, grid[np.argmax(health <= 0.0, axis=0)], np.inf)
        together = np.array([self._meets(first_s, c) for c in range(first_s.size)])
        unsure = np.array([self._depends_on_load(name) for name in self._setting.fleet.names])
        apart = dying & (together | unsure)
        wanted = curable & (((lost_s > WORTH * cost_s) & ~dying) | apart)
        wanted &= health[0] > 0.0
        worst = sorted(np.flatnonzero(wanted).tolist(), key=lambda c: (first_s[c], -lost_s[c], c))
        return next((c for c in worst if self._carries(health[0], c, work)), None)

    def _meets(self, first_s: Floats, cell: int) -> bool:
        if not isfinite(first_s[cell]):
            return False
        span_s = self._scenario.make.restart_s + EMPTY_S
        near = np.abs(first_s - first_s[cell]) < span_s
        return bool(near.sum() > 1)

    def _depends_on_load(self, cell: str) -> bool:
        """Whether a fault grows there with what is served."""
        return any(f.shape is Shape.LOAD and cell in f.cells for f in self._scenario.faults)

    def _curable(self, now_s: float) -> Bools:
        return np.array(
            [
                any(is_curable(f, name, now_s=now_s) for f in self._scenario.faults)
                for name in self._setting.fleet.names
            ],
            dtype=np.bool_,
        )

    def _work(self, demand_rps: Floats) -> Floats:
        cpu_s = np.array([offer.work.cpu_s for offer in self._scenario.offers])
        return np.asarray(demand_rps.sum(axis=0) * cpu_s)

    def _health(self, effects: Effects, demand_rps: Floats, work: Floats) -> Floats:
        outlook = outlook_of(
            self._setting,
            self._scenario.offers,
            [effects],
            demand_rps,
            service_cv=self._scenario.make.service_cv,
        )
        return outlook.health(self._setting, work)

    def _carries(self, health: Floats, cell: int, work: Floats) -> bool:
        rest = health * self._setting.size * FULLEST
        rest[cell] = 0.0
        return bool(work.sum() <= CARRIED * rest.sum())
