"""This module is the score of a run: every figure of the report, counted from its records.

*Bad* = failed + slow + shed, each request counted once, weighted by its class. Requests that
arrive during the warm-up are not scored, nor are those that the end of the run cut off.
Latencies are those of requests that were served: a fast refusal must not look like speed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from foreshard.lab.cell.faults import FaultKind
from foreshard.lab.faults import FaultSpec
from foreshard.lab.policy.bound import Burden, Harm, least_harm
from foreshard.lab.records import Outcome, Records, Run, Verdict, judge
from foreshard.lab.story import Story
from foreshard.lab.timeline import (
    Limits,
    Lives,
    Shares,
    breaches,
    false_evacuations,
    onset_s,
    relieved_s,
)
from foreshard.model.errors import LabError
from foreshard.model.workload import RequestClass

__all__ = ["FORESHARD", "REACTIVE", "SETTLE_S", "Conduct", "Trial", "report"]

REACTIVE = "reactive"
FORESHARD = "foreshard"
# After a fault has ended its harm goes on: a restart takes 6 s, then caches are cold.
SETTLE_S = 12.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What was run, and what happened to every request.

    Attributes:
        seed: Of the arrivals.
        story: With the faults as they were injected.
        classes: In the class order of the run.
        run: Records of the fleets named `REACTIVE` and `FORESHARD`; one alone is scored too.
        lives: Of the reactive fleet's processes; None = not sampled.
        burden: What the oracle is asked; None = it is not.
    """

    seed: int
    story: Story
    classes: Sequence[RequestClass]
    run: Run
    lives: Lives | None = None
    burden: Burden | None = None

    def __post_init__(self) -> None:
        names = tuple(c.name for c in self.classes)
        if names != self.run.classes:
            raise LabError(f"trial: classes {names} are not those of the run {self.run.classes}")
        strangers = {c for f in self.story.faults for c in f.cells} - set(self.run.cells)
        if self.run.cells and strangers:
            raise LabError(f"trial: cells {sorted(strangers)} of the story are not in the run")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """What Foreshard did.

    Attributes:
        decisions: How many changed the routing.
        shares: What was live when; None = Foreshard did not run.
        engine: Its own cost, as reported (`tick_ms_p50`, `tick_ms_p99`, `push_to_ack_ms_p99`,
            `rss_mb`).
    """

    decisions: int = 0
    shares: Shares | None = None
    engine: Mapping[str, float] = field(default_factory=dict)


def report(trial: Trial, conduct: Conduct, *, limits: Limits | None = None) -> dict[str, object]:
    """The report of a run as JSON values.

    Besides the figures per fleet and fault it holds `elsewhere` (what was bad outside the
    windows of all faults, so that nothing hides between them) and `series` (per second of
    arrival, warm-up included: weighted bad requests, and how many each cell answered). Where the
    oracle was asked, `oracle` holds what had to be bad, and by how many points of weighted demand
    each fleet was worse.
    """
    limits = limits or Limits()
    scored = {
        name: _Scored.of(records, trial.classes) for name, records in trial.run.fleets.items()
    }
    late_s = np.concatenate(
        [np.zeros(0, np.float32), *(r.lateness_s for r in trial.run.fleets.values())]
    )
    series = {name: each.per_second(trial.story.duration_s) for name, each in scored.items()}
    return {
        "seed": trial.seed,
        "story": trial.story.name,
        "duration_s": trial.story.duration_s,
        "warm_up_s": trial.story.warm_up_s,
        "ran_s": _ran_s(trial),
        "classes": [
            {"name": c.name, "weight": c.weight, "objective_s": c.objective_s, "keyed": c.is_keyed}
            for c in trial.classes
        ],
        "surges": [
            {
                "class": trial.classes[surge.request_class].name,
                "factor": surge.factor,
                "at_s": surge.at_s,
                "ends_s": surge.ends_s,
            }
            for surge in trial.story.surges
        ],
        "fleets": {
            name: _fleet(each.since(trial.story.warm_up_s), trial.classes)
            for name, each in scored.items()
        },
        "faults": _faults(trial, conduct, scored, limits),
        "elsewhere": {"bad_weighted": _elsewhere(trial, scored)},
        "oracle": None if trial.burden is None else _oracle(trial, scored, trial.burden),
        "series": {
            "bad_weighted": series,
            "cells": list(trial.run.cells),
            "answered": {
                name: _answered(records, len(trial.run.cells), trial.story.duration_s)
                for name, records in trial.run.fleets.items()
            },
        },
        "decisions": conduct.decisions,
        "false_evacuations": _false_evacuations(trial, conduct, limits),
        "loadgen_lateness_ms_p99": _percentile_ms(late_s[~np.isnan(late_s)], 99.0),
        "engine": dict(conduct.engine),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scored:
    """Finished requests of one fleet with what was bad about them."""

    records: Records
    verdict: Verdict

    @classmethod
    def of(cls, records: Records, classes: Sequence[RequestClass]) -> _Scored:
        finished = records.finished()
        return cls(records=finished, verdict=judge(finished, classes))

    def where(self, mask: npt.NDArray[np.bool_]) -> _Scored:
        verdict = self.verdict
        return _Scored(
            records=self.records.at(mask),
            verdict=Verdict(
                failed=verdict.failed[mask],
                slow=verdict.slow[mask],
                shed=verdict.shed[mask],
                weight=verdict.weight[mask],
            ),
        )

    def since(self, start_s: float) -> _Scored:
        return self.where(self.records.t_s >= start_s)

    def bad_weighted(self, mask: npt.NDArray[np.bool_]) -> float:
        return float(self.verdict.bad_weighted[mask].sum())

    def within(self, start_s: float, end_s: float) -> npt.NDArray[np.bool_]:
        return (self.records.t_s >= start_s) & (self.records.t_s < end_s)

    def per_second(self, duration_s: float) -> list[float]:
        seconds = int(np.ceil(duration_s))
        second = np.minimum(self.records.t_s.astype(np.intp), seconds - 1)
        bad = np.bincount(second, weights=self.verdict.bad_weighted, minlength=seconds)
        return [float(value) for value in bad]


def _fleet(scored: _Scored, classes: Sequence[RequestClass]) -> dict[str, object]:
    return _figures(scored) | {
        "by_class": {
            request_class.name: _figures(scored.where(scored.records.request_class == index))
            for index, request_class in enumerate(classes)
        }
    }


def _figures(scored: _Scored) -> dict[str, object]:
    verdict = scored.verdict
    latency_s = scored.records.latency_s[~verdict.failed & ~verdict.shed]
    demand = float(verdict.weight.sum())
    harm = float(verdict.bad_weighted.sum())
    return {
        "requests": len(scored.records),
        "failed": int(verdict.failed.sum()),
        "slow": int(verdict.slow.sum()),
        "shed": int(verdict.shed.sum()),
        "bad": int(verdict.bad.sum()),
        "bad_weighted": harm,
        "weighted_demand": demand,
        "bad_weighted_ratio": harm / demand if demand else 0.0,
        "p50_ms": _percentile_ms(latency_s, 50.0),
        "p99_ms": _percentile_ms(latency_s, 99.0),
    }


def _faults(
    trial: Trial, conduct: Conduct, scored: Mapping[str, _Scored], limits: Limits
) -> list[dict[str, object]]:
    names = trial.run.cells
    reactive = trial.run.fleets.get(REACTIVE)
    over = (
        breaches(reactive, trial.classes, len(names), limits=limits)
        if reactive is not None and names
        else None
    )
    rows: list[dict[str, object]] = []
    for index, spec in enumerate(trial.story.faults):
        window_s = trial.story.window_s(index, settle_s=SETTLE_S)
        cells = [names.index(cell) for cell in spec.cells if cell in names]
        onset = None
        if over is not None:
            onset = onset_s(over, trial.lives, cells, window_s, limits=limits)
        relieved = None
        if conduct.shares is not None:
            rates = _rates(trial) * _is_affected(spec, trial.classes)
            relief_s = (spec.noticed_s, window_s[1])
            relieved = relieved_s(conduct.shares, cells, rates, relief_s, limits=limits)
        rows.append(
            {
                "cells": list(spec.cells),
                "kind": spec.fault.kind.value,
                "predictable": spec.is_predictable,
                "at_s": spec.at_s,
                "ends_s": spec.ends_s,
                "known_s": spec.known_s,
                "window_s": list(window_s),
                "onset_s": onset,
                "relieved_s": relieved,
                "lead_time_s": None if onset is None or relieved is None else onset - relieved,
                "bad_weighted": {
                    name: each.bad_weighted(each.within(*window_s))
                    for name, each in scored.items()
                },
            }
        )
    return rows


def _elsewhere(trial: Trial, scored: Mapping[str, _Scored]) -> dict[str, float]:
    story = trial.story
    windows = [story.window_s(i, settle_s=SETTLE_S) for i in range(len(story.faults))]
    harm: dict[str, float] = {}
    for name, each in scored.items():
        outside = each.records.t_s >= story.warm_up_s
        for window in windows:
            outside &= ~each.within(*window)
        harm[name] = each.bad_weighted(outside)
    return harm


def _oracle(trial: Trial, scored: Mapping[str, _Scored], burden: Burden) -> dict[str, object]:
    """What had to be bad: over the run, and while faults or surges are felt."""
    story, harm = trial.story, least_harm(burden)
    second = np.arange(len(harm.ordered))
    # A run that was ended early is compared as far as it went.
    lasts_s = max(float(each.records.t_s.max(initial=0.0)) for each in scored.values())
    run = (second >= story.warm_up_s) & (second < lasts_s)
    felt = np.zeros(len(second), dtype=np.bool_)
    for start_s, end_s in story.troubled_s(settle_s=SETTLE_S):
        felt |= (second >= start_s) & (second < end_s)
    stretches = {"run": run, "window": run & felt}
    return {
        name: _against(scored, harm, within) if within.any() else None
        for name, within in stretches.items()
    } | {"bad_weighted": [float(value) for value in harm.ordered]}


def _against(
    scored: Mapping[str, _Scored], harm: Harm, within: npt.NDArray[np.bool_]
) -> dict[str, object]:
    """Every fleet against the oracle in these seconds of arrival."""
    ratios, demand = {}, 0.0
    for name, each in scored.items():
        second = np.minimum(each.records.t_s.astype(np.intp), len(within) - 1)
        inside = within[second]
        demand = max(demand, float(each.verdict.weight[inside].sum()))
        ratios[name] = each.bad_weighted(inside) / max(1e-9, each.verdict.weight[inside].sum())
    ordered, bound = (
        float(h[within].sum()) / max(1e-9, demand) for h in (harm.ordered, harm.bound)
    )
    return {
        "weighted_demand": demand,
        "bad_weighted_ratio": ordered,
        "bound_ratio": bound,
        "fleets": ratios,
        "over_points": {name: 100.0 * (ratio - ordered) for name, ratio in ratios.items()},
    }


def _false_evacuations(trial: Trial, conduct: Conduct, limits: Limits) -> int:
    if conduct.shares is None:
        return 0
    excused: dict[int, list[tuple[float, float]]] = {}
    for spec in trial.story.faults:
        for cell in spec.cells:
            stretch = (spec.noticed_s, spec.ends_s + SETTLE_S)
            excused.setdefault(trial.run.cells.index(cell), []).append(stretch)
    return false_evacuations(conduct.shares, _rates(trial), excused, limits=limits)


def _rates(trial: Trial) -> npt.NDArray[np.float64]:
    """Requests a second by class, [class], as they were offered."""
    records = next(iter(trial.run.fleets.values()))
    counts = np.bincount(records.request_class, minlength=len(trial.classes))
    return counts / trial.story.duration_s


def _answered(records: Records, cells: int, duration_s: float) -> list[list[int]]:
    """Requests that each cell answered, [cell][second]; who answered is not always known."""
    known = records.at((records.outcome == Outcome.ANSWERED) & (records.cell < cells))
    seconds = int(np.ceil(duration_s))
    second = np.minimum(known.t_s.astype(np.intp), seconds - 1)
    counts = np.bincount(second + seconds * known.cell.astype(np.intp), minlength=cells * seconds)
    return [[int(n) for n in row] for row in counts.reshape(cells, seconds)]


def _ran_s(trial: Trial) -> float:
    """How far the story came; its whole length unless it was cut short."""
    records = next(iter(trial.run.fleets.values()))
    sent = records.outcome != Outcome.UNSENT
    if sent.all():
        return trial.story.duration_s
    return round(float(records.t_s[sent].max(initial=0.0)), 3)


def _is_affected(spec: FaultSpec, classes: Sequence[RequestClass]) -> npt.NDArray[np.float64]:
    """1 for each class that the fault can touch, 0 for the others, [class]."""
    if spec.fault.kind is not FaultKind.SLOW_DEPENDENCY:
        return np.ones(len(classes))
    return np.array([1.0 if c.dependencies else 0.0 for c in classes])


def _percentile_ms(seconds: npt.NDArray[np.floating], q: float) -> float | None:
    return None if not len(seconds) else round(float(np.percentile(seconds, q)) * 1e3, 3)
