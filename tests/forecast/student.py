"""A small learner: how often a failure followed while each gauge stood in each tenth of its range.

It really learns, in a moment, and its model can be written down; that is all it is for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.forecaster import Json
from foreshard.forecast.history import History
from foreshard.forecast.learner import Progress, Risk, Snapshot, ignore_progress
from foreshard.forecast.onset import BreachRule, find_onsets, labels
from foreshard.model.errors import ForecastError

__all__ = ["Student", "StudentModel", "restore"]

BINS = 20
HIGHEST = 1.25


@dataclass(frozen=True, slots=True)
class Reading:
    """All that a student knows to say."""

    gauge: str
    value: float

    @property
    def words(self) -> str:
        return f"{self.gauge} stands at {self.value:.2f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentModel:
    """[H, G, BINS] odds of a failure; the worst gauge speaks."""

    horizons_s: tuple[float, ...]
    gauges: tuple[str, ...]
    p: NDArray[np.float64]
    name: ClassVar[str] = "student"

    def risk(
        self, history: History, at: NDArray[np.int64], *, loads: tuple[float, ...] = (1.0,)
    ) -> Risk:
        if history.gauges != self.gauges:
            raise ForecastError(f"student: knows {self.gauges}, the history has {history.gauges}")
        c, g = history.counts.shape
        by_gauge = np.full((len(self.horizons_s), len(loads), c, g, len(at)), np.nan, np.float32)
        for j, load in enumerate(loads):
            factor = np.where(history.scales_with_load, load, 1.0)[None, :, None]
            value = history.value[:, :, at] * factor
            heard = ~np.isnan(value)
            bins = _bins(value)
            for h in range(len(self.horizons_s)):
                told = self.p[h][np.arange(g)[None, :, None], bins]
                by_gauge[h, j] = np.where(heard, told, np.nan)
        np.fmax.accumulate(by_gauge, axis=0, out=by_gauge)
        np.fmax.accumulate(by_gauge, axis=1, out=by_gauge)
        worst = np.fmax.reduce(by_gauge, axis=3)
        by_gauge[:, :, ~history.counts] = np.nan
        return Risk(any=worst, by_gauge=by_gauge)

    def reasons(
        self, history: History, at: int, *, cells: tuple[str, ...], horizon_s: float, most: int
    ) -> Mapping[str, tuple[Reading, ...]]:
        found = {}
        for name in cells:
            value = history.value[history.cells.index(name), :, at].tolist()
            readings = [Reading(g, v) for g, v in zip(history.gauges, value, strict=True)]
            found[name] = tuple(sorted(readings, key=lambda r: -r.value)[:most])
        return found

    def snapshot(self) -> Snapshot:
        settings: Mapping[str, Json] = {
            "horizons_s": list(self.horizons_s),
            "gauges": list(self.gauges),
        }
        return Snapshot(kind="student", settings=settings, arrays={"p": self.p})


@dataclass(frozen=True, slots=True)
class Student:
    """See the module; it looks at the newest samples of a record."""

    newest: int = 10_000
    name: ClassVar[str] = "student"

    def fit(
        self,
        history: History,
        rule: BreachRule,
        horizons_s: tuple[float, ...],
        *,
        seed: int,
        progress: Progress = ignore_progress,
    ) -> StudentModel:
        history = history.between(max(0, history.samples - self.newest), history.samples)
        found = find_onsets(history, rule)
        if not len(found):
            raise ForecastError("student: the history holds no failure to learn from")
        p = np.zeros((len(horizons_s), len(history.gauges), BINS))
        for h, horizon_s in enumerate(horizons_s):
            y, known = labels(found, history.steps(horizon_s))
            use = known & found.scored
            for g in range(len(history.gauges)):
                value = history.value[:, g][use]
                bins, heard = _bins(value), ~np.isnan(value)
                count = np.bincount(bins[heard], minlength=BINS)
                hits = np.bincount(bins[heard], weights=y[use][heard], minlength=BINS)
                usual = y[use].mean()
                p[h, g] = np.maximum.accumulate((hits + 2.0 * usual) / (count + 2.0))
            progress((h + 1) / len(horizons_s))
        # A gauge that tells nothing must not speak for the cell.
        flat = p.max(axis=2) - p.min(axis=2) < 0.05
        p[flat] = p.min(axis=2)[flat][:, None]
        return StudentModel(
            horizons_s=horizons_s, gauges=history.gauges, p=np.maximum.accumulate(p, axis=0)
        )


def restore(snapshot: Snapshot) -> StudentModel:
    if snapshot.kind != "student":
        raise ForecastError(f"student: snapshot is of kind {snapshot.kind!r}")
    return StudentModel(
        horizons_s=snapshot.numbers("horizons_s"),
        gauges=snapshot.words("gauges"),
        p=snapshot.array("p"),
    )


def _bins(value: NDArray[np.float32]) -> NDArray[np.int64]:
    scaled = np.nan_to_num(value) / HIGHEST * BINS
    return np.asarray(np.clip(scaled, 0, BINS - 1), dtype=np.int64)
