"""This module is how much higher than expected a gauge may go within a horizon.

What is expected is the highest point of the curve ahead, moved by as much as the gauge stands off
the curve now, which fades. What then came, less what was expected, is the surprise: its quantiles
over the past *are* the distribution of the maximum over the horizon, whatever noise, bursts and
sustained-breach rule make of it. Beyond the highest quantile the tail falls exponentially, by the
mean excess over it (peaks over a threshold; Pickands 1975 with shape 0).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.trail import trailing_least, trailing_mean, trailing_most

__all__ = ["LEVELS", "expected_most", "fading_of", "odds_above", "quantiles_of", "standing_off"]

Values = NDArray[np.float32]
Array = NDArray[np.float64]

LEVELS: Array = np.concatenate([np.linspace(0.0, 0.95, 39), np.linspace(0.96, 0.99, 4)])
"""Levels of the quantiles that are kept; the mean excess over the last one stands after them."""
_TAIL = 1.0 - float(LEVELS[-1])
# The gauge stands where the mean of so many samples stands.
_PRESENT = 5
# Points of the curve ahead that are looked at.
_MOST_POINTS = 64
_LEAST_TAIL = 1e-3
_FEWEST = 200


def standing_off(value: Values, curve: Array) -> Array:
    """How far a gauge [R, T] stands above its curve [R, T] just now; NaN = not heard."""
    return trailing_mean((value - curve).astype(np.float32), _PRESENT).astype(np.float64)


def fading_of(off: Array) -> Array:
    """[R], the part of an offset [R, T] that is left a sample later, in [0, 1]."""
    lag = _PRESENT
    now, later = off[:, :-lag], off[:, lag:]
    both = ~np.isnan(now) & ~np.isnan(later)
    product = np.where(both, now * later, 0.0).sum(axis=1)
    square = np.where(both, now * now, 0.0).sum(axis=1)
    left = np.clip(product / np.maximum(square, 1e-12), 0.0, 1.0)
    return np.asarray(left ** (1.0 / lag))


def expected_most(curve: Array, off: Array, fading: Array, horizon: int) -> Array:
    """The highest point ahead.

    Args:
        curve: [R, T + horizon], of which the first T samples are those spoken of.
        off: [R, T], see `standing_off`.
        fading: [R].
        horizon: In samples, >= 1.

    Returns:
        [R, T].
    """
    t = off.shape[1]
    most = np.full(off.shape, -np.inf)
    for k in np.unique(np.linspace(1, horizon, _MOST_POINTS).round().astype(int)).tolist():
        most = np.maximum(most, curve[:, k : k + t] + off * (fading**k)[:, None])
    return most


def quantiles_of(value: Values, expected: Array, horizon: int, sustain: int) -> Array:
    """Quantiles of the surprise, and the mean excess over the highest.

    Args:
        value: [R, T], NaN = missing.
        expected: [R, T], see `expected_most`.
        horizon: In samples.
        sustain: Samples on end that count.

    Returns:
        [R, len(LEVELS) + 1]; NaN where too little is known.
    """
    r, t = value.shape
    found = np.full((r, len(LEVELS) + 1), np.nan)
    lasted = trailing_least(value, sustain)
    began = np.full(value.shape, np.nan, dtype=np.float32)
    began[:, : t - sustain + 1] = lasted[:, sustain - 1 :]
    end = t - horizon - sustain + 1
    if end < _FEWEST:
        return found
    came = trailing_most(began, horizon)[:, horizon:][:, :end]
    for i, surprise in enumerate(came - expected[:, :end]):
        known = surprise[~np.isnan(surprise)]
        if len(known) >= _FEWEST:
            found[i, :-1] = np.quantile(known, LEVELS)
            beyond = known[known > found[i, -2]]
            excess = float((beyond - found[i, -2]).mean()) if len(beyond) else 0.0
            found[i, -1] = max(excess, _LEAST_TAIL)
    return found


def odds_above(room: Array, quantiles: Array) -> Array:
    """P(surprise > room).

    Args:
        room: [R, T], from what is expected to the limit; NaN = not known.
        quantiles: [R, len(LEVELS) + 1], see `quantiles_of`.

    Returns:
        [R, T], falling in the room; NaN where either is not known.
    """
    found = np.full(room.shape, np.nan)
    for i, (gap, known) in enumerate(zip(room, quantiles, strict=True)):
        if np.isnan(known).any():
            continue
        within = 1.0 - np.interp(gap, known[:-1], LEVELS)
        tail = _TAIL * np.exp(-np.maximum(gap - known[-2], 0.0) / known[-1])
        found[i] = np.where(gap > known[-2], tail, within)
    return found
