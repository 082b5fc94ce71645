"""This module is how many failures acting has averted: an estimate with an interval, or silence.

Where acting works nothing happens, and nothing is also what a false alarm looks like. Two sources
tell them apart.

*The holdout*: of some interventions a random part is withheld. Those stand for the others, each as
often as others like it were acted upon: with propensity e a withheld case counts for e / (1 - e)
acted ones (inverse propensity, normalised as by Hajek, among cases of about the same propensity).
Of cases that were never withheld (e = 1) nothing is known, and nothing is said.

*The probes*: a cell that work was taken off keeps its gauges, and a class that was taken off a
trickle. Where these show a failure the cell did fail, and the work was elsewhere. That is a lower
bound: a cell that less work cured looks well.

Intervals: Wilson's, with Kish's effective number of cases where they are weighted, widened by the
chance among those acted upon; squares add over groups. They hold up with few cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import sqrt

from foreshard.model.errors import InvalidValueError

__all__ = ["Averted", "Basis", "Case", "averted_by_holdout", "averted_by_probes"]

# Of the normal distribution: the middle 90 %.
Z_90 = 1.6448536269514722
# Cases are compared with such as were about as likely to be acted upon.
STRATA = 20


class Basis(StrEnum):
    """Where an estimate comes from."""

    HOLDOUT = "holdout"
    PROBES = "probes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A moment at which a cell, or a class in it, would be relieved.

    Attributes:
        propensity: Probability with which it was acted upon, in (0, 1].
        acted: Whether it was.
        failed: The cell failed within the horizon, as far as its work there shows.
        probe_failed: It failed while its work was off; None = it was not heard then.
        stands_for: So many like it, of which it is not known what would have come; >= 1.
        doubt: Cases of one and the same doubt share their fate, and are one witness, not many;
            "" = it is the only one.
    """

    propensity: float
    acted: bool
    failed: bool
    probe_failed: bool | None = None
    stands_for: float = 1.0
    doubt: str = ""

    def __post_init__(self) -> None:
        if not 0.0 < self.propensity <= 1.0:
            raise InvalidValueError(
                f"case: propensity is {self.propensity}, must be above 0 and at most 1"
            )
        if not self.acted and self.propensity == 1.0:
            raise InvalidValueError("case: was not acted upon, so its propensity cannot be 1")
        if not self.stands_for >= 1.0:
            raise InvalidValueError(f"case: stands for {self.stands_for}, must be at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Averted:
    """Failures averted among those that were acted upon.

    Attributes:
        basis: Where it comes from.
        failures: The estimate; below 0 = acting did harm.
        low: 90 % interval,
        high: of the same.
        of: Acted cases that it speaks of.
        unknown: Acted cases of which nothing can be said.
    """

    basis: Basis
    failures: float
    low: float
    high: float
    of: int
    unknown: int


def averted_by_holdout(cases: Sequence[Case]) -> Averted | None:
    """From what was withheld at random; None when nothing was, or nothing was acted upon."""
    strata: dict[int, list[Case]] = {}
    for case in cases:
        if case.propensity < 1.0:
            strata.setdefault(int(case.propensity * STRATA), []).append(case)
    failures, below, above, of = 0.0, 0.0, 0.0, 0
    for stratum in strata.values():
        acted = [c for c in stratum if c.acted]
        withheld = [c for c in stratum if not c.acted]
        if not acted or not withheld:
            continue
        weights = [c.stands_for * c.propensity / (1.0 - c.propensity) for c in withheld]
        n = len(acted)
        # What failed under our hands was counted; what would have is a draw from what is likely.
        would, low, high = _proportion(
            [c.failed for c in withheld],
            weights,
            witnesses=[c.doubt or str(i) for i, c in enumerate(withheld)],
            foretold=len({c.doubt or str(i) for i, c in enumerate(acted)}),
        )
        failures += n * would - sum(c.failed for c in acted)
        below += (n * (would - low)) ** 2
        above += (n * (high - would)) ** 2
        of += n
    if not of:
        return None
    return Averted(
        basis=Basis.HOLDOUT,
        failures=failures,
        low=failures - sqrt(below),
        high=failures + sqrt(above),
        of=of,
        unknown=sum(c.acted for c in cases) - of,
    )


def averted_by_probes(cases: Sequence[Case]) -> Averted | None:
    """From probes of relieved cells, a lower bound; None when none were sent."""
    probed = [c for c in cases if c.acted and c.probe_failed is not None]
    if not probed:
        return None
    share, low, high = _proportion(
        [bool(c.probe_failed) and not c.failed for c in probed],
        [1.0] * len(probed),
        witnesses=[c.doubt or str(i) for i, c in enumerate(probed)],
    )
    n = len(probed)
    return Averted(
        basis=Basis.PROBES,
        failures=n * share,
        low=n * low,
        high=n * high,
        of=n,
        unknown=sum(c.acted for c in cases) - n,
    )


def _proportion(
    hits: Sequence[bool],
    weights: Sequence[float],
    *,
    witnesses: Sequence[str],
    foretold: int = 0,
) -> tuple[float, float, float]:
    """Weighted share of hits, with Wilson's interval.

    Args:
        hits: Whether each was one.
        weights: How much each counts, > 0.
        witnesses: Whose it is; those of one say the same.
        foretold: 0 = the interval is of the share itself, else of the share among so many more.
    """
    total = sum(weights)
    p = sum(w for hit, w in zip(hits, weights, strict=True) if hit) / total
    of_each: dict[str, float] = {}
    for witness, weight in zip(witnesses, weights, strict=True):
        of_each[witness] = of_each.get(witness, 0.0) + weight
    n = total**2 / sum(w * w for w in of_each.values())
    n = n * foretold / (n + foretold) if foretold else n
    z2 = Z_90 * Z_90
    middle = (p + z2 / (2.0 * n)) / (1.0 + z2 / n)
    half = Z_90 * sqrt(p * (1.0 - p) / n + z2 / (4.0 * n * n)) / (1.0 + z2 / n)
    return p, max(middle - half, 0.0), min(middle + half, 1.0)
