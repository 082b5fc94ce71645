"""This module is what load does to each gauge of a fleet; `swing` says how it is learned.

- `idle`: of a gauge that is declared to follow the load, what stays when no work comes.
- `driver` and `slope`: a gauge may hang on one that follows the load, as latency hangs on the
  processor (a queue), and so do the connections that a unit of load keeps (Little). Its logarithm
  is a rising, piecewise linear curve over that gauge. A gauge that hangs on another drives none.
- `stays`: work that needs more than usual has grown dearer (then less work cures it), or something
  else takes what is missing (then it does not). This is how likely it is the second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.learner import Snapshot
from foreshard.model.errors import ForecastError

__all__ = ["BINS", "LEAST_WORK", "NO_DRIVER", "STAYS", "LoadResponse", "ramps", "usual_cost"]

Array = NDArray[np.float64]
Index = NDArray[np.int64]

NO_DRIVER = -1
# Bins of the driver, in limits; beyond the last the curve goes on as in it.
_WIDTH = 0.1
BINS = 13
# Below this load the cost of work is noise; a day's cost is the median of every tenth sample.
LEAST_WORK = 0.02
_EVERY = 10
# Before any case is seen an excess is as likely to stay as not.
STAYS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoadResponse:
    """See the module.

    Attributes:
        gauges: G names.
        idle: [G], in limits.
        stays: [G], probability that an excess does not follow the load.
        driver: int64 [G], index of the gauge that it hangs on, or `NO_DRIVER`.
        slope: [G, K], rise of the logarithm of a gauge for one limit of its driver, by bin.
    """

    gauges: tuple[str, ...]
    idle: Array
    stays: Array
    driver: Index
    slope: Array

    def __post_init__(self) -> None:
        g = len(self.gauges)
        shapes = (self.idle.shape, self.stays.shape, self.driver.shape, self.slope.shape)
        if shapes != ((g,), (g,), (g,), (g, BINS)):
            raise ForecastError(
                f"load response: shapes are {shapes} for {g} gauges, must be [G], [G], [G] and "
                f"[G, {BINS}]; the model is damaged, train it anew"
            )
        within = (self.driver >= NO_DRIVER) & (self.driver < g)
        sound = (self.idle >= 0.0).all() and (self.slope >= 0.0).all() and within.all()
        if not (sound and ((self.stays >= 0.0) & (self.stays <= 1.0)).all()):
            raise ForecastError(
                "load response: a figure lies outside of its range; the model is damaged, train "
                "it anew"
            )

    @classmethod
    def declared(cls, gauges: tuple[str, ...]) -> Self:
        """What is believed of gauges before anything was seen."""
        g = len(gauges)
        return cls(
            gauges=gauges,
            idle=np.zeros(g),
            stays=np.full(g, STAYS),
            driver=np.full(g, NO_DRIVER, dtype=np.int64),
            slope=np.zeros((g, BINS)),
        )

    def of(self, gauges: tuple[str, ...]) -> LoadResponse:
        """The same of other gauges, in their order; of those unknown here, what is declared."""
        known = [self.gauges.index(name) if name in self.gauges else None for name in gauges]
        found = LoadResponse.declared(gauges)
        for g, place in enumerate(known):
            if place is not None:
                found.idle[g], found.stays[g] = self.idle[place], self.stays[place]
                found.slope[g] = self.slope[place]
                if self.driver[place] in known:
                    found.driver[g] = known.index(int(self.driver[place]))
        return found

    def logarithm(self, gauge: int, driver: NDArray[np.floating]) -> Array:
        """How far a gauge stands above where it would at a driver of 0, in logarithms."""
        return np.asarray(ramps(driver) @ self.slope[gauge])

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """It as arrays of a snapshot; the names of the gauges go elsewhere."""
        return {
            "load_idle": self.idle,
            "load_stays": self.stays,
            "load_driver": self.driver,
            "load_slope": self.slope,
        }

    @classmethod
    def in_snapshot(cls, snapshot: Snapshot, gauges: tuple[str, ...]) -> Self:
        """What `arrays` put into a snapshot.

        Raises:
            ForecastError: It is not there, or damaged.
        """
        return cls(
            gauges=gauges,
            idle=snapshot.array("load_idle"),
            stays=snapshot.array("load_stays"),
            driver=snapshot.array("load_driver").astype(np.int64),
            slope=snapshot.array("load_slope"),
        )


def usual_cost(value: NDArray[np.floating], load: NDArray[np.floating], idle: float) -> Array:
    """What a unit of load usually costs, beyond what is idle.

    Args:
        value: [C, T] of one gauge, the newest day at most.
        load: [C, T], times what its driver makes of it.
        idle: In limits.

    Returns:
        [C], the median; NaN = it is not known.
    """
    some = np.asarray(load[:, ::-_EVERY], dtype=np.float64)
    work = np.where(some >= LEAST_WORK, some, np.nan)
    return _median((value[:, ::-_EVERY] - idle) / work)


def ramps(driver: NDArray[np.floating]) -> Array:
    """How much of each bin lies below a driver, [..., K]."""
    bottom = _WIDTH * np.arange(BINS)
    top = np.full(BINS, _WIDTH)
    # The last bin has no end.
    top[-1] = np.inf
    return np.clip(np.asarray(driver, dtype=np.float64)[..., None] - bottom, 0.0, top)


def _median(x: Array) -> Array:
    """[C] of [C, N]; NaN = none is known."""
    known = ~np.isnan(x)
    count = known.sum(axis=1)
    ordered = np.sort(np.where(known, x, np.inf), axis=1)
    middle = np.take_along_axis(ordered, (np.maximum(count, 1) - 1)[:, None] // 2, axis=1)[:, 0]
    return np.where(count > 0, middle, np.nan)
