"""This module is who fails what it is asked, as balancers saw it, whatever health checks say."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from foreshard.model.telemetry import CellReading
from foreshard.planning.siblings import median_of_others

__all__ = ["answers", "failing"]

NAN = float("nan")
# Fewer requests a second say nothing about how many fail.
TELLING_RPS = 1.0
# Beyond the first a cell fails its requests; under the second its siblings do not.
FAILING_RATIO, CALM_RATIO = 0.5, 0.1
# No more than this fails where a cell answers what it is asked; one that died in the middle of a
# look has failed more.
WELL_RATIO = 0.01


def failing(readings: Mapping[str, CellReading]) -> frozenset[str]:
    """Cells in which most requests fail and in whose siblings few do: health may be green."""
    suspects = {
        name
        for name, reading in readings.items()
        if any(t.failed_ratio > FAILING_RATIO for t in (reading.traffic or {}).values())
    }
    if not suspects:
        return frozenset()
    ratios = np.array([_failed_ratio(reading) for reading in readings.values()])
    usual = median_of_others(ratios, np.ones(ratios.size, dtype=np.bool_))
    # NaN compares as false: where no sibling is known, what the cell shows is enough.
    fails = (ratios > FAILING_RATIO) & ~(usual >= CALM_RATIO)
    return frozenset(name for name, lost in zip(readings, fails.tolist(), strict=True) if lost)


def answers(reading: CellReading) -> bool:
    """Whether a cell answers its requests well, whatever health checks say; False = not known."""
    # NaN compares as false.
    return _failed_ratio(reading) <= WELL_RATIO


def _failed_ratio(reading: CellReading) -> float:
    """Share of a cell's requests that failed; NaN when too few were seen to say."""
    seen = (reading.traffic or {}).values()
    rate = sum(t.rate_rps for t in seen)
    failed = sum(t.rate_rps * t.failed_ratio for t in seen)
    return failed / rate if rate >= TELLING_RPS else NAN
