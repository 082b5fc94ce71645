"""This module is what each baseline takes a gauge to become, from its own past and nothing else.

- `headroom`: what it is now, which is what a static threshold looks at.
- `predict-linear`: the least-squares line of the last hour drawn on, which is what alerting rules
  ask Prometheus for (`predict_linear(gauge[1h], horizon)`).
- `seasonal-naive`: the most that it was in the same stretch ahead, a day ago.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.history import History

__all__ = ["SCORES", "Score"]

Array = NDArray[np.float64]
Index = NDArray[np.int64]
# (history, at [A], horizon_s) -> [C, G, A], in the units of `History.value`; NaN = not said.
Score = Callable[[History, Index, float], Array]

# A sample that is missing is bridged with one not older than so many.
_BRIDGED = 2
_LOOKBACK_S = 3600.0
_FEWEST = 3
_DAY_S = 86_400.0


def _level(history: History, at: Index, _horizon_s: float) -> Array:
    """The newest value of each gauge, [C, G, A]."""
    value = _gathered(history, at)
    for back in range(1, _BRIDGED + 1):
        value = np.where(np.isnan(value), _gathered(history, at - back), value)
    return value


def _extrapolated(history: History, at: Index, horizon_s: float) -> Array:
    """Where the least-squares line of the last hour stands a horizon ahead, [C, G, A]."""
    samples = max(history.steps(_LOOKBACK_S), _FEWEST)
    n, x, k, kk, kx = (np.zeros((*history.counts.shape, len(at))) for _ in range(5))
    for back in range(samples):
        value = _gathered(history, at - back)
        heard = ~np.isnan(value)
        value = np.where(heard, value, 0.0)
        n += heard
        x += value
        k -= back * heard
        kk += back * back * heard
        kx -= back * value
    enough = n >= _FEWEST
    n = np.where(enough, n, 1.0)
    spread = np.where(enough, kk - k * k / n, 1.0)
    slope = (kx - k * x / n) / spread
    ahead = history.steps(horizon_s)
    return np.where(enough, x / n + slope * (ahead - k / n), np.nan)


def _yesterday(history: History, at: Index, horizon_s: float) -> Array:
    """The largest value in the same stretch ahead, a day ago, [C, G, A]."""
    day = history.steps(_DAY_S)
    # A horizon longer than a day would look into the future.
    ahead = min(history.steps(horizon_s), day)
    most = np.full((*history.counts.shape, len(at)), np.nan)
    for step in range(1, ahead + 1):
        np.fmax(most, _gathered(history, at - day + step), out=most)
    return most


def _gathered(history: History, at: Index) -> Array:
    """float64 [C, G, A], values at samples, NaN before the first and after the last."""
    inside = (at >= 0) & (at < history.samples)
    found = history.value[:, :, np.where(inside, at, 0)].astype(np.float64)
    found[:, :, ~inside] = np.nan
    return found


SCORES: Final[Mapping[str, Score]] = MappingProxyType(
    {"headroom": _level, "predict-linear": _extrapolated, "seasonal-naive": _yesterday}
)
"""By name of the baseline."""
