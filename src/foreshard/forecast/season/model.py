"""This module is seasons as a risk model: one curve a gauge of a cell, and its surprises.

It knows the hour and the slow trend and nothing of shapes: what it is for is demand that comes
every day, and disks. A gauge that it has no curve for is not spoken of.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.history import History
from foreshard.forecast.joint import Joint
from foreshard.forecast.learner import Risk, Snapshot
from foreshard.forecast.season.curve import SeasonCurves
from foreshard.forecast.season.surprise import (
    LEVELS,
    expected_most,
    odds_above,
    standing_off,
)
from foreshard.model.errors import ForecastError

__all__ = ["KIND", "SeasonModel", "restore"]

Array = NDArray[np.float64]

KIND: Final = "prophet"
# Samples before a stretch that are looked at, to know where a gauge stands.
_BEFORE = 10
_SAMPLES_AT_ONCE = 2_000_000
_SAME_STEP = 0.01
# The layout of the arrays; a snapshot of another one is refused.
_EDITION = 1
_LEAST_LOAD = 1e-3
# A curve that was carried too far expects the limit to be exceeded, day after day: no curve is
# believed to be surer than this, or one such gauge would outvote all that came true.
_MOST_SURE = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class SeasonModel:
    """See the module.

    Attributes:
        horizons_s: H, rising.
        step_s: Of the histories that it can read.
        cells, gauges: R names each: which gauge of which cell a curve is of.
        curves: R.
        fading: [R], part of an offset from the curve that is left a sample later.
        surprises: [R, H, Q], see `quantiles_of`.
        joint: From hazards of gauges to the probability of a cell.
    """

    name: ClassVar[str] = KIND
    horizons_s: tuple[float, ...]
    step_s: float
    cells: tuple[str, ...]
    gauges: tuple[str, ...]
    curves: SeasonCurves
    fading: Array
    surprises: Array
    joint: Joint

    def risk(
        self, history: History, at: NDArray[np.int64], *, loads: tuple[float, ...] = (1.0,)
    ) -> Risk:
        """See `RiskModel`.

        Raises:
            ForecastError: The history has another step.
        """
        return self.joint.risk(history, self.hazard(history, at, loads=loads))

    def hazard(
        self, history: History, at: NDArray[np.int64], *, loads: tuple[float, ...] = (1.0,)
    ) -> Array:
        """Cumulative hazards of the gauges, before calibration.

        Returns:
            float64 [H, L, C, G, A]; NaN = nothing is said.
        """
        if abs(history.step_s / self.step_s - 1.0) > _SAME_STEP:
            raise ForecastError(
                f"prophet: the history has steps of {history.step_s} s, the model was fitted to "
                f"{self.step_s} s; fit it again"
            )
        found = np.full((len(self.horizons_s), len(loads), *history.counts.shape, len(at)), np.nan)
        mine, cell, gauge = self._rows_of(history)
        if not len(mine) or not len(at):
            return found
        first, end = int(at.min()), int(at.max()) + 1
        size = max(_SAMPLES_AT_ONCE // (end - first), 1)
        for begin in range(0, len(mine), size):
            some = slice(begin, begin + size)
            rows = mine[some], cell[some], gauge[some]
            for i, j, hazard in self._hazards(history, (first, end), rows, loads):
                found[i, j, cell[some], gauge[some]] = hazard[:, at - first]
        return found

    def snapshot(self) -> Snapshot:
        """See `RiskModel`."""
        curves = {f.name: getattr(self.curves, f.name) for f in fields(self.curves)}
        return Snapshot(
            kind=KIND,
            settings={
                "edition": _EDITION,
                "horizons_s": list(self.horizons_s),
                "step_s": [self.step_s],
                "cells": list(self.cells),
                "gauges": list(self.gauges),
            },
            arrays={
                **curves,
                "fading": self.fading,
                "surprises": self.surprises,
                "offset": self.joint.offset,
                "joint_slope": self.joint.slope,
            },
        )

    def _rows_of(
        self, history: History
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Curves, cells and gauges of what counts in a history and has a curve."""
        row = {pair: r for r, pair in enumerate(zip(self.cells, self.gauges, strict=True))}
        rows = [
            (row[history.cells[c], history.gauges[g]], c, g)
            for c, g in zip(*np.nonzero(history.counts), strict=True)
            if (history.cells[c], history.gauges[g]) in row
        ]
        table = np.array(rows, dtype=np.int64).reshape(len(rows), 3)
        return table[:, 0], table[:, 1], table[:, 2]

    def _hazards(
        self,
        history: History,
        span: tuple[int, int],
        rows: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
        loads: tuple[float, ...],
    ) -> Iterator[tuple[int, int, Array]]:
        """For each horizon and load, [R, span] hazards."""
        mine, cell, gauge = rows
        before = max(span[0] - _BEFORE, 0)
        steps = [history.steps(h) for h in self.horizons_s]
        moment_s = history.begins_s + history.step_s * np.arange(
            before, span[1] + steps[-1], dtype=np.float64
        )
        curve = self.curves.of(mine).at(moment_s)
        t = span[1] - before
        off = standing_off(history.value[cell, gauge, before : span[1]], curve[:, :t])
        told = slice(span[0] - before, None)
        scales = history.scales_with_load[gauge]
        for i, h in enumerate(steps):
            most = expected_most(curve, off, self.fading[mine], h)[:, told]
            for j, load in enumerate(loads):
                # At a load twice as high the limit lies half as high.
                limit = np.where(scales, 1.0 / max(load, _LEAST_LOAD), 1.0)[:, None]
                p = odds_above(limit - most, self.surprises[mine, i])
                yield i, j, -np.log1p(-np.minimum(p, _MOST_SURE))


def restore(snapshot: Snapshot) -> SeasonModel:
    """The model that made a snapshot.

    Raises:
        ForecastError: It is no snapshot of this model, of another edition, or damaged.
    """
    edition = snapshot.settings.get("edition")
    if snapshot.kind != KIND or edition != _EDITION:
        raise ForecastError(
            f"prophet: snapshot is of kind {snapshot.kind!r} and edition {edition!r}, must be "
            f"{KIND!r} and {_EDITION}; train the model again"
        )
    curves = SeasonCurves(**{f.name: snapshot.array(f.name) for f in fields(SeasonCurves)})
    model = SeasonModel(
        horizons_s=snapshot.numbers("horizons_s"),
        step_s=snapshot.numbers("step_s")[0],
        cells=snapshot.words("cells"),
        gauges=snapshot.words("gauges"),
        curves=curves,
        fading=snapshot.array("fading"),
        surprises=snapshot.array("surprises"),
        joint=Joint(offset=snapshot.array("offset"), slope=snapshot.array("joint_slope")),
    )
    r, h = len(curves), len(model.horizons_s)
    found = (len(model.cells), len(model.gauges), model.fading.shape, model.surprises.shape)
    if (*found, len(model.joint.slope)) != (r, r, (r,), (r, h, len(LEVELS) + 1), h):
        raise ForecastError("prophet: the snapshot's parts do not match, the file is damaged")
    return model
