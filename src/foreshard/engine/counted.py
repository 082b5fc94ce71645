"""This module is one look as arrays: what balancers counted and cells said, in index order.

Whatever cannot be counted (negative, infinite, not a number) was not heard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np

from foreshard.model.telemetry import CellReading, ClassTraffic, Fresh
from foreshard.planning.problem import Floats

__all__ = ["Counted", "Gauged", "counted", "gauged", "or_none", "sane"]

# Nobody uses ten times what there is: a broken counter would be remembered as what requests cost.
MOST_USED = 10.0
_NOTHING = ClassTraffic(rate_rps=0.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counted:
    """What balancers saw of C cells and K classes.

    Attributes:
        rate_rps: [C, K] answered, NaN = not heard.
        failed_ratio: [C, K] of these, in [0, 1].
        slow_ratio: [C, K] of these, in [0, 1].
        latency_s: [C, K] mean, NaN = nothing was answered.
        in_flight: [C] open, NaN = unknown.
    """

    rate_rps: Floats
    failed_ratio: Floats
    slow_ratio: Floats
    latency_s: Floats
    in_flight: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gauged:
    """What C cells say of R resources.

    Attributes:
        used: [C, R], NaN = not heard just now.
        capacity: [C, R] offered a second, NaN = not said.
    """

    used: Floats
    capacity: Floats


def counted(readings: Sequence[CellReading], classes: Sequence[str]) -> Counted:
    """What balancers saw; a class that is not mentioned in a cell was not served there."""
    shape = (len(readings), len(classes))
    index = {name: k for k, name in enumerate(classes)}
    # Of a large fleet most pairs have no requests in a second, and are not mentioned.
    pairs = [
        (c * len(classes) + index[name], seen)
        for c, each in enumerate(readings)
        for name, seen in (each.traffic or {}).items()
        if name in index
    ]
    where = np.fromiter((place for place, _ in pairs), np.int64, len(pairs))
    served = [seen for _, seen in pairs]

    def column(attribute: str) -> Floats:
        values = np.full(shape[0] * shape[1], getattr(_NOTHING, attribute), dtype=np.float64)
        found = map(attrgetter(attribute), served)
        values[where] = np.fromiter(found, np.float64, len(served))
        return values.reshape(shape)

    rate_rps = _sane(column("rate_rps"))
    rate_rps[[r.traffic is None for r in readings]] = np.nan
    return Counted(
        rate_rps=rate_rps,
        failed_ratio=_ratio(column("failed_ratio")),
        slow_ratio=_ratio(column("slow_ratio")),
        latency_s=_sane(column("latency_mean_s")),
        in_flight=_sane(np.array([r.in_flight for r in readings])),
    )


def gauged(
    readings: Sequence[CellReading], resources: Sequence[str], *, newest_s: float
) -> Gauged:
    """What cells say of themselves.

    Use that is older than `newest_s`, or more than can be, counts as not heard.
    """
    shape = (len(readings), len(resources))
    used, capacity = np.full(shape, np.nan), np.full(shape, np.nan)
    for c, each in enumerate(readings):
        reading = each.reading
        if not isinstance(reading, Fresh):
            continue
        metrics, is_new = reading.metrics, reading.age_s <= newest_s
        for r, resource in enumerate(resources):
            gauge = metrics.gauges.get(resource)
            if gauge is not None and is_new and gauge.utilisation <= MOST_USED:
                used[c, r] = gauge.used
            limit = metrics.capacity.get(resource)
            if limit is not None and limit > 0.0:
                capacity[c, r] = limit
    return Gauged(used=_sane(used), capacity=capacity)


def sane(value: float) -> float:
    """A figure that cannot be counted is one that was not heard."""
    return value if 0.0 <= value < np.inf else np.nan


def or_none(value: float) -> float:
    """A figure, or 0 where none can be counted."""
    return value if 0.0 <= value < np.inf else 0.0


def _ratio(values: Floats) -> Floats:
    return np.minimum(1.0, np.nan_to_num(_sane(values)))


def _sane(values: Floats) -> Floats:
    return np.where((values >= 0.0) & (values < np.inf), values, np.nan)
