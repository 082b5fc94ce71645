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
# (history, at [A], horizons_s [H]) -> [H, C, G, A], in the units of `History.value`; NaN = not
# said.
Score = Callable[[History, Index, tuple[float, ...]], Array]

# A sample that is missing is bridged with one not older than so many.
_BRIDGED = 2
_LOOKBACK_S = 3600.0
_FEWEST = 3
_DAY_S = 86_400.0


class _Past:
    """Values at samples that lie some steps before others; NaN outside the record."""

    def __init__(self, history: History, at: Index, deepest: int) -> None:
        first, end = (int(at.min()) - deepest, int(at.max()) + 1) if len(at) else (0, 0)
        lacking = max(-first, 0)
        inside = history.value[:, :, first + lacking : end]
        self._block = np.full((*inside.shape[:2], end - first), np.nan)
        self._block[:, :, lacking : lacking + inside.shape[2]] = inside
        self._place = at - first
        # A stretch without gaps is seen, not copied.
        self._is_dense = bool(np.all(np.diff(at) == 1))

    def back(self, steps: int) -> Array:
        """[C, G, A], so many steps before."""
        if self._is_dense:
            end = self._block.shape[2] - steps
            return self._block[:, :, end - len(self._place) : end]
        found: Array = self._block[:, :, self._place - steps]
        return found


def _level(history: History, at: Index, horizons_s: tuple[float, ...]) -> Array:
    """The newest value of each gauge."""
    past = _Past(history, at, _BRIDGED)
    value = past.back(0)
    for steps in range(1, _BRIDGED + 1):
        value = np.where(np.isnan(value), past.back(steps), value)
    return np.broadcast_to(value, (len(horizons_s), *value.shape))


def _extrapolated(history: History, at: Index, horizons_s: tuple[float, ...]) -> Array:
    """Where the least-squares line of the last hour stands a horizon ahead."""
    samples = max(history.steps(_LOOKBACK_S), _FEWEST)
    past = _Past(history, at, samples - 1)
    n, x, k, kk, kx = (np.zeros((*history.counts.shape, len(at))) for _ in range(5))
    for back in range(samples):
        value = past.back(back)
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
    return np.stack(
        [
            np.where(enough, x / n + slope * (history.steps(horizon_s) - k / n), np.nan)
            for horizon_s in horizons_s
        ]
    )


def _yesterday(history: History, at: Index, horizons_s: tuple[float, ...]) -> Array:
    """The largest value in the same stretch ahead, a day ago."""
    day = history.steps(_DAY_S)
    past = _Past(history, at, day - 1)
    most = np.full((*history.counts.shape, len(at)), np.nan)
    found, ahead = [], 0
    for horizon_s in horizons_s:
        # A horizon longer than a day would look into the future.
        while ahead < min(history.steps(horizon_s), day):
            ahead += 1
            most = np.fmax(most, past.back(day - ahead))
        found.append(most)
    return np.stack(found)


SCORES: Final[Mapping[str, Score]] = MappingProxyType(
    {"headroom": _level, "predict-linear": _extrapolated, "seasonal-naive": _yesterday}
)
"""By name of the baseline."""
