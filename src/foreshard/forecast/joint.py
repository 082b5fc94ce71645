"""This module is how hazards of single gauges become the probability that a cell fails.

The cumulative hazards of a cell's gauges add up, as those of independent causes do. Where others
declared what a breach is, each gauge tells of the same breach, and their mean counts instead. A
logistic curve for each horizon (Platt 1999), fitted to what came later than the model was fitted
to, turns the log-odds of the sum into probabilities; each gauge gets its part of the hazard back.
Then the probabilities are made to rise with the horizon and with the load.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.baseline.ascent import fit_ascent
from foreshard.forecast.history import History
from foreshard.forecast.learner import Risk
from foreshard.forecast.onset import Onsets, labels
from foreshard.model.errors import ForecastError

__all__ = ["Joint"]

Array = NDArray[np.float64]

# Rarer than this is all the same: the curve must not be bent by how sure a model is of nothing.
_LEAST_HAZARD = 1e-6
_MOST_HAZARD = 500.0
# Below this distance to 1 a probability has no finite hazard.
_LEAST_DOUBT = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Joint:
    """The curves.

    Attributes:
        offset: [H].
        slope: [H], > 0.
    """

    offset: Array
    slope: Array

    def __post_init__(self) -> None:
        if self.offset.ndim != 1 or self.offset.shape != self.slope.shape:
            raise ForecastError(
                f"joint: offset has shape {self.offset.shape}, slope {self.slope.shape}: "
                "must be one number a horizon"
            )
        finite = np.isfinite(self.offset).all() and np.isfinite(self.slope).all()
        if not finite or not (self.slope > 0.0).all():
            raise ForecastError(
                f"joint: offset is {self.offset}, slope {self.slope}: must be finite, the slope "
                "above 0"
            )

    @classmethod
    def fit(
        cls,
        hazard: Array,
        at: NDArray[np.int64],
        *,
        history: History,
        onsets: Onsets,
        horizons_s: tuple[float, ...],
    ) -> Self:
        """Curves from what was told of the past, and what came of it.

        Args:
            hazard: [H, C, G, A], NaN = nothing was said.
            at: [A], indices of samples.
            history: Of which it was told.
            onsets: Of the history.
            horizons_s: H.
        """
        offset, slope = np.zeros(len(horizons_s)), np.ones(len(horizons_s))
        total = _total(hazard, history)
        said: NDArray[np.bool_] = np.any(~np.isnan(hazard), axis=2)
        for i, horizon_s in enumerate(horizons_s):
            y, known = labels(onsets, history.steps(horizon_s))
            use = (onsets.scored & known)[:, at] & said[i]
            if use.any():
                weight = None if history.weight is None else history.weight[:, at][use]
                offset[i], slope[i] = fit_ascent(_log_odds(total[i][use]), y[:, at][use], weight)
        return cls(offset=offset, slope=slope)

    def risk(self, history: History, hazard: Array) -> Risk:
        """Probabilities from hazards.

        Args:
            history: Of which it is told.
            hazard: [H, L, C, G, A], NaN = nothing is said.

        Returns:
            A cell in which no gauge counts does not fail: its risk is 0 (breaches that others
            declared are another matter).
        """
        unsaid = np.isnan(hazard)
        each = np.minimum(np.nan_to_num(hazard), _MOST_HAZARD)
        odds = _log_odds(_total(hazard, history)) * self.slope[:, None, None, None]
        odds += self.offset[:, None, None, None]
        any_ = 1.0 / (1.0 + np.exp(-np.clip(odds, -_MOST_HAZARD, _MOST_HAZARD)))
        part = each / np.maximum(each.sum(axis=3, keepdims=True), np.finfo(np.float64).tiny)
        joint = -np.log1p(-np.minimum(any_, 1.0 - _LEAST_DOUBT))
        by_gauge = -np.expm1(-joint[:, :, :, None] * part)
        for p in (any_, by_gauge):
            np.maximum.accumulate(p, axis=0, out=p)
            np.maximum.accumulate(p, axis=1, out=p)
        by_gauge[unsaid] = np.nan
        any_[unsaid.all(axis=3)] = np.nan
        if history.declared is None:
            any_[:, :, ~history.counts.any(axis=1)] = 0.0
        return Risk(any=any_.astype(np.float32), by_gauge=by_gauge.astype(np.float32))


def _total(hazard: Array, history: History) -> Array:
    """Over the gauges, which are the last axis but one."""
    total: Array = np.minimum(np.nansum(hazard, axis=-2), _MOST_HAZARD)
    if history.declared is not None:
        total /= np.maximum((~np.isnan(hazard)).sum(axis=-2), 1)
    return total


def _log_odds(hazard: Array) -> Array:
    return np.asarray(np.log(np.expm1(np.maximum(hazard, _LEAST_HAZARD))))
