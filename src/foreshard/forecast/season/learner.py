"""This module is how seasons are learned: a bounded number of fits, twice.

First on all but the end of the history, to fit the curve of probabilities on that end; then anew
on all of it. The gauges that come nearest to their limits get the fits, the others a flat curve:
a fit takes half a second, whatever the fleet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.history import History
from foreshard.forecast.joint import Joint
from foreshard.forecast.learner import Progress, ignore_progress
from foreshard.forecast.onset import BreachRule, find_onsets
from foreshard.forecast.season.curve import SeasonCurves, flat_curve
from foreshard.forecast.season.fitting import fit_curve
from foreshard.forecast.season.model import KIND, SeasonModel
from foreshard.forecast.season.surprise import (
    expected_most,
    fading_of,
    quantiles_of,
    standing_off,
)
from foreshard.model.errors import ForecastError, InvalidValueError

__all__ = ["ProphetLearner"]

# So much of the history is kept back for the curve of probabilities, from its end.
_LATER = 0.15
_FEWEST_SAMPLES = 500
_MOST_MOMENTS = 200_000
# Curves and surprises of so many samples at once.
_ROWS_AT_ONCE = 50
# Where a gauge usually goes at its highest, for the order of the fits.
_HIGH = 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class ProphetLearner:
    """Makes a `SeasonModel`.

    Attributes:
        at_most: Series that are fitted, twice each, at about half a second; >= 0.
    """

    name: ClassVar[str] = KIND
    at_most: int = 60

    def __post_init__(self) -> None:
        if self.at_most < 0:
            raise InvalidValueError(f"prophet: at_most is {self.at_most}, must be >= 0")

    def fit(
        self,
        history: History,
        rule: BreachRule,
        horizons_s: tuple[float, ...],
        *,
        seed: int,
        progress: Progress = ignore_progress,
    ) -> SeasonModel:
        """See `Learner`; the seed is not needed.

        Raises:
            ForecastError: The history is too short, no gauge counts in it, or Prophet is missing.
        """
        cell, gauge = np.nonzero(history.counts)
        if not len(cell):
            raise ForecastError(
                "prophet: no gauge has a limit that counts, nothing can be learned"
            )
        if history.samples < _FEWEST_SAMPLES + history.steps(horizons_s[-1]):
            raise ForecastError(
                f"prophet: the history has {history.samples} samples, too few to learn from; it "
                f"takes {_FEWEST_SAMPLES + history.steps(horizons_s[-1])}"
            )
        split = round((1.0 - _LATER) * history.samples)
        rows = (cell.astype(np.int64), gauge.astype(np.int64))
        chosen = _nearest(history, rows, self.at_most)

        def fitted(end: int, joint: Joint, begins: float) -> SeasonModel:
            return _fitted(
                history.until(end),
                rows,
                chosen,
                rule=rule,
                horizons_s=horizons_s,
                joint=joint,
                progress=lambda done: progress(begins + 0.5 * done),
            )

        plain = Joint(offset=np.zeros(len(horizons_s)), slope=np.ones(len(horizons_s)))
        early = fitted(split, plain, 0.0)
        stride = -(-(history.samples - split) * len(history.cells) // _MOST_MOMENTS)
        at = np.arange(split, history.samples, stride, dtype=np.int64)
        joint = Joint.fit(
            early.hazard(history, at)[:, 0],
            at,
            history=history,
            onsets=find_onsets(history, rule),
            horizons_s=horizons_s,
        )
        return fitted(history.samples, joint, 0.5)


_Rows = tuple[NDArray[np.int64], NDArray[np.int64]]


def _fitted(
    history: History,
    rows: _Rows,
    chosen: NDArray[np.bool_],
    *,
    rule: BreachRule,
    horizons_s: tuple[float, ...],
    joint: Joint,
    progress: Progress,
) -> SeasonModel:
    """A model of all that a history holds."""
    cell, gauge = rows
    time_s = history.time_s()
    curves: list[SeasonCurves] = []
    for i, (c, g) in enumerate(zip(cell, gauge, strict=True)):
        value = history.value[c, g].astype(np.float64)
        if chosen[i]:
            curves.append(fit_curve(time_s, value))
        else:
            heard = value[~np.isnan(value)]
            curves.append(flat_curve(float(heard.mean()) if len(heard) else 0.0))
        progress((i + 1) / len(cell))
    joined = SeasonCurves.joined(curves)
    fading, surprises = [], []
    for first in range(0, len(cell), _ROWS_AT_ONCE):
        some = np.arange(first, min(first + _ROWS_AT_ONCE, len(cell)))
        value32 = history.value[cell[some], gauge[some]]
        # What is ahead of the last samples is beyond the history, and is not asked for.
        curve = joined.of(some).at(time_s)
        off = standing_off(value32, curve)
        left = fading_of(off)
        each = []
        for horizon_s in horizons_s:
            h = history.steps(horizon_s)
            expected = expected_most(curve, off[:, : curve.shape[1] - h], left, h)
            each.append(quantiles_of(value32, expected, h, rule.sustain))
        fading.append(left)
        surprises.append(np.stack(each, axis=1))
    return SeasonModel(
        horizons_s=horizons_s,
        step_s=history.step_s,
        cells=tuple(history.cells[c] for c in cell),
        gauges=tuple(history.gauges[g] for g in gauge),
        curves=joined,
        fading=np.concatenate(fading),
        surprises=np.concatenate(surprises),
        joint=joint,
    )


def _nearest(history: History, rows: _Rows, at_most: int) -> NDArray[np.bool_]:
    """Which gauges are fitted: those whose highest values come nearest to their limit."""
    high = np.full(len(rows[0]), -np.inf)
    for i, (c, g) in enumerate(zip(*rows, strict=True)):
        heard = history.value[c, g]
        heard = heard[~np.isnan(heard)]
        if len(heard):
            high[i] = np.quantile(heard, _HIGH)
    chosen = np.zeros(len(high), dtype=bool)
    chosen[np.argsort(-high, kind="stable")[:at_most]] = True
    return chosen
