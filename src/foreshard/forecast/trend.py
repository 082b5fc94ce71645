"""This module is the forecaster that needs no training: where gauges drift, when they arrive.

Per cell and gauge the posterior of level and drift (`drift`) goes through the first-passage law
(`first_passage`). A gauge that follows the load is first brought to the present load,
`u * present / load then`, so that a cell that needs ever more for the same work (creep) shows as
a drift, and demand that swings does not; its risk at another load follows by scaling level, drift
and noise. A gauge that stands by itself (a leak, a disk, connections that were lost, see
`holding`) has the same risk at every load.

`risk` is the largest of the exhaustion modes, a lower bound of "any of them" that is exact when
they come together, as modes with one cause do (the product rule would count one cause
several times). Latency counts there only as far as *every* class of the cell suffers: one slow
class is `class_risk`, cured by moving that class. An announced maintenance is a mode `down`.

A queue is longer under more load, so latencies count only as they were under about the present
load: what a cell waits longer for work that came to it from elsewhere is a step, not a drift.

A drift is carried no further ahead than six times the stretch in which it could be seen: in
the first minutes after a start, of ours or of the cell, an hour ahead is no more than a guess.

Known weaknesses: a load-dependent gauge is taken as proportional until most of it is lost;
while load is still rising, what latency it causes is taken for a drift; errors are not
extrapolated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.arrival import Gauges, arrivals
from foreshard.forecast.band import LOW, band_of, drift_quantile, mixture_of
from foreshard.forecast.compiled.passage import passage_times, passage_within
from foreshard.forecast.drift import DriftPosterior, DriftPrior
from foreshard.forecast.forecaster import Json
from foreshard.forecast.report import Figures, Foreseen
from foreshard.forecast.window import Window
from foreshard.model.errors import ForecastError, InvalidValueError
from foreshard.model.events import EventKind, SystemEvent
from foreshard.model.forecast import Forecast

__all__ = ["TrendForecaster"]

Array = NDArray[np.float64]

_KIND = "trend"
_QUANTILES = (0.1, 0.5, 0.9)
# Times are worked out only for gauges that may arrive, and no further than this.
_WORTH_A_TIME = 0.02
_HORIZONS_AHEAD = 5.0
# Less is told as 0, and nine tenths of what makes up so small a mean are no larger than 1 %.
_WORTH_A_BAND = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendForecaster:
    """First passage of local-linear gauges; see the module.

    Attributes:
        horizons_s: Rising, > 0.
        loads: Multiples of the present load at which risk is told, rising from 0, with 1 in it.
        prior: None = the one that fits the horizons.
    """

    horizons_s: tuple[float, ...] = (300.0, 3600.0)
    loads: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
    prior: DriftPrior | None = None

    def __post_init__(self) -> None:
        for name, least in (("horizons_s", 0.0), ("loads", -1.0)):
            values: tuple[float, ...] = getattr(self, name)
            if not values or list(values) != sorted(set(values)) or values[0] <= least:
                raise InvalidValueError(f"trend: {name} is {values}, must rise")
        if self.loads[0] != 0.0 or 1.0 not in self.loads:
            raise InvalidValueError(f"trend: loads is {self.loads}, must start at 0 and hold 1")

    def fit(self, history: Sequence[Window]) -> TrendForecaster:
        """Itself: nothing is learned."""
        return self

    def forecast(self, window: Window, events: Sequence[SystemEvent], *, now_s: float) -> Forecast:
        """What may happen to the cells of the window; see `Forecaster`."""
        if len(window.time_s) == 0:
            raise ForecastError("trend: the window is empty, append an observation first")
        made_at_s = float(window.time_s[-1])
        if made_at_s > now_s:
            raise ForecastError(f"trend: the window ends at {made_at_s}, after now_s ({now_s})")
        kept = np.array([not g.startswith("errors:") for g in window.gauges], dtype=bool)
        gauges = tuple(g for g, k in zip(window.gauges, kept, strict=True) if k)
        g, is_rate = len(gauges), window.is_rate
        arrived = arrivals(
            Gauges(
                time_s=window.time_s,
                value=np.ascontiguousarray(window.value[:, kept], dtype=np.float64),
                load=window.load,
                scales_with_load=window.scales_with_load[kept],
                may_hold=np.zeros(g, dtype=bool) if is_rate is None else ~is_rate[kept],
                is_own=np.array([not g.startswith("latency:") for g in gauges], dtype=bool),
                pools=g,
            ),
            self.horizons_s,
            self.loads,
            prior=self.prior,
        )
        known = arrived.known
        told = known & (arrived.p[-1, self.loads.index(1.0)] >= _WORTH_A_BAND)
        down = {
            cell: tuple(
                any(_is_down(e, cell, made_at_s, h) for e in events) for h in self.horizons_s
            )
            for cell in window.cells
            if any(e.concerns(cell) for e in events)
        }
        figures = Figures(
            cells=window.cells,
            gauges=gauges,
            known=known,
            p=arrived.p,
            details=_Details(arrived.posterior, self.horizons_s, known=known, told=told),
            horizons_s=self.horizons_s,
            loads=self.loads,
            down=down,
        )
        return Forecast(
            made_at_s=made_at_s,
            horizons_s=self.horizons_s,
            model=_KIND,
            cells=Foreseen(figures),
        )

    def snapshot(self) -> Mapping[str, Json]:
        """Its settings."""
        prior = self.prior
        return {
            "kind": _KIND,
            "horizons_s": list(self.horizons_s),
            "loads": list(self.loads),
            "prior": None
            if prior is None
            else {
                "ramp_probability": prior.ramp_probability,
                "step_probability": prior.step_probability,
                "ramp_scales_per_s": list(prior.ramp_scales_per_s),
                "slow_sd_per_s": prior.slow_sd_per_s,
            },
        }

    def restore(self, snapshot: Mapping[str, Json]) -> TrendForecaster:
        """The forecaster with the settings of a snapshot."""
        if snapshot.get("kind") != _KIND:
            raise ForecastError(
                f"trend: snapshot is of kind {snapshot.get('kind')!r}, not {_KIND}"
            )
        prior = snapshot.get("prior")
        return TrendForecaster(
            horizons_s=_floats(snapshot, "horizons_s"),
            loads=_floats(snapshot, "loads"),
            prior=DriftPrior(
                ramp_probability=_float(prior, "ramp_probability"),
                step_probability=_float(prior, "step_probability"),
                ramp_scales_per_s=_floats(prior, "ramp_scales_per_s"),
                slow_sd_per_s=_float(prior, "slow_sd_per_s"),
            )
            if isinstance(prior, Mapping)
            else None,
        )


class _Details:
    """Times and bands of the gauges of one cell, when somebody asks.

    Args:
        posterior: Of all cells' gauges, cell by cell.
        horizons_s: H.
        known: [C, G] gauges of which enough was seen.
        told: [C, G] gauges of which a band is worth telling.
    """

    def __init__(
        self,
        posterior: DriftPosterior,
        horizons_s: tuple[float, ...],
        *,
        known: NDArray[np.bool_],
        told: NDArray[np.bool_],
    ) -> None:
        self._posterior, self._horizons_s = posterior, horizons_s
        moves = (posterior.share * posterior.drift).sum(axis=0) > 0.0
        self._moves = known & moves.reshape(known.shape)
        self._told = told

    def drift_low(self, c: int) -> Array:
        """See `report.Details`."""
        gauges = self._told.shape[1]
        return drift_quantile(self._posterior, LOW, slice(c * gauges, (c + 1) * gauges))

    def drift_low_of(self, g: int) -> Array:
        """See `report.Details`."""
        return drift_quantile(self._posterior, LOW, slice(g, None, self._told.shape[1]))

    def band(self, c: int) -> Array:
        """See `report.Details`."""
        band = np.zeros((2, len(self._horizons_s), self._told.shape[1]))
        rows = np.flatnonzero(self._told[c])
        if rows.size:
            of = mixture_of(self._posterior, c * self._told.shape[1] + rows)
            band[:, :, rows] = band_of(of, self._horizons_s)
        return band

    def time_to_limit(self, c: int) -> Array:
        """See `report.Details`; NaN for gauges that do not move towards their limit."""
        times = np.full((len(_QUANTILES), self._moves.shape[1]), np.nan)
        rows, longest_s = np.flatnonzero(self._moves[c]), self._horizons_s[-1]
        if rows.size:
            of = mixture_of(self._posterior, c * self._moves.shape[1] + rows)
            likely = passage_within(of, longest_s) >= _WORTH_A_TIME
            rows = rows[likely]
            of = mixture_of(self._posterior, c * self._moves.shape[1] + rows)
            beyond_s = _HORIZONS_AHEAD * longest_s
            times[:, rows] = passage_times(of, np.array(_QUANTILES), beyond_s)
        return times


def _is_down(event: SystemEvent, cell: str, now_s: float, horizon_s: float) -> bool:
    maintenance = event.kind is EventKind.MAINTENANCE
    return maintenance and event.concerns(cell) and event.is_within(now_s, ahead_s=horizon_s)


def _floats(source: Mapping[str, Json], key: str) -> tuple[float, ...]:
    values = source.get(key)
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise ForecastError(f"trend: snapshot's {key} is {values!r}, must be a list of numbers")
    return tuple(_float({key: value}, key) for value in values)


def _float(source: Mapping[str, Json], key: str) -> float:
    value = source.get(key)
    if not isinstance(value, int | float):
        raise ForecastError(f"trend: snapshot's {key} is {value!r}, must be a number")
    return float(value)
