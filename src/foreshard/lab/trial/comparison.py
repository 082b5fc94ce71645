"""This module is the policies of one scenario side by side, paired over seeds, as JSON values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from statistics import fmean, median
from typing import Any

import numpy as np

from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.effects import Floats
from foreshard.lab.trial.paired import TIE_RATIO, averted, duel, excess, interval, ratio_interval
from foreshard.lab.trial.score import Score

__all__ = ["BALANCERS", "FORESHARD", "ORACLE", "REACTIVE", "UNFORESEEING", "compared"]

FORESHARD = "foreshard"
ORACLE = "oracle"
# Who balances; the best of them in a scenario, chosen after the fact, is a hard judge.
BALANCERS = ("static", "outlier", "sticky", "p2c", "prequal", "load-aware", "hazl")
# Who acts on harm that is seen.
REACTIVE = (*BALANCERS, "closed-loop")
# What is left of acting when nothing is foreseen: against it, forecasting itself is measured.
UNFORESEEING = ("closed-loop", "foreshard-none")

By = Mapping[str, Sequence[Score]]


def compared(scenario: Scenario, scores: By) -> dict[str, Any]:
    """All that a table of a scenario says.

    Args:
        scenario: That was played.
        scores: By policy; of each the same seeds, in the same order.
    """
    own = scores.get(FORESHARD)
    return {
        "name": scenario.name,
        "family": scenario.family.value,
        "about": scenario.about.strip(),
        "cells": len(scenario.sites),
        "utilisation": scenario.load.utilisation,
        "duration_s": scenario.duration_s,
        "seeds": [each.seed for each in next(iter(scores.values()), ())],
        "policies": {name: _standing(each, scores) for name, each in scores.items()},
        "averted": {
            "balancers": _averted(scores, BALANCERS),
            "unforeseeing": _averted(scores, UNFORESEEING),
        },
        "against_reactive": _against(scores, REACTIVE),
        "duels": {
            name: asdict(duel(_bad(own), _bad(each), _demand(own)))
            for name, each in scores.items()
            if own and name != FORESHARD
        },
    }


def _standing(own: Sequence[Score], scores: By) -> dict[str, Any]:
    """One row: means over seeds, intervals where they matter."""
    demand, bad = _demand(own), _bad(own)
    low, high = interval(np.column_stack((bad, demand)), lambda m: m[:, 0] / m[:, 1])
    oracle = scores.get(ORACLE)
    bounds = [each.bound for each in own if each.bound is not None]
    moments = [course for each in own for course in each.courses]
    return {
        "bad_ratio": float(bad.mean() / demand.mean()),
        "bad_low": low,
        "bad_high": high,
        "failed_ratio": _mean(own, lambda s: s.failed / s.demand),
        "slow_ratio": _mean(own, lambda s: s.slow / s.demand),
        "shed_ratio": _mean(own, lambda s: s.shed / s.demand),
        "classes": _classes(own),
        "regret_oracle": None
        if oracle is None
        else float((bad - _bad(oracle)).mean()) / float(demand.mean()),
        "regret_bound": (float(bad.mean()) - fmean(bounds)) / float(demand.mean())
        if bounds
        else None,
        "needless_shed_ratio": None
        if oracle is None
        else fmean(
            max(0.0, mine.shed - his.shed) / mine.demand
            for mine, his in zip(own, oracle, strict=True)
        ),
        "own_harm_ratio": _mean(
            own, lambda s: None if s.own_harm is None else s.own_harm / s.demand
        ),
        "displaced_ratio": _mean(own, lambda s: s.displaced_ratio),
        "false_evacuations": _sum(own, lambda s: s.evacuations),
        "cell_days": sum(each.cell_days for each in own),
        "lead_s": _median(own, lambda s: s.lead_s),
        "felt": sum(course.onset_s is not None for course in moments),
        "relieved_before": sum((course.lead_s or -1.0) > 0.0 for course in moments),
        "drain_s": _middle([c.drain_s for c in moments]),
        "return_s": _middle([c.return_s for c in moments]),
        "mean_ms": _mean(own, lambda s: s.mean_ms),
        "p99_ms": _mean(own, lambda s: s.p99_ms),
        "crossed_ratio": _mean(own, lambda s: s.crossed_ratio),
        "used_ratio": _mean(own, lambda s: s.used_ratio),
        "busiest_ratio": _mean(own, lambda s: s.busiest_ratio),
        "cpu_s": _mean(own, lambda s: s.cpu_s),
        "digests": [each.digest for each in own],
    }


def _classes(own: Sequence[Score]) -> dict[str, dict[str, float]]:
    """Bad requests by class, mean over seeds, with priority and weight."""
    first = own[0].classes if own else {}
    return {
        name: {key: fmean(each.classes[name][key] for each in own) for key in figures}
        for name, figures in first.items()
    }


def _averted(scores: By, others: Sequence[str]) -> dict[str, Any] | None:
    best = _best(scores, others)
    own, oracle = scores.get(FORESHARD), scores.get(ORACLE)
    if not (best and own and oracle):
        return None
    other = scores[best]
    errors = np.array([np.hypot(a.error, b.error) for a, b in zip(other, oracle, strict=True)])
    return asdict(averted(best, _bad(own), _bad(other), _bad(oracle), errors=errors))


def _against(scores: By, others: Sequence[str]) -> dict[str, Any] | None:
    best = _best(scores, others)
    own = scores.get(FORESHARD)
    if not (best and own):
        return None
    figures = _bad(own), _bad(scores[best]), _demand(own)
    ratio, low, high = ratio_interval(*figures)
    more = excess(*figures)
    return {
        "against": best,
        "ratio": ratio,
        "low": low,
        "high": high,
        "excess": more,
        "is_tie": more <= TIE_RATIO,
    }


def _best(scores: By, others: Sequence[str]) -> str:
    """The one with the least harm; "" when none of them was played."""
    there = [name for name in others if scores.get(name)]
    return min(there, key=lambda name: (float(_bad(scores[name]).mean()), name), default="")


def _bad(scores: Sequence[Score] | None) -> Floats:
    return np.array([each.bad for each in scores or ()])


def _demand(scores: Sequence[Score] | None) -> Floats:
    return np.array([each.demand for each in scores or ()])


def _mean(scores: Sequence[Score], of: Callable[[Score], float | None]) -> float | None:
    known = [value for each in scores if (value := of(each)) is not None]
    return fmean(known) if known else None


def _sum(scores: Sequence[Score], of: Callable[[Score], int | None]) -> int | None:
    known = [value for each in scores if (value := of(each)) is not None]
    return sum(known) if known else None


def _median(scores: Sequence[Score], of: Callable[[Score], float | None]) -> float | None:
    return _middle([of(each) for each in scores])


def _middle(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
