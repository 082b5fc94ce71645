"""This module is who had which part of the traffic, second by second, and against whom it is held.

The measure of all moving is the *calm twin*: the same policy, scenario and seed, to which nothing
happens. What a cell has there for half of the time is its *usual* share (where nothing happens in
the scenario itself, it is its own twin), and a cell that has lost more than a fifth of that is
*relieved*.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from foreshard.lab.scenario.fault import FaultLine, Kind
from foreshard.lab.scenario.scenario import Family, Scenario
from foreshard.lab.simulation.effects import Floats
from foreshard.lab.simulation.load import mean_rps
from foreshard.lab.simulation.record import RunRecord

__all__ = [
    "RELIEVED",
    "SETTLE_S",
    "Posture",
    "displaced",
    "evacuations",
    "excused",
    "is_a_reason",
    "posture_of",
]

Bools = npt.NDArray[np.bool_]

RELIEVED = 0.2
# Back over this it must fall anew to be relieved again: a share that trembles about a fifth is
# one evacuation, not many.
RESTORED = 0.1
# After a fault has ended its harm goes on: a restart takes its time, then caches are cold.
SETTLE_S = 30.0
# A cell that was left for a reason is filled again slowly: nothing is held against that.
RETURN_S = 300.0
# In a trap only what truly takes a cell away is a reason to leave it.
ABSENCES = frozenset({Kind.CRASH, Kind.PARTITION, Kind.OUTAGE, Kind.MAINTENANCE, Kind.FLAPPING})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Posture:
    """Shares second by second; each row is what held when its second ended.

    Attributes:
        share: [S, K, C] of each class's requests, over all origins.
        shed: [S, K] of them that were refused.
        rates: [K] requests a second on average.
    """

    share: Floats
    shed: Floats
    rates: Floats

    def of_cells(self, among: Floats | None = None) -> Floats:
        """[S, C] share of all requests, or of the classes that `among` [K] does not weigh 0."""
        rates = self.rates if among is None else self.rates * among
        return np.asarray(np.einsum("skc,k->sc", self.share, rates / max(rates.sum(), 1e-12)))

    def usual(self) -> Posture:
        """What held for half of the time, as a posture of one second."""
        share, shed = (np.median(each, axis=0)[None] for each in (self.share, self.shed))
        return Posture(share=share, shed=shed, rates=self.rates)


def posture_of(record: RunRecord, scenario: Scenario) -> Posture:
    """The posture of a run."""
    seconds = len(record.ledger.fates)
    rate = mean_rps(scenario)
    blend = rate / np.maximum(rate.sum(axis=0), 1e-12)
    moments, rows = record.shares.rows()
    if not len(moments):
        moments, rows = np.zeros(1), np.zeros((1, *record.shares.shape.tolist()))
    blended = np.einsum("nokc,ok->nkc", rows, blend)
    live = np.searchsorted(moments, np.arange(seconds) + 1.0, side="right") - 1
    # What was given out before the first request was live at the first.
    share = blended[np.maximum(live, 0)]
    return Posture(share=share[..., :-1], shed=share[..., -1], rates=rate.sum(axis=0))


def evacuations(own: Posture, usual: Posture, excuse: Bools) -> int:
    """How often a cell was relieved although nothing spoke for it.

    Args:
        own: Of the run.
        usual: Of its calm twin.
        excuse: [S, C] where there was a reason; a fall that begins there is none, however long
            it lasts.
    """
    due = usual.of_cells()
    lost = np.where(due > 1e-9, 1.0 - own.of_cells() / np.maximum(due, 1e-12), 0.0)
    found = 0
    is_low = np.zeros(lost.shape[1], dtype=np.bool_)
    for second, now in enumerate(lost):
        falls = (now > RELIEVED) & ~is_low
        found += int((falls & ~excuse[second]).sum())
        is_low = (is_low | falls) & ~(now < RESTORED)
    return found


def displaced(own: Posture, usual: Posture, excuse: Bools) -> Floats:
    """[S] share of all requests that went elsewhere without a reason; what was shed is not moved.

    Args:
        own: Of the run.
        usual: Of its calm twin.
        excuse: [S, C] where there was a reason to leave.
    """
    gone = np.maximum(0.0, usual.share - own.share)
    gone = np.where(excuse[:, None, :], 0.0, gone).sum(axis=2)
    refused = np.maximum(0.0, own.shed - usual.shed)
    blend = own.rates / max(own.rates.sum(), 1e-12)
    return np.asarray(np.maximum(0.0, gone - refused) @ blend)


def is_a_reason(fault: FaultLine, family: Family) -> bool:
    """Whether it is right to move work because of it."""
    return fault.kind in ABSENCES if family is Family.TRAP else True


def excused(scenario: Scenario, *, returning_s: float = 0.0) -> Bools:
    """[S, C] where there was a reason to relieve a cell.

    Args:
        scenario: Whose faults.
        returning_s: For so long after the end of a fault there still is.
    """
    seconds = np.arange(int(np.ceil(scenario.duration_s)))
    names = [site.name for site in scenario.sites]
    found = np.zeros((len(seconds), len(names)), dtype=np.bool_)
    for fault in scenario.faults:
        if not is_a_reason(fault, scenario.family):
            continue
        until_s = fault.ends_s + scenario.make.restart_s + SETTLE_S + returning_s
        within = (seconds >= np.floor(fault.noticed_s)) & (seconds < until_s)
        # What befalls demand concerns every cell.
        of = [names.index(cell) for cell in fault.cells] or list(range(len(names)))
        found[np.ix_(within, of)] = True
    return found
