"""This module is statistics over seeds: what two policies did to the very same arrivals.

Intervals are of the bootstrap (Efron 1979): seeds are drawn anew with replacement, two thousand
times, and the middle 95 % of what comes out is told. Seeded, so that a table is the same twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from foreshard.lab.simulation.effects import Floats

__all__ = [
    "TIE_RATIO",
    "Averted",
    "Duel",
    "averted",
    "duel",
    "excess",
    "interval",
    "ratio_interval",
]

ROUNDS = 2_000
MIDDLE = (2.5, 97.5)
# An averted share of next to nothing is noise: the design's number.
LEAST_ERRORS = 20.0
# With fewer seeds their spread says nothing; then bad requests are taken for independent.
LEAST_SEEDS = 3
# Two runs that differ by less than this of the weighted demand are a tie.
TIE_RATIO = 1e-4
# Harm under this share of the weighted demand is none, so that none by none is 1.
NOTHING_RATIO = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Averted:
    """How much of what could be averted was: 0 = as the best other one, 1 = as the oracle.

    Attributes:
        against: The best of the others, chosen after the fact.
        share: Averted; None where too little could be.
        low, high: Of its 95 % interval; None with one seed.
        avoidable: Weighted bad requests of the other one beyond the oracle's, mean over seeds.
        error: Standard error of that.
    """

    against: str
    share: float | None
    low: float | None
    high: float | None
    avoidable: float
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Duel:
    """Seeds won, tied and lost against another policy."""

    wins: int
    ties: int
    losses: int


def interval(
    values: Floats, statistic: Callable[[Floats], Floats]
) -> tuple[float | None, float | None]:
    """The 95 % interval of a statistic of means over seeds.

    Args:
        values: [seed, M] paired figures.
        statistic: From [draw, M] means to [draw].
    """
    seeds = len(values)
    if seeds < 2:
        return None, None
    chosen = np.random.default_rng(0).integers(seeds, size=(ROUNDS, seeds))
    found = statistic(values[chosen].mean(axis=1))
    known = found[np.isfinite(found)]
    if not len(known):
        return None, None
    low, high = np.percentile(known, MIDDLE)
    return float(low), float(high)


def averted(
    against: str, own: Floats, other: Floats, oracle: Floats, *, errors: Floats
) -> Averted:
    """The averted share.

    Args:
        against: Name of the other one.
        own: [seed] weighted bad requests.
        other: The same of the one named.
        oracle: The same of the oracle.
        errors: [seed] standard error of `other - oracle`, were bad requests independent.
    """
    avoidable = other - oracle
    seeds, mean = len(avoidable), float(avoidable.mean())
    counted = float(np.sqrt((errors**2).sum())) / seeds
    spread = float(avoidable.std(ddof=1)) / np.sqrt(seeds) if seeds >= LEAST_SEEDS else counted
    error = float(spread)
    is_given = mean > 0.0 and mean >= LEAST_ERRORS * error
    low, high = interval(
        np.column_stack((other - own, avoidable)),
        lambda means: means[:, 0] / np.where(means[:, 1] > 0.0, means[:, 1], np.nan),
    )
    return Averted(
        against=against,
        share=float((other - own).mean()) / mean if is_given else None,
        low=low if is_given else None,
        high=high if is_given else None,
        avoidable=mean,
        error=error,
    )


def ratio_interval(
    own: Floats, other: Floats, demand: Floats
) -> tuple[float, float | None, float | None]:
    """Harm by harm: the ratio and its 95 % interval.

    Args:
        own: [seed] weighted bad requests.
        other: The same of whom it is held against.
        demand: [seed] weighted requests.
    """
    nothing = NOTHING_RATIO * float(demand.mean())
    low, high = interval(
        np.column_stack((own, other)), lambda m: (m[:, 0] + nothing) / (m[:, 1] + nothing)
    )
    return (float(own.mean()) + nothing) / (float(other.mean()) + nothing), low, high


def excess(own: Floats, other: Floats, demand: Floats) -> float:
    """How much more harm it may be: the upper end of the 95 % interval, paired over seeds.

    Args:
        own: [seed] weighted bad requests.
        other: The same of whom it is held against.
        demand: [seed] weighted requests.

    Returns:
        As a ratio of the demand; with one seed, which has no interval, the difference itself.
    """
    more = (own - other) / np.maximum(demand, 1e-12)
    high = interval(more[:, None], lambda means: means[:, 0])[1]
    return float(more.mean()) if high is None else high


def duel(own: Floats, other: Floats, demand: Floats) -> Duel:
    """Who was better how often.

    Args:
        own: [seed] weighted bad requests.
        other: The same of whom it is held against.
        demand: [seed] weighted requests.
    """
    ahead = other - own
    least = TIE_RATIO * demand
    wins, losses = int((ahead > least).sum()), int((ahead < -least).sum())
    return Duel(wins=wins, ties=len(ahead) - wins - losses, losses=losses)
