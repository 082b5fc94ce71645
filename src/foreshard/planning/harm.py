"""This module is harm as the balancers saw it: who fails or delays what the siblings serve well.

No model and no gauge: what became of requests. It is counted twice, over the last looks, which
tell a cell that fails much at once, and over some seconds more, which tell one that fails a
little all the time. Both are held against the lower median of the siblings, so that what all
cells do at once (an overload, a dependency that they share) is nobody's fault, and against the
scatter of a count, so that a few bad requests are chance.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from foreshard.planning.problem import Flags, Floats

__all__ = ["Harm", "HarmCount", "Verdict", "counted_harm", "judged", "no_harm"]

# Over how long is counted: about two looks, and long enough for a share of two in a hundred.
SPANS_S = np.array([1.5, 15.0])
# From these shares beyond the siblings' on, and so many requests beyond what chance explains, a
# cell fails. What is slow comes in bursts of a queue: it takes more to be believed.
FAILED_RATIO, FAILED_COUNT = np.array([0.1, 0.02]), np.array([3.0, 5.0])
SLOW_RATIO, SLOW_COUNT = np.array([0.1, 0.05]), np.array([5.0, 8.0])
# A queue's burst is over in one look: slowness counts when it was seen in two, or is so large.
LOOKS, PLAINLY_SLOW = 2, 0.3
# Deviations of a Poisson count that are chance.
CHANCE_SDS = 3.0
# Two bad requests of a class are enough to say that it shares in what its cell does, and that
# one that did harm a moment ago still does.
FEW = 2.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HarmCount:
    """What balancers saw in one look, [C, K]; NaN = not heard.

    Attributes:
        rate_rps: Requests that ended.
        failed_ratio: Of them.
        slow_ratio: Of them: answered, later than the class's objective.
    """

    rate_rps: Floats
    failed_ratio: Floats
    slow_ratio: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Harm:
    """What was counted so far; W spans.

    Attributes:
        total: [W, C, K] requests, faded.
        failed: [W, C, K] of them.
        slow: [W, C, K] of them.
        looks: [C, K] looks in a row in which much was slow.
    """

    total: Floats
    failed: Floats
    slow: Floats
    looks: NDArray[np.int64]

    def without(self, pairs: Flags) -> Harm:
        """The same after these [C, K] were acted upon: their evidence is used up."""
        kept = ~pairs
        return replace(
            self,
            total=self.total * kept,
            failed=self.failed * kept,
            slow=self.slow * kept,
            looks=self.looks * kept,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Verdict:
    """Who does harm.

    Attributes:
        fails: [C, K] whose requests fail, and elsewhere do not.
        delays: [C, K] whose requests are late, and elsewhere are not.
        excess: [C, K] the share of its requests beyond the siblings'; 0 where neither.
        whole: [C] whether it is the cell and not one class in it.
    """

    fails: Flags
    delays: Flags
    excess: Floats
    whole: Flags


def no_harm(cells: int, classes: int) -> Harm:
    """Nothing was counted yet."""
    none = np.zeros((SPANS_S.size, cells, classes))
    return Harm(
        total=none, failed=none, slow=none, looks=np.zeros((cells, classes), dtype=np.int64)
    )


def counted_harm(harm: Harm, count: HarmCount, *, dt_s: float) -> Harm:
    """The counts after one look; what was not heard only fades."""
    kept = np.exp(-dt_s / SPANS_S)[:, None, None]
    rate = np.nan_to_num(count.rate_rps) * dt_s
    slow = rate * np.nan_to_num(count.slow_ratio)
    is_much = np.nan_to_num(count.slow_ratio) >= SLOW_RATIO[0]
    return Harm(
        total=harm.total * kept + rate,
        failed=harm.failed * kept + rate * np.nan_to_num(count.failed_ratio),
        slow=harm.slow * kept + slow,
        looks=np.where(is_much & (rate > 0.0), harm.looks + 1, 0),
    )


def judged(harm: Harm, count: HarmCount, known: Flags) -> Verdict:
    """Who does harm that has not ended.

    Args:
        harm: With the newest look.
        count: That look: what is well again is not acted upon.
        known: [C, K] who did harm before and is not trusted yet, or is suspected of it.
    """
    rate = np.nan_to_num(count.rate_rps)
    is_failing = rate * np.nan_to_num(count.failed_ratio) > 0.0
    is_late = rate * np.nan_to_num(count.slow_ratio) > 0.0
    more_failed, sure_failed = _beyond(harm.failed, harm.total, FAILED_RATIO, FAILED_COUNT, known)
    more_slow, sure_slow = _beyond(harm.slow, harm.total, SLOW_RATIO, SLOW_COUNT, known)
    sure_slow[0] &= known | (harm.looks >= LOOKS) | (more_slow[0] >= PLAINLY_SLOW)
    fails = sure_failed.any(axis=0) & is_failing
    delays = sure_slow.any(axis=0) & is_late
    excess = np.maximum(
        np.where(sure_failed & is_failing, more_failed, 0.0).max(axis=0),
        np.where(sure_slow & is_late, more_slow, 0.0).max(axis=0),
    )
    return Verdict(
        fails=fails,
        delays=delays,
        excess=excess,
        whole=_whole(harm, fails | delays, more_failed + more_slow),
    )


def _whole(harm: Harm, sick: Flags, more: Floats) -> Flags:
    """[C] where several classes do harm, or the only one there."""
    bad = harm.failed + harm.slow
    shares_in = (bad >= FEW) & (more >= FAILED_RATIO[:, None, None])
    present = (harm.total[-1] > 0.0).sum(axis=1)
    with_it = (sick | shares_in.any(axis=0)).sum(axis=1)
    return np.asarray(sick.any(axis=1) & (with_it >= np.minimum(2, present)))


def _beyond(
    bad: Floats, total: Floats, least_ratio: Floats, least_count: Floats, known: Flags
) -> tuple[Floats, Flags]:
    """[W, C, K] how much larger a share is than the siblings', and whether that is no chance."""
    ratio = np.where(total > 0.0, bad / np.maximum(total, 1e-9), np.nan)
    usual = _lower_median(ratio)
    more = np.nan_to_num(ratio - usual)
    expected = usual * total
    least = np.where(known, FEW, least_count[:, None, None])
    unlikely = np.maximum(least, CHANCE_SDS * np.sqrt(expected))
    return more, (more >= least_ratio[:, None, None]) & (bad - expected >= unlikely)


def _lower_median(ratio: Floats) -> Floats:
    """[W, 1, K] of the cells that say something; 0 where none does.

    The lower of two middle ones: half of a fleet in trouble is not what is usual.
    """
    ordered = np.sort(ratio, axis=1)  # NaN comes last
    known = np.isfinite(ratio).sum(axis=1, keepdims=True)
    middle = np.take_along_axis(ordered, np.maximum(known - 1, 0) // 2, axis=1)
    return np.where(known > 0, np.nan_to_num(middle), 0.0)
