"""This module is when things happened: a fault was felt, a cell was relieved, empty and back.

*Onset* is read from the twin that nobody relieved: the first moment at which requests were bad
that were good in *its* calm twin (same seed, same arrivals), or at which a cell of the fault died.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from foreshard.lab.scenario.fault import FaultLine
from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.effects import Floats
from foreshard.lab.simulation.record import RunRecord
from foreshard.lab.simulation.world import Life, LifeEvent
from foreshard.lab.timeline import Limits, forward_sum, sustained
from foreshard.lab.trial.posture import RELIEVED, SETTLE_S, Posture
from foreshard.lab.trial.toll import bad_by_class

__all__ = ["Course", "course_of", "onset_s"]

# A cell with less than this of its usual share is empty.
EMPTY = 0.05
# One with this is back.
BACK = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How one fault went; moments in seconds of the scenario, None = it never happened.

    Attributes:
        kind: Of the fault.
        cells: Whom it befell.
        at_s: When it began.
        onset_s: When it was first felt where nobody was relieved.
        relieved_s: When its cells had all lost more than a fifth of their usual share.
        lead_s: From relief to onset; negative = too late.
        drain_s: From relief to the last of its cells being empty.
        return_s: From the end of the fault, or of the restart, to their being back.
    """

    kind: str
    cells: tuple[str, ...]
    at_s: float
    onset_s: float | None
    relieved_s: float | None
    lead_s: float | None
    drain_s: float | None
    return_s: float | None


def onset_s(
    fault: FaultLine, scenario: Scenario, unrelieved: RunRecord, calm: RunRecord | None
) -> float | None:
    """When a fault was first felt.

    Args:
        fault: Which.
        scenario: Of the run.
        unrelieved: The run in which nobody was relieved.
        calm: Its calm twin; None = there every request is taken for good.
    """
    limits = Limits()
    bad = bad_by_class(unrelieved.ledger)
    if calm is not None:
        bad = bad - bad_by_class(calm.ledger)
    asked = unrelieved.ledger.fates.sum(axis=(1, 3)) * _part(fault, scenario)
    excess, asked = (forward_sum(each, limits.window_s) for each in (bad, asked))
    over = (excess > limits.failed_ratio * asked) & (excess >= limits.least)
    felt = np.flatnonzero(sustained(over, limits.sustain_s).any(axis=1)).astype(np.float64)
    start_s, end_s = _window(fault, scenario)
    # The second in which the fault begins counts; its start may lie just before it.
    inside = felt[(felt > start_s - 1.0) & (felt < end_s)]
    found = [max(start_s, float(inside[0]))] if len(inside) else []
    found += [
        life.at_s
        for life in unrelieved.lives
        if life.what is Life.DIED and life.cell in fault.cells and start_s <= life.at_s < end_s
    ]
    return min(found, default=None)


def course_of(
    fault: FaultLine,
    scenario: Scenario,
    postures: tuple[Posture, Posture],
    *,
    lives: Sequence[LifeEvent],
    onset: float | None,
) -> Course:
    """How a fault went under a policy.

    Args:
        fault: Which.
        scenario: Of the run.
        postures: Of the run, and the usual one of its calm twin.
        lives: Of the run.
        onset: From `onset_s`.
    """
    relieved = drained = back = None
    if fault.cells:
        kept = _kept(fault, scenario, postures)
        start_s, end_s = _window(fault, scenario)
        relieved = _first(kept.max(axis=1) < 1.0 - RELIEVED, start_s, end_s)
        if relieved is not None:
            drained = _first(kept.max(axis=1) < EMPTY, relieved, end_s)
            well_s = _well_s(fault, lives, relieved)
            since = _first(kept.min(axis=1) >= BACK, well_s, np.inf)
            back = None if since is None else since - well_s
    return Course(
        kind=fault.kind.value,
        cells=fault.cells,
        at_s=fault.at_s,
        onset_s=onset,
        relieved_s=relieved,
        lead_s=None if onset is None or relieved is None else onset - relieved,
        drain_s=None if drained is None or relieved is None else drained - relieved,
        return_s=back,
    )


def _kept(fault: FaultLine, scenario: Scenario, postures: tuple[Posture, Posture]) -> Floats:
    """[S, cell of the fault] part of its usual share, of the classes that suffer."""
    names = [site.name for site in scenario.sites]
    of = [names.index(cell) for cell in fault.cells]
    suffers = np.array(
        [
            not (fault.request_class and fault.kind.is_of_classes)
            or each.name == fault.request_class
            for each in scenario.classes
        ],
        dtype=np.float64,
    )
    own, usual = (each.of_cells(suffers)[:, of] for each in postures)
    return np.asarray(np.where(usual > 1e-9, own / np.maximum(usual, 1e-12), 1.0))


def _well_s(fault: FaultLine, lives: Sequence[LifeEvent], relieved_s: float) -> float:
    """When there was no reason left: the fault had ended, or a restart had ended it."""
    started = [
        life.at_s
        for life in lives
        if life.what is Life.STARTED and life.cell in fault.cells and life.at_s >= relieved_s
    ]
    restarted_s = max(started) if fault.kind.is_of_process and started else np.inf
    return max(relieved_s, min(fault.ends_s, restarted_s))


def _first(holds: Floats, start_s: float, end_s: float) -> float | None:
    """The end of the first second of a stretch in which something holds."""
    seconds = np.flatnonzero(holds)
    inside = seconds[(seconds >= start_s - 1.0) & (seconds < end_s)]
    return float(inside[0]) + 1.0 if len(inside) else None


def _window(fault: FaultLine, scenario: Scenario) -> tuple[float, float]:
    end_s = min(fault.ends_s + scenario.make.restart_s + SETTLE_S, scenario.duration_s)
    return fault.noticed_s, end_s


def _part(fault: FaultLine, scenario: Scenario) -> float:
    """Which share of the fleet suffers, by cpus."""
    cpus = dict(zip((site.name for site in scenario.sites), scenario.cpus(), strict=True))
    hurt = sum(cpus[cell] for cell in fault.cells) if fault.cells else sum(cpus.values())
    return hurt / sum(cpus.values())
