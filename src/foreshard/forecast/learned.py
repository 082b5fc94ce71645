"""This module is a trained model in flight: its outlook and the trend of this second, as one.

By cell, the two are weighed by evidence: a cell that was heard for an hour counts half of what the
model says of it and half of what its trend says, one that was heard for days almost all of the
model's. So a new cell begins on the trend, and the model takes over (as in partial pooling, where
the prior weighs as much as `EVIDENCE_STEPS` observations). Where one of the two says nothing, the
other speaks alone.

A model that looks at minutes comes late for what fills in minutes. So where the trend of the last
seconds is more likely than not to arrive within the shortest horizon, it is not weighed down.

What the engine takes as evidence that something really drifts (the lower bound of the drift, times
to the limit) is the trend's, whoever said how likely it is. Where the model leads, it asks for no
drift: the probabilities were held against a later past before the model flew, and are watched. A
band is told only where the trend made the probability.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.forecaster import Forecaster, Json
from foreshard.forecast.learner import RiskModel
from foreshard.forecast.outlook import Outlook, outlook_of
from foreshard.forecast.report import Figures, Foreseen
from foreshard.forecast.trend import TrendForecaster
from foreshard.forecast.window import Window
from foreshard.model.errors import ForecastError
from foreshard.model.events import SystemEvent
from foreshard.model.forecast import Forecast

__all__ = ["EVIDENCE_STEPS", "AdvisedForecaster", "LearnedForecaster", "blended"]

Array = NDArray[np.float64]

# As many steps of a cell weigh as much as all that is known of other cells: an hour of minutes.
EVIDENCE_STEPS = 60.0
# More likely than not.
_IMMINENT_P = 0.5
_OF_A_CLASS = ("latency:", "errors:")


def blended(trend: Forecast, outlook: Outlook) -> Forecast:
    """The forecast of `TrendForecaster`, with what a trained model says.

    Args:
        trend: Made by `TrendForecaster`.
        outlook: Of the same horizons and loads.

    Raises:
        ForecastError: They do not match.
    """
    if not isinstance(trend.cells, Foreseen):
        raise ForecastError("learned: the other forecast must be that of `trend`")
    figures = trend.cells.figures
    if (figures.horizons_s, figures.loads) != (outlook.horizons_s, outlook.loads):
        raise ForecastError(
            f"learned: {outlook.name} speaks of horizons {outlook.horizons_s} and loads "
            f"{outlook.loads}, wanted are {figures.horizons_s} and {figures.loads}; train anew"
        )
    said, any_said, seen = _aligned(outlook, figures)
    weight = seen / (seen + EVIDENCE_STEPS)
    known = figures.known[None, None]
    p = np.where(known, figures.p, np.nan)
    mixed = _mixed(said, p, weight[None, None, :, None])
    here = figures.loads.index(1.0)
    imminent = figures.known & (figures.p[0, here] >= _IMMINENT_P)
    mixed = np.where(imminent[None, None], np.fmax(mixed, p), mixed)
    told = np.asarray(~np.isnan(mixed).any(axis=(0, 1)))
    learns = ~np.isnan(said).all(axis=(0, 1, 3)) | ~np.isnan(any_said).all(axis=(0, 1))
    leads = learns & (weight >= 0.5)
    stands = np.where(leads, outlook.name, trend.model)
    return Forecast(
        made_at_s=trend.made_at_s,
        horizons_s=trend.horizons_s,
        model=outlook.name,
        cells=Foreseen(
            replace(
                figures,
                known=told,
                p=np.nan_to_num(mixed),
                any=_any(figures, mixed, any_said, weight, is_whole=_is_whole(outlook)),
                stands_on=tuple(stands.tolist()),
                has_band=np.asarray(~learns),
                calibrated=np.asarray(leads),
                because={
                    name: outlook.because[name]
                    for name, model in zip(figures.cells, stands.tolist(), strict=True)
                    if model == outlook.name and name in outlook.because
                },
            )
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvisedForecaster:
    """A trained model in a process of its own, of which one outlook is known, and `trend`.

    Attributes:
        inner: Whose forecast it is blended with: `trend`, or what makes the same of it.
        outlook: The newest of the model.
    """

    inner: Forecaster
    outlook: Outlook

    def fit(self, history: Sequence[Window]) -> AdvisedForecaster:
        """Itself: models are made by `foreshard train`, from longer histories than windows."""
        return self

    def forecast(self, window: Window, events: Sequence[SystemEvent], *, now_s: float) -> Forecast:
        """What may happen; see `blended`."""
        return blended(self.inner.forecast(window, events, now_s=now_s), self.outlook)

    def snapshot(self) -> Mapping[str, Json]:
        """That of `inner`; the outlook passes."""
        return self.inner.snapshot()

    def restore(self, snapshot: Mapping[str, Json]) -> AdvisedForecaster:
        """This outlook, beside what made the snapshot."""
        return replace(self, inner=self.inner.restore(snapshot))


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedForecaster:
    """A trained model and `trend`, in one process: where no worker stands between (the lab).

    Attributes:
        model: The trained model.
        name: Its id.
        trend: What it is blended with.
    """

    model: RiskModel
    name: str
    trend: TrendForecaster

    def fit(self, history: Sequence[Window]) -> LearnedForecaster:
        """Itself: models are made by `foreshard train`, from longer histories than windows."""
        return self

    def forecast(self, window: Window, events: Sequence[SystemEvent], *, now_s: float) -> Forecast:
        """What may happen; as long as nothing is remembered, what `trend` says."""
        trend = self.trend.forecast(window, events, now_s=now_s)
        if window.past is None or not window.past.samples:
            return trend
        outlook = outlook_of(self.name, self.model, window.past, loads=self.trend.loads)
        return blended(trend, outlook)

    def snapshot(self) -> Mapping[str, Json]:
        """Which model it flies, and the trend; the model itself has a file of its own."""
        return {"kind": "learned", "name": self.name, "trend": self.trend.snapshot()}

    def restore(self, snapshot: Mapping[str, Json]) -> LearnedForecaster:
        """The forecaster with this model and the trend of a snapshot.

        Raises:
            ForecastError: It is a snapshot of something else.
        """
        trend = snapshot.get("trend")
        if snapshot.get("kind") != "learned" or not isinstance(trend, Mapping):
            raise ForecastError(f"learned: snapshot is of kind {snapshot.get('kind')!r}")
        if snapshot.get("name") != self.name:
            raise ForecastError(
                f"learned: snapshot is of model {snapshot.get('name')!r}, this is {self.name!r}"
            )
        return replace(self, trend=self.trend.restore(trend))


def _aligned(outlook: Outlook, figures: Figures) -> tuple[Array, Array, Array]:
    """by_gauge [H, L, C, G], any [H, L, C] and seen [C], in the order of the figures."""
    h, n, c, g = figures.p.shape
    by_gauge, any_said = np.full((h, n, c, g), np.nan), np.full((h, n, c), np.nan)
    seen = np.zeros(c)
    row = {name: i for i, name in enumerate(outlook.cells)}
    place = {name: i for i, name in enumerate(outlook.gauges)}
    cells = [(i, row[name]) for i, name in enumerate(figures.cells) if name in row]
    gauges = [(j, place[name]) for j, name in enumerate(figures.gauges) if name in place]
    if cells:
        mine, theirs = (list(each) for each in zip(*cells, strict=True))
        any_said[:, :, mine] = outlook.any[:, :, theirs]
        seen[mine] = outlook.seen[theirs]
        for j, other in gauges:
            by_gauge[:, :, mine, j] = outlook.by_gauge[:, :, theirs, other]
    return by_gauge, any_said, seen


def _mixed(said: Array, trend: Array, weight: Array) -> Array:
    both = weight * said + (1.0 - weight) * trend
    return np.where(np.isnan(said), trend, np.where(np.isnan(trend), said, both))


def _is_whole(outlook: Outlook) -> bool:
    """Whether "any gauge" means what the engine means by a failure of the whole cell."""
    return not any(name.startswith(_OF_A_CLASS) for name in outlook.gauges)


def _any(
    figures: Figures, mixed: Array, said: Array, weight: Array, *, is_whole: bool
) -> Array | None:
    """[H, L, C] of any gauge, NaN where the modes tell; None = they tell everywhere.

    One class that suffers is no failure of the cell to the engine, but it is to a model that was
    told of classes: then its word about "any" would drain cells over a slow class.
    """
    if not is_whole:
        return None
    worst = np.fmax.reduce(np.where(figures.known[None, None], figures.p, np.nan), axis=3)
    told = _mixed(said, worst, weight[None, None])
    modes = np.fmax.reduce(mixed, axis=3)
    return np.where(np.isnan(said), np.nan, np.fmax(told, modes))
