import sys
import warnings
from importlib import import_module

import numpy as np
import pytest

from foreshard.forecast.season.curve import SEASONS, SeasonCurves, flat_curve
from foreshard.forecast.season.fitting import fit_curve
from foreshard.model.errors import ForecastError

DAY_S = 86_400.0
BEGINS_S = 1.7e9


def sample(days: float, *, step_s: float = 1800.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A week's and a day's season on a trend that bends, with noise."""
    t = BEGINS_S + np.arange(0.0, days * DAY_S, step_s)
    chance = np.random.default_rng(seed)
    value = 0.4 + 0.02 * np.maximum(t - t[0] - 5 * DAY_S, 0.0) / DAY_S
    value += 0.15 * np.sin(2 * np.pi * t / DAY_S) + 0.05 * np.cos(2 * np.pi * t / (7 * DAY_S))
    return t, value + chance.normal(0.0, 0.01, size=len(t))


def test_the_arrays_say_what_prophet_says_also_ahead() -> None:
    time_s, value = sample(20)
    curve = fit_curve(time_s, value)
    frame = import_module("pandas")
    prophet = import_module("prophet").Prophet(
        daily_seasonality=SEASONS[0][1],
        weekly_seasonality=SEASONS[1][1],
        yearly_seasonality=False,
        n_changepoints=10,
        uncertainty_samples=0,
    )
    ahead_s = BEGINS_S + np.arange(0.0, 25 * DAY_S, 7_000.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own libraries
        prophet.fit(frame.DataFrame({"ds": frame.to_datetime(time_s, unit="s"), "y": value}))
        told = prophet.predict(frame.DataFrame({"ds": frame.to_datetime(ahead_s, unit="s")}))
    assert np.allclose(curve.at(ahead_s)[0], told["yhat"].to_numpy(), atol=1e-6)


def test_seasons_and_trend_are_found_and_carried_on() -> None:
    time_s, value = sample(20)
    curve = fit_curve(time_s, value)
    ahead_s = time_s[-1] + np.arange(0.0, DAY_S, 1800.0)
    days = (ahead_s - time_s[0]) / DAY_S
    truth = 0.4 + 0.02 * (days - 5.0)
    truth += 0.15 * np.sin(2 * np.pi * ahead_s / DAY_S)
    truth += 0.05 * np.cos(2 * np.pi * ahead_s / (7 * DAY_S))
    assert np.abs(curve.at(ahead_s)[0] - truth).max() < 0.05


def test_long_series_are_thinned_and_gaps_left_out() -> None:
    time_s, value = sample(8, step_s=60.0)
    value[3_000:5_000] = np.nan
    curve = fit_curve(time_s, value)
    heard = ~np.isnan(value)
    assert np.abs(curve.at(time_s)[0] - value)[heard].mean() < 0.03


def test_too_little_is_a_flat_curve() -> None:
    nothing = fit_curve(BEGINS_S + np.arange(30.0), np.full(30, np.nan))
    assert nothing.at(np.array([0.0, BEGINS_S])).tolist() == [[0.0, 0.0]]
    still = fit_curve(BEGINS_S + np.arange(50.0), np.full(50, 0.3))
    assert still.at(np.array([BEGINS_S]))[0, 0] == pytest.approx(0.3)


def test_joined_curves_say_what_each_says() -> None:
    time_s, value = sample(4)
    one, other = fit_curve(time_s, value), flat_curve(0.2)
    both = SeasonCurves.joined([one, other])
    assert np.allclose(both.at(time_s)[0], one.at(time_s)[0], atol=1e-12)
    assert np.allclose(both.at(time_s)[1], other.at(time_s)[0], atol=1e-12)
    assert np.allclose(both.of(np.array([1])).at(time_s), other.at(time_s), atol=1e-12)


def test_curves_that_do_not_fit_together_are_refused() -> None:
    flat = flat_curve(0.1)
    parts = {name: getattr(flat, name) for name in SeasonCurves.__slots__}
    with pytest.raises(ForecastError, match=r"slope has shape \(2,\), must be \(1,\)"):
        SeasonCurves(**(parts | {"slope": np.zeros(2)}))
    with pytest.raises(ForecastError, match="level is not finite"):
        SeasonCurves(**(parts | {"level": np.array([np.nan])}))
    with pytest.raises(ForecastError, match="above 0"):
        SeasonCurves(**(parts | {"lasts_s": np.zeros(1)}))


def test_without_prophet_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prophet", None)
    with pytest.raises(ForecastError, match=r"pip install 'foreshard\[prophet\]'"):
        fit_curve(*sample(3))
