"""This module is what the baselines have in common: a score a gauge, and its way to a probability.

A score is a value on a scale on which 0 is what the gauge usually is (its median in that cell)
and 1 is its limit; the worst gauge speaks for the cell. A logistic curve, fitted for each horizon
to what became of past scores, turns it into a probability; it rises with the score, so a baseline
ranks as the bare score does.

A cell in which no gauge counts cannot reach a limit: its risk is 0. Where breaches are declared by
others, nothing is said of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.baseline.ascent import fit_ascent
from foreshard.forecast.baseline.score import SCORES
from foreshard.forecast.forecaster import Json
from foreshard.forecast.history import History
from foreshard.forecast.learner import Progress, Risk, Snapshot, ignore_progress
from foreshard.forecast.onset import BreachRule, find_onsets, labels
from foreshard.model.errors import ForecastError

__all__ = ["BaselineLearner", "BaselineModel", "restore"]

Array = NDArray[np.float64]
Index = NDArray[np.int64]

# Moments of the past that the curve is fitted to: two numbers do not need more.
_MOST_MOMENTS = 5_000
# A gauge that was never seen is taken to stand half way to its limit.
_USUAL = 0.5
# Nearer to its limit than this a usual value is noise.
_LEAST_ROOM = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineModel:
    """See the module.

    Attributes:
        name: Of the baseline.
        horizons_s: H, rising.
        cells, gauges: For which `usual` holds; others take the mean over the cells.
        usual: [C, G], median, fraction of the limit.
        offset, slope: [H], of the logistic curve over the squeezed score; slope > 0.
    """

    name: str
    horizons_s: tuple[float, ...]
    cells: tuple[str, ...]
    gauges: tuple[str, ...]
    usual: Array
    offset: Array
    slope: Array

    def risk(self, history: History, at: Index, *, loads: tuple[float, ...] = (1.0,)) -> Risk:
        """See `RiskModel`."""
        counted = history.counts[:, :, None]
        usual = self._usual_of(history)
        c, g = history.counts.shape
        by_gauge = np.full((len(self.horizons_s), len(loads), c, g, len(at)), np.nan, np.float32)
        for i, bare in enumerate(SCORES[self.name](history, at, self.horizons_s)):
            for j, load in enumerate(loads):
                factor = np.where(history.scales_with_load, load, 1.0)[None, :, None]
                score = _squeezed(bare * factor, usual)
                p = 1.0 / (1.0 + np.exp(-(self.offset[i] + self.slope[i] * score)))
                by_gauge[i, j] = np.where(counted, p, np.nan)
        np.fmax.accumulate(by_gauge, axis=0, out=by_gauge)
        np.fmax.accumulate(by_gauge, axis=1, out=by_gauge)
        worst = np.fmax.reduce(by_gauge, axis=3)
        if history.declared is None:
            worst[:, :, ~history.counts.any(axis=1)] = 0.0
        return Risk(any=worst, by_gauge=by_gauge)

    def snapshot(self) -> Snapshot:
        """See `RiskModel`."""
        settings: Mapping[str, Json] = {
            "name": self.name,
            "horizons_s": list(self.horizons_s),
            "cells": list(self.cells),
            "gauges": list(self.gauges),
        }
        arrays = {"usual": self.usual, "offset": self.offset, "slope": self.slope}
        return Snapshot(kind="baseline", settings=settings, arrays=arrays)

    def _usual_of(self, history: History) -> Array:
        """[C, G, 1] for the cells and gauges of any history."""
        if (history.cells, history.gauges) == (self.cells, self.gauges):
            return self.usual[:, :, None]
        mean = dict(zip(self.gauges, self.usual.mean(axis=0).tolist(), strict=True))
        row = {cell: i for i, cell in enumerate(self.cells)}
        column = {gauge: j for j, gauge in enumerate(self.gauges)}
        found = np.empty(history.counts.shape)
        for i, cell in enumerate(history.cells):
            for j, gauge in enumerate(history.gauges):
                known = cell in row and gauge in column
                own = self.usual[row[cell], column[gauge]] if known else mean.get(gauge, _USUAL)
                found[i, j] = own
        return found[:, :, None]


@dataclass(frozen=True, slots=True)
class BaselineLearner:
    """Makes a `BaselineModel` of the baseline that it is named for."""

    name: ClassVar[str]

    def fit(
        self,
        history: History,
        rule: BreachRule,
        horizons_s: tuple[float, ...],
        *,
        seed: int,
        progress: Progress = ignore_progress,
    ) -> BaselineModel:
        """See `Learner`; a history without any onset gives a model that expects few.

        Raises:
            ForecastError: The history is empty.
        """
        if history.samples == 0 or not history.cells or not history.gauges:
            raise ForecastError(f"{self.name}: the history is empty, nothing can be learned")
        usual = _usual_values(history)
        onsets = find_onsets(history, rule)
        at = np.arange(0, history.samples, -(-history.samples // _MOST_MOMENTS))
        offset, slope = np.empty(len(horizons_s)), np.empty(len(horizons_s))
        for i, bare in enumerate(SCORES[self.name](history, at, horizons_s)):
            y, known = labels(onsets, history.steps(horizons_s[i]))
            each = _squeezed(bare, usual[:, :, None])
            worst = np.fmax.reduce(np.where(history.counts[:, :, None], each, np.nan), axis=1)
            use = (onsets.scored & known)[:, at] & ~np.isnan(worst)
            weight = None if history.weight is None else history.weight[:, at][use]
            offset[i], slope[i] = fit_ascent(worst[use], y[:, at][use], weight)
            progress((i + 1) / len(horizons_s))
        return BaselineModel(
            name=self.name,
            horizons_s=horizons_s,
            cells=history.cells,
            gauges=history.gauges,
            usual=usual,
            offset=offset,
            slope=slope,
        )


def restore(snapshot: Snapshot) -> BaselineModel:
    """The model that made a snapshot.

    Raises:
        ForecastError: It is no snapshot of a baseline.
    """
    name = snapshot.settings.get("name")
    if snapshot.kind != "baseline" or name not in SCORES:
        raise ForecastError(
            f"baseline: snapshot is of kind {snapshot.kind!r} and name {name!r}, must be of kind "
            f"'baseline' and one of {', '.join(sorted(SCORES))}"
        )
    return BaselineModel(
        name=str(name),
        horizons_s=snapshot.numbers("horizons_s"),
        cells=snapshot.words("cells"),
        gauges=snapshot.words("gauges"),
        usual=snapshot.array("usual"),
        offset=snapshot.array("offset"),
        slope=snapshot.array("slope"),
    )


def _usual_values(history: History) -> Array:
    """[C, G], median of each gauge in each cell, fraction of the limit."""
    found = np.full(history.counts.shape, _USUAL)
    for i, j in zip(*np.nonzero(history.counts), strict=True):
        seen = history.value[i, j]
        seen = seen[~np.isnan(seen)]
        if len(seen):
            found[i, j] = np.median(seen)
    return np.asarray(np.minimum(found, 1.0 - _LEAST_ROOM))


def _squeezed(value: Array, usual: Array) -> Array:
    """Values as scores, the far ones drawn in: a wild extrapolation must not bend the curve."""
    score: Array = (value - usual) / (1.0 - usual)
    drawn_in: Array = np.sign(score) * np.log1p(np.abs(score))
    return drawn_in
