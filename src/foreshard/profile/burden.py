"""This module is what cells get beyond their share: keys are not all alike.

A plan gives a cell a share of a class's keys and reckons with that share of its requests. One key
that everybody asks for is not in the plan: its cell gets more than it was given, whatever else is
moved. So what arrives beyond the share is learned, class by class and cell by cell, and taken off
what a plan may count on there; what the others get less is added to them.

Small excess is chance, or the grain of the slots. It counts when it is many standard deviations
of a count and a good part of what was given, and is then held until it has changed by much.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["Burden", "beyond_rps", "start_burden", "update_burden"]

Floats = NDArray[np.float64]

# What is given and what arrives are means over about so long, the same for both.
MEAN_S = 5.0
# Beyond so many standard deviations of a Poisson count, and this part of what was given.
DEVIATIONS, LEAST_PART = 5.0, 0.25
# What is held changes when it is off by this part, and ends below this part of what it takes to
# begin.
CHANGED_PART, ENDS_PART = 0.25, 0.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Burden:
    """What is known of C cells and K classes, requests a second.

    Attributes:
        rate_rps: [C, K] mean of what arrived, NaN = never heard.
        due_rps: [C, K] mean of what the plan gave, NaN = never known.
        held_rps: [C, K] what is believed to come beyond that, 0 where it is chance.
    """

    rate_rps: Floats
    due_rps: Floats
    held_rps: Floats


def start_burden(cells: int, classes: int) -> Burden:
    """Nothing was seen yet."""
    unknown = np.full((cells, classes), np.nan)
    return Burden(rate_rps=unknown, due_rps=unknown, held_rps=np.zeros((cells, classes)))


def update_burden(burden: Burden, rate_rps: Floats, due_rps: Floats, *, dt_s: float) -> Burden:
    """Take in one look.

    Args:
        burden: From the look before.
        rate_rps: [C, K] arrived, NaN = not heard.
        due_rps: [C, K] given by the live plan, NaN = not known; a class without keys is given 0
            and arrives with 0.
        dt_s: Since the look before, > 0.
    """
    heard = np.isfinite(rate_rps) & np.isfinite(due_rps)
    gain = -np.expm1(-dt_s / MEAN_S)
    rate = _mean(burden.rate_rps, np.where(heard, rate_rps, np.nan), gain)
    due = _mean(burden.due_rps, np.where(heard, due_rps, np.nan), gain)
    known = np.isfinite(rate) & np.isfinite(due)
    excess = np.where(known, rate - due, 0.0)
    # The variance of such a mean of a count is the rate over twice the span.
    chance = np.sqrt(np.maximum(np.where(known, due, 0.0), 0.0) / (2.0 * MEAN_S))
    begins = DEVIATIONS * chance + LEAST_PART * np.where(known, due, 0.0)
    held = burden.held_rps
    is_new = (held == 0.0) & (excess > begins)
    is_over = (held > 0.0) & (excess <= ENDS_PART * begins)
    has_changed = (held > 0.0) & (np.abs(excess - held) > CHANGED_PART * held)
    held = np.where(is_new | has_changed, excess, held)
    held = np.where(is_over, 0.0, np.maximum(held, 0.0))
    return replace(burden, rate_rps=rate, due_rps=due, held_rps=np.where(begins > 0.0, held, 0.0))


def beyond_rps(burden: Burden) -> Floats:
    """[C, K] what arrives at each cell beyond its share; sums to 0 over the cells of a class."""
    due = np.nan_to_num(burden.due_rps)
    whole = due.sum(axis=0)
    part = np.where(whole > 0.0, due / np.where(whole > 0.0, whole, 1.0), 0.0)
    return np.asarray(burden.held_rps - burden.held_rps.sum(axis=0) * part)


def _mean(before: Floats, now: Floats, gain: float) -> Floats:
    old = np.where(np.isfinite(before), before, now)
    return np.asarray(np.where(np.isfinite(now), old + gain * (now - old), before))
