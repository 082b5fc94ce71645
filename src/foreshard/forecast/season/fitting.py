"""This module is where Prophet is asked: one series in, one curve as arrays out.

Half a second a series, most of it in Prophet's own optimiser, which runs as a process of its own:
for the training process, never for the loop.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.season.curve import SEASONS, SeasonCurves, flat_curve
from foreshard.model.errors import ForecastError

__all__ = ["fit_curve"]

Array = NDArray[np.float64]

# Points that one fit sees: its time is proportional to them.
_MOST_POINTS = 2_000
_FEWEST_POINTS = 20
_BENDS = 10
# A season is looked for in so many of its periods at least.
_PERIODS = 2.0
_NAMES = ("daily", "weekly")


def fit_curve(time_s: Array, value: Array) -> SeasonCurves:
    """Trend and seasons of one series.

    Args:
        time_s: [T], rising, evenly spaced, seconds since the epoch.
        value: [T], NaN = missing.

    Returns:
        One curve; flat where there is too little to fit.

    Raises:
        ForecastError: Prophet is not installed, or cannot fit.
    """
    size = max(-(-len(value) // _MOST_POINTS), 1)
    moment, mean = _thinned(time_s, value, size)
    if len(mean) < _FEWEST_POINTS or float(np.ptp(mean)) == 0.0:
        return flat_curve(float(mean.mean()) if len(mean) else 0.0)
    span_s = float(moment[-1] - moment[0])
    seasons = [order if span_s >= _PERIODS * period_s else False for period_s, order in SEASONS]
    prophet = _prophet()
    frame = import_module("pandas")
    model = prophet(
        daily_seasonality=seasons[0],
        weekly_seasonality=seasons[1],
        yearly_seasonality=False,
        n_changepoints=_BENDS,
        uncertainty_samples=0,
    )
    with warnings.catch_warnings():
        # Prophet calls its libraries in ways that they warn about; not ours to mend.
        warnings.simplefilter("ignore")
        try:
            model.fit(frame.DataFrame({"ds": frame.to_datetime(moment, unit="s"), "y": mean}))
        except (RuntimeError, ValueError) as error:
            raise ForecastError(f"prophet: cannot fit {len(mean)} points: {error}") from error
    return _curve_of(model)


def _curve_of(model: Any) -> SeasonCurves:  # noqa: ANN401 - Prophet has no types
    """What a fitted Prophet knows, in seconds and in the units of the series."""
    scale = float(model.y_scale)
    found = {
        name: np.asarray(model.params[name], dtype=np.float64)[0]
        for name in ("k", "m", "delta", "beta")
    }
    season = {name: np.zeros(2 * order) for name, (_, order) in zip(_NAMES, SEASONS, strict=True)}
    used = 0
    # Its own order of the seasons is another one.
    for name in model.seasonalities:
        width = len(season[name])
        season[name] = found["beta"][used : used + width] * scale
        used += width
    bends_at = np.asarray(model.changepoints_t, dtype=np.float64)
    return SeasonCurves(
        begins_s=np.array([model.start.timestamp()]),
        lasts_s=np.array([model.t_scale.total_seconds()]),
        level=found["m"] * scale,
        slope=found["k"] * scale,
        bends_at=bends_at[None],
        bends=found["delta"][None, : len(bends_at)] * scale,
        season=np.concatenate([season[name] for name in _NAMES])[None],
    )


def _thinned(time_s: Array, value: Array, size: int) -> tuple[Array, Array]:
    """Moments and means of so many samples each, without those in which nothing was heard."""
    whole = len(value) // size * size
    block = value[:whole].reshape(-1, size)
    heard = ~np.isnan(block)
    count = heard.sum(axis=1)
    mean = np.where(heard, block, 0.0).sum(axis=1) / np.maximum(count, 1)
    # A mean stands in the middle of its samples.
    moment = time_s[:whole].reshape(-1, size).mean(axis=1)
    return moment[count > 0], mean[count > 0]


def _prophet() -> Any:  # noqa: ANN401 - Prophet has no types
    """The class, quietened: its optimiser reports every fit on the error output."""
    try:
        prophet = import_module("prophet").Prophet
        import_module("cmdstanpy").utils.get_logger().setLevel("CRITICAL")
    except ImportError as error:
        raise ForecastError(
            f"prophet: Prophet is missing ({error}); pip install 'foreshard[prophet]'"
        ) from error
    return prophet
