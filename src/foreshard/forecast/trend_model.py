"""This module is `trend` over history: what needs no training, where learned models are asked.

For each sample asked for, the same law as in `trend` is laid over the window that ends there;
readings from before the cell's last restart are forgotten, as in the live window. What the cell's
siblings go through as well is not held against it (`contrast`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.arrival import Gauges, arrivals
from foreshard.forecast.contrast import beyond_siblings
from foreshard.forecast.history import History
from foreshard.forecast.learner import Progress, Risk, Snapshot, ignore_progress
from foreshard.forecast.onset import BreachRule
from foreshard.model.errors import ForecastError

__all__ = ["TrendLearner", "TrendModel", "restore"]

_KIND = "trend"
# A drift is looked for in so many horizons of the past, in no more samples than this.
_WINDOW_HORIZONS = 2.0
_MOST_SAMPLES = 120
_FEWEST_SAMPLES = 12
# Rows that are worked on at once: bounds memory, and changes no result.
_ROWS_AT_ONCE = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendModel:
    """First passage of each gauge; see the module.

    Attributes:
        horizons_s: H, rising.
    """

    horizons_s: tuple[float, ...]
    name: ClassVar[str] = _KIND

    def risk(
        self, history: History, at: NDArray[np.int64], *, loads: tuple[float, ...] = (1.0,)
    ) -> Risk:
        """See `RiskModel`."""
        c, g = history.counts.shape
        shape = (len(self.horizons_s), len(loads), c, g, len(at))
        by_gauge = np.full(shape, np.nan, dtype=np.float32)
        told = np.flatnonzero(history.counts.any(axis=0))
        if len(told):
            at_once = max(_ROWS_AT_ONCE // max(c * len(told), 1), 1)
            for first in range(0, len(at), at_once):
                some = slice(first, first + at_once)
                by_gauge[:, :, :, told, some] = self._arrivals(history, at[some], told, loads)
        by_gauge[:, :, ~history.counts] = np.nan
        by_gauge = beyond_siblings(by_gauge, history.sibling, axis=2)
        np.fmax.accumulate(by_gauge, axis=0, out=by_gauge)
        np.fmax.accumulate(by_gauge, axis=1, out=by_gauge)
        worst = np.fmax.reduce(by_gauge, axis=3)
        if history.declared is None:
            worst[:, :, ~history.counts.any(axis=1)] = 0.0
        return Risk(any=worst, by_gauge=by_gauge)

    def snapshot(self) -> Snapshot:
        """See `RiskModel`."""
        return Snapshot(kind=_KIND, settings={"horizons_s": list(self.horizons_s)})

    def _arrivals(
        self,
        history: History,
        at: NDArray[np.int64],
        told: NDArray[np.intp],
        loads: tuple[float, ...],
    ) -> NDArray[np.float64]:
        """[H, L, C, G', A], NaN where too little is known."""
        wanted = history.steps(_WINDOW_HORIZONS * self.horizons_s[-1])
        t = min(max(wanted, _FEWEST_SAMPLES), _MOST_SAMPLES)
        c, g, a = len(history.cells), len(told), len(at)
        value = np.full((c, a, g, t), np.nan)
        load = np.full((c, a, t), np.nan, dtype=np.float32)
        which = slice(None) if g == len(history.gauges) else told
        for i, last in enumerate(at.tolist()):
            first = max(last + 1 - t, 0)
            seen = t - (last + 1 - first)
            value[:, i, :, seen:] = history.value[:, which, first : last + 1]
            load[:, i, seen:] = history.load[:, first : last + 1]
        age_s = history.step_s * np.arange(t - 1, -1, -1, dtype=np.float64)
        # Unknown since when it is up: all of it counts.
        restarted = age_s > history.up_s[:, at][:, :, None]
        load[restarted] = np.nan
        np.copyto(value, np.nan, where=restarted[:, :, None])
        # Every cell at every sample is a row of cells of its own; noise is shared among cells at
        # the same sample only, or the future would speak.
        arrived = arrivals(
            Gauges(
                time_s=-np.asarray(age_s),
                value=value.reshape(c * a, g, t),
                load=load.reshape(c * a, t),
                scales_with_load=history.scales_with_load[told],
                may_hold=np.zeros(g, dtype=bool),
                # Of steps this long none is of another queue: a day is seen at all its loads.
                is_own=np.ones(g, dtype=bool),
                pools=a * g,
            ),
            self.horizons_s,
            loads,
            prior=None,
        )
        p = np.where(arrived.known, arrived.p, np.nan)
        return p.reshape(len(self.horizons_s), len(loads), c, a, g).transpose(0, 1, 2, 4, 3)


@dataclass(frozen=True, slots=True)
class TrendLearner:
    """`trend` needs no training."""

    name: ClassVar[str] = _KIND

    def fit(
        self,
        history: History,
        rule: BreachRule,
        horizons_s: tuple[float, ...],
        *,
        seed: int,
        progress: Progress = ignore_progress,
    ) -> TrendModel:
        """See `Learner`; nothing is learned."""
        progress(1.0)
        return TrendModel(horizons_s=horizons_s)


def restore(snapshot: Snapshot) -> TrendModel:
    """The model that made a snapshot.

    Raises:
        ForecastError: It is no snapshot of `trend`.
    """
    if snapshot.kind != _KIND:
        raise ForecastError(f"trend: snapshot is of kind {snapshot.kind!r}, not {_KIND!r}")
    return TrendModel(horizons_s=snapshot.numbers("horizons_s"))
