"""This module is what is announced, laid over what a model foresees: hazards add.

Whatever the metrics say, a cell in announced maintenance will be away: that is certain. A known
bug and a deploy raise the hazard of their cells, at every load, by what such events have done
before (`influence`). A dependency that is unwell raises the risk of the classes that need it, in
the cells it is told of, and of no other class; the cell itself is at risk only when every class
in it is.

Nothing that is announced ever lowers a risk that the metrics show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.forecaster import Forecaster, Json
from foreshard.forecast.influence import Influences, classes_that_need
from foreshard.forecast.report import Details, Figures, Foreseen
from foreshard.forecast.window import Window
from foreshard.model.errors import ForecastError
from foreshard.model.events import EventKind, SystemEvent
from foreshard.model.forecast import Forecast
from foreshard.model.telemetry import Fresh, Observation

__all__ = ["AttentiveForecaster", "events_by_cell", "with_events"]

Array = NDArray[np.float64]

_LATENCY = "latency:"
_OF_CELLS = (EventKind.KNOWN_BUG, EventKind.DEPLOY)


def events_by_cell(observation: Observation) -> tuple[SystemEvent, ...]:
    """The events of an observation, those of a version with the cells that run it now."""
    versions = {
        cell: reading.reading.metrics.version
        for cell, reading in observation.cells.items()
        if isinstance(reading.reading, Fresh)
    }
    told = (event.among(versions) for event in observation.events)
    return tuple(event for event in told if event is not None)


def with_events(
    figures: Figures,
    events: Sequence[SystemEvent],
    *,
    now_s: float,
    needs: Mapping[str, frozenset[str]],
    influences: Influences,
) -> Figures:
    """What a model says, and what is announced.

    Args:
        figures: What it says, blind to all events but maintenance.
        events: Those known later than `now_s` change nothing.
        now_s: When it was said.
        needs: By class, the dependencies it declares.
        influences: What events of each kind do.
    """
    heard: dict[str, dict[str, Array]] = {}
    extra = np.zeros((len(figures.horizons_s), *figures.known.shape))
    for event in events:
        within_s = [_overlap_s(event, now_s, h) for h in figures.horizons_s]
        hazard = np.array([influences.added_hazard(event, s) for s in within_s])
        if not hazard.any():
            continue
        cells = [c for c, name in enumerate(figures.cells) if event.concerns(name)]
        if event.kind in _OF_CELLS:
            of = heard.setdefault(event.kind.value, {})
            for c in cells:
                name = figures.cells[c]
                of[name] = of.get(name, np.zeros(len(hazard))) + hazard
        elif event.kind is EventKind.DEPENDENCY:
            hurt = {_LATENCY + name for name in classes_that_need(event.dependency, needs)}
            for g in (g for g, name in enumerate(figures.gauges) if name in hurt):
                extra[:, cells, g] += hazard[:, None]
    told = {
        mode: {cell: tuple((-np.expm1(-of)).tolist()) for cell, of in cells.items()}
        for mode, cells in heard.items()
    }
    figures = replace(figures, heard={**figures.heard, **told})
    return _raised(figures, extra) if extra.any() else figures


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentiveForecaster:
    """A forecaster that listens to what is announced.

    Attributes:
        inner: Whose forecast it is; its cells must be `report.Foreseen`.
        needs: By class, the dependencies it declares.
        influences: What events of each kind do.
    """

    inner: Forecaster
    needs: Mapping[str, frozenset[str]]
    influences: Influences = field(default_factory=Influences)

    def fit(self, history: Sequence[Window]) -> AttentiveForecaster:
        """See `Forecaster`."""
        return replace(self, inner=self.inner.fit(history))

    def forecast(self, window: Window, events: Sequence[SystemEvent], *, now_s: float) -> Forecast:
        """See `Forecaster`."""
        forecast = self.inner.forecast(window, events, now_s=now_s)
        if not events or not isinstance(forecast.cells, Foreseen):
            return forecast
        figures = with_events(
            forecast.cells.figures,
            events,
            now_s=forecast.made_at_s,
            needs=self.needs,
            influences=self.influences,
        )
        return replace(forecast, cells=Foreseen(figures))

    def snapshot(self) -> Mapping[str, Json]:
        """See `Forecaster`."""
        return {"inner": self.inner.snapshot(), "influences": self.influences.snapshot()}

    def restore(self, snapshot: Mapping[str, Json]) -> AttentiveForecaster:
        """See `Forecaster`; needs are the configuration's, not the model's."""
        inner, influences = snapshot.get("inner"), snapshot.get("influences")
        if not isinstance(inner, Mapping) or not isinstance(influences, Mapping):
            raise ForecastError("announcement: snapshot has no inner model or no influences")
        return replace(
            self,
            inner=self.inner.restore(inner),
            influences=Influences.restore(influences),
        )


def _overlap_s(event: SystemEvent, now_s: float, horizon_s: float) -> float:
    """How much of the horizon lies in the window of an event that is known."""
    if event.known_at_s > now_s:
        return 0.0
    return max(min(now_s + horizon_s, event.ends_at_s) - max(now_s, event.starts_at_s), 0.0)


def _raised(figures: Figures, extra: Array) -> Figures:
    """With hazards [H, C, G] more; what was not known of a gauge is known by them."""
    said = extra.any(axis=0)
    p = np.where(figures.known, figures.p, 0.0)
    p = np.where(said, -np.expm1(np.log1p(-np.minimum(p, 1.0 - 1e-12)) - extra[:, None]), p)
    return replace(
        figures,
        known=figures.known | said,
        p=np.where(figures.known | said, p, figures.p),
        details=_Raised(figures.details, extra, known=figures.known),
    )


class _Raised(Details):
    """Details of gauges of which some are known by an event alone."""

    def __init__(self, details: Details, extra: Array, *, known: NDArray[np.bool_]) -> None:
        self._details, self._extra, self._known = details, extra, known

    def drift_low(self, c: int) -> Array:
        """See `Details`."""
        return np.where(self._known[c], self._details.drift_low(c), 0.0)

    def drift_low_of(self, g: int) -> Array:
        """See `Details`."""
        return np.where(self._known[:, g], self._details.drift_low_of(g), 0.0)

    def band(self, c: int) -> Array:
        """See `Details`; what an event adds is added at both ends."""
        band = np.where(self._known[c], self._details.band(c), 0.0)
        extra = self._extra[:, c]
        return np.where(
            extra > 0.0, -np.expm1(np.log1p(-np.minimum(band, 1.0 - 1e-12)) - extra), band
        )

    def time_to_limit(self, c: int) -> Array:
        """See `Details`; an event tells no time."""
        return np.where(self._known[c], self._details.time_to_limit(c), np.nan)
