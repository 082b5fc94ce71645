"""This module is the score of one run: every figure of it, with the runs it is held against.

A figure that needs a companion which was not played is None, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.effects import Floats
from foreshard.lab.simulation.plant import Fate
from foreshard.lab.simulation.record import RunRecord
from foreshard.lab.trial.moment import Course, course_of, onset_s
from foreshard.lab.trial.posture import (
    RETURN_S,
    displaced,
    evacuations,
    excused,
    posture_of,
)
from foreshard.lab.trial.toll import MIDDLES_S, latency_s, scored_from, toll_of

__all__ = ["Companions", "Score", "score"]

DAY_S = 86_400.0
# A cell is called busy by what it did in so many seconds.
BUSY_S = 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Companions:
    """The runs that one is held against: same scenario and seed.

    Attributes:
        calm: The same policy, when nothing happens.
        unrelieved: A policy that never takes work off a living cell.
        unrelieved_calm: That, when nothing happens.
        bound: Weighted requests that had to be bad, whoever steers.
    """

    calm: RunRecord | None = None
    unrelieved: RunRecord | None = None
    unrelieved_calm: RunRecord | None = None
    bound: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One run in figures; ratios are in [0, 1], of *weighted demand* where they are of harm.

    Attributes:
        scenario, policy, seed: Of what.
        demand: Weighted requests that were scored.
        bad: Of them bad, weighted.
        error: Standard error of `bad`, were bad requests independent of each other.
        failed, slow, shed: Parts of `bad`.
        classes: By name: `priority`, `weight`, `requests`, `failed`, `slow`, `shed` (counts).
        bound: Weighted requests that had to be bad, whoever steers.
        mean_ms, p50_ms, p99_ms: Latency of what was served.
        crossed_ratio: Share of answers that came from another region.
        used_ratio: Useful work as a share of what all cells could do.
        busiest_ratio: Useful work of the busiest cell, 99th percentile over time.
        displaced_ratio: Share of all requests, on average over time, that went elsewhere than
            in the calm twin without a reason.
        evacuations: False ones.
        cell_days: Over which they are counted.
        own_harm: Weighted requests that are bad here and were good where nobody was relieved.
        courses: How each fault went.
        digest: Of the run.
        cpu_s: Seconds of cpu that the run took.
    """

    scenario: str
    policy: str
    seed: int
    demand: float
    bad: float
    error: float
    failed: float
    slow: float
    shed: float
    classes: Mapping[str, Mapping[str, float]]
    bound: float | None
    mean_ms: float | None
    p50_ms: float | None
    p99_ms: float | None
    crossed_ratio: float
    used_ratio: float
    busiest_ratio: float
    displaced_ratio: float | None
    evacuations: int | None
    cell_days: float
    own_harm: float | None
    courses: tuple[Course, ...]
    digest: str
    cpu_s: float

    @property
    def bad_ratio(self) -> float:
        """Bad as a share of the demand, both weighted."""
        return self.bad / max(self.demand, 1e-12)

    @property
    def lead_s(self) -> float | None:
        """Median over the faults that were felt and whose cells were relieved."""
        leads = [each.lead_s for each in self.courses if each.lead_s is not None]
        return float(np.median(leads)) if leads else None


def score(record: RunRecord, scenario: Scenario, companions: Companions) -> Score:
    """The score of a run.

    Args:
        record: Of the run.
        scenario: That was played.
        companions: What there is to hold it against.
    """
    toll, since = toll_of(record.ledger, scenario), scored_from(scenario)
    histogram = record.ledger.latency.sum(axis=0)
    served = float(record.ledger.served[since:].sum())
    ordinary = toll_of(companions.unrelieved.ledger, scenario) if companions.unrelieved else None
    moved, falls = _moves(record, scenario, companions.calm)
    used, busiest = _used(record.ledger.served[since:], scenario)
    return Score(
        scenario=record.played.scenario,
        policy=record.played.policy,
        seed=record.played.seed,
        demand=toll.demand,
        bad=toll.bad,
        error=toll.error,
        failed=toll.of(Fate.FAILED),
        slow=toll.of(Fate.SLOW),
        shed=toll.of(Fate.SHED),
        classes=_classes(scenario, toll.fates),
        bound=companions.bound,
        mean_ms=_mean_ms(record),
        p50_ms=_ms(latency_s(histogram, 0.5)),
        p99_ms=_ms(latency_s(histogram, 0.99)),
        crossed_ratio=float(record.ledger.crossed[since:].sum()) / max(served, 1e-12),
        used_ratio=used,
        busiest_ratio=busiest,
        displaced_ratio=moved,
        evacuations=falls,
        cell_days=_cell_days(scenario),
        own_harm=None if ordinary is None else toll.bad - ordinary.bad,
        courses=_courses(record, scenario, companions),
        digest=record.digest(),
        cpu_s=float(record.cost_s.get("cpu", 0.0)),
    )


def _classes(scenario: Scenario, fates: Floats) -> dict[str, dict[str, float]]:
    return {
        each.name: {
            "priority": int(each.priority),
            "weight": each.weight,
            "requests": float(row.sum()),
            "failed": float(row[Fate.FAILED]),
            "slow": float(row[Fate.SLOW]),
            "shed": float(row[Fate.SHED]),
        }
        for each, row in zip(scenario.classes, fates, strict=True)
    }


def _moves(
    record: RunRecord, scenario: Scenario, calm: RunRecord | None
) -> tuple[float | None, int | None]:
    if calm is None:
        return None, None
    own, usual = posture_of(record, scenario), posture_of(calm, scenario).usual()
    moved = displaced(own, usual, excused(scenario, returning_s=RETURN_S))
    falls = evacuations(own, usual, excused(scenario))
    return float(moved[scored_from(scenario) :].mean()), falls


def _courses(record: RunRecord, scenario: Scenario, companions: Companions) -> tuple[Course, ...]:
    own = posture_of(record, scenario)
    usual = (posture_of(companions.calm, scenario) if companions.calm else own).usual()
    unrelieved = companions.unrelieved
    return tuple(
        course_of(
            fault,
            scenario,
            (own, usual),
            lives=record.lives,
            onset=None
            if unrelieved is None
            else onset_s(fault, scenario, unrelieved, companions.unrelieved_calm),
        )
        for fault in scenario.faults
    )


def _used(served: Floats, scenario: Scenario) -> tuple[float, float]:
    """Useful work as a share of the capacity: of all cells, and of the busiest."""
    cpus = np.array(scenario.cpus())
    work_s = served @ np.array([offer.work.cpu_s for offer in scenario.offers])
    whole = len(work_s) // BUSY_S * BUSY_S
    if not whole:
        return float(work_s.sum() / (cpus.sum() * max(1, len(work_s)))), 0.0
    binned = work_s[:whole].reshape(-1, BUSY_S, len(cpus)).mean(axis=1) / cpus
    busiest = float(np.percentile(binned.max(axis=1), 99.0))
    return float(work_s.sum() / (cpus.sum() * len(work_s))), busiest


def _mean_ms(record: RunRecord) -> float | None:
    histogram = record.ledger.latency.sum(axis=0)
    total = float(histogram.sum())
    return 1e3 * float(histogram @ MIDDLES_S) / total if total > 0.0 else None


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else 1e3 * seconds


def _cell_days(scenario: Scenario) -> float:
    # At a pace, a second of the scenario stands for several.
    scored_s = scenario.duration_s - scored_from(scenario)
    return len(scenario.sites) * scored_s * scenario.pace / DAY_S
