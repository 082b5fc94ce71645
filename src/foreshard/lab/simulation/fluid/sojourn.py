"""This module is the distribution of the time that a request takes, as a mixture of few parts.

A request finds a cpu free or waits; loses a packet or not; has a key that the cell knows or not.
Each combination is one part, and its time is an exponential beyond a shift with the part's mean
and deviation: exact for the wait before several cpus at a steady load, near enough for gamma
service times, and a step where a long line makes the time certain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from foreshard.lab.simulation.effects import Floats

__all__ = ["Part", "Split", "points", "split"]

# Below this deviation a time is certain.
CERTAIN_S = 1e-9
# Slices of a distribution: where in it and how much of it each stands for; fine in the tail.
EDGES = np.array([0.0, 0.25, 0.5, 0.75, 0.9, 0.97, 0.99, 0.999, 1.0])
SLICES = np.diff(EDGES)
# Exponential quantiles of the middles.
DEPTHS = -np.log(1.0 - (EDGES[1:] + EDGES[:-1]) / 2.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """One part of the mixture.

    Attributes:
        share: Of all requests, in [0, 1].
        mean_s, deviation_s: Of its time.
    """

    share: Floats
    mean_s: Floats
    deviation_s: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """What becomes of requests by their time; summed times are expectations over all.

    Attributes:
        slow: Share that is slower than the objective, but in time.
        late: Share that is over the time-out.
        good_s, slow_s: Summed time of those within the objective, and of the slow ones.
    """

    slow: Floats
    late: Floats
    good_s: Floats
    slow_s: Floats


def split(parts: Sequence[Part], *, objective_s: Floats, timeout_s: Floats) -> Split:
    """Shares and times by objective and time-out."""
    beyond, beyond_s, late, late_s, whole_s = (np.zeros(1) for _ in range(5))
    for part in parts:
        scale = np.maximum(part.deviation_s, CERTAIN_S)
        start = part.mean_s - scale
        over, over_s = _beyond(part.share, start, scale, objective_s)
        out, out_s = _beyond(part.share, start, scale, timeout_s)
        beyond, beyond_s = beyond + over, beyond_s + over_s
        late, late_s = late + out, late_s + out_s
        whole_s = whole_s + part.share * part.mean_s
    return Split(
        slow=np.maximum(0.0, beyond - late),
        late=late,
        good_s=np.maximum(0.0, whole_s - beyond_s),
        slow_s=np.maximum(0.0, beyond_s - late_s),
    )


def _beyond(share: Floats, start: Floats, scale: Floats, limit_s: Floats) -> tuple[Floats, Floats]:
    """Of one part: the share that takes longer than the limit, and its summed time."""
    from_s = np.maximum(limit_s, start)
    over = share * np.exp((start - from_s) / scale)
    return over, over * (from_s + scale)


def points(parts: Sequence[Part]) -> list[tuple[Floats, Floats]]:
    """Times that stand for slices of the distribution, each with the share it stands for."""
    drawn = []
    for part in parts:
        scale = np.maximum(part.deviation_s, CERTAIN_S)
        start = part.mean_s - scale
        drawn += [
            (start + depth * scale, part.share * slice_)
            for depth, slice_ in zip(DEPTHS.tolist(), SLICES.tolist(), strict=True)
        ]
    return drawn
