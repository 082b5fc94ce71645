"""This module is statistics of the samples up to each sample, gaps left out.

All work along the last axis and never look ahead. Where less than the whole stretch lies within
the array, what does lie there counts; where nothing was heard at all the result is NaN.

Live, a day is looked back on to say something of its last hour. What all stretches share is then
summed up once (`last`): the cost is that of reading the samples, not of a sum for each.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "carried",
    "trailing_least",
    "trailing_mean",
    "trailing_most",
    "trailing_slope",
    "trailing_spread",
]

Values = NDArray[np.float32]
Array = NDArray[np.float64]


def trailing_most(x: Values, samples: int, *, last: int | None = None) -> Values:
    """The largest of the last so many samples.

    Args:
        x: float32 [..., T], NaN = missing.
        samples: >= 1.
        last: Only for the last so many samples; None = for all.

    Returns:
        float32 [..., T], or [..., last].
    """
    t = x.shape[-1]
    wanted = t if last is None else last
    if wanted < samples <= t - wanted:
        # All stretches share the middle; each adds an end of the older part and one of the newer.
        older, newer = x[..., t - samples - wanted + 1 : t - samples], x[..., t - wanted :]
        shared = np.fmax.reduce(x[..., t - samples : t - wanted], axis=-1, keepdims=True)
        most = np.fmax(np.fmax.accumulate(newer, axis=-1), shared)
        left = np.fmax.accumulate(older[..., ::-1], axis=-1)[..., ::-1]
        most[..., : wanted - 1] = np.fmax(most[..., : wanted - 1], left)
        return most
    most = x.copy()
    covered = 1
    while covered < samples:
        back = min(covered, samples - covered)
        if back < t:
            most[..., back:] = np.fmax(most[..., back:], most[..., :-back])
        covered += back
    return most[..., t - wanted :]


def trailing_least(x: Values, samples: int, *, last: int | None = None) -> Values:
    """The smallest of the last so many samples; see `trailing_most`."""
    return -trailing_most(-x, samples, last=last)


def trailing_mean(x: Values, samples: int, *, last: int | None = None) -> Values:
    """The mean of the last so many samples; see `trailing_most`."""
    heard = ~np.isnan(x)
    total = _trailing_sum(np.where(heard, x, np.float32(0.0)), samples, last)
    count = _trailing_sum(heard, samples, last)
    mean = np.where(count > 0.0, total / np.maximum(count, 1.0), np.nan)
    return mean.astype(np.float32)


def trailing_spread(x: Values, samples: int, *, last: int | None = None) -> Values:
    """The standard deviation of the last so many samples; see `trailing_most`."""
    heard = ~np.isnan(x)
    value = np.where(heard, x, 0.0).astype(np.float64)
    n = _trailing_sum(heard, samples, last)
    safe = np.maximum(n, 1.0)
    mean = _trailing_sum(value, samples, last) / safe
    variance = _trailing_sum(value * value, samples, last) / safe - mean * mean
    return np.where(n > 0.0, np.sqrt(np.maximum(variance, 0.0)), np.nan).astype(np.float32)


def trailing_slope(x: Values, samples: int, *, last: int | None = None) -> Values:
    """Rise per sample of the least-squares line through the last so many samples.

    NaN where fewer than three were heard.
    """
    heard = ~np.isnan(x)
    # Moments about the first sample of all lose nothing: a stretch is some thousands at most.
    k = np.arange(x.shape[-1], dtype=np.float64)
    seen = heard.astype(np.float64)
    value = np.where(heard, x, 0.0).astype(np.float64)
    n = _trailing_sum(seen, samples, last)
    safe = np.maximum(n, 1.0)
    sk, sx = _trailing_sum(seen * k, samples, last), _trailing_sum(value, samples, last)
    kk = _trailing_sum(seen * k * k, samples, last) - sk * sk / safe
    kx = _trailing_sum(value * k, samples, last) - sk * sx / safe
    slope = np.where((n >= 3.0) & (kk > 0.5), kx / np.maximum(kk, 0.5), np.nan)
    return slope.astype(np.float32)


def carried(x: Values) -> tuple[Values, NDArray[np.int64]]:
    """The last value heard, and how many samples ago it was.

    Returns:
        float32 [..., T], NaN before the first; and int64 [..., T], T or more before the first.
    """
    t = np.arange(x.shape[-1])
    last = np.maximum.accumulate(np.where(np.isnan(x), -1, t), axis=-1)
    value = np.take_along_axis(x, np.maximum(last, 0), axis=-1)
    age = np.where(last < 0, t + x.shape[-1], t - last)
    return np.where(last < 0, np.float32(np.nan), value), age


def _trailing_sum(
    x: NDArray[np.floating] | NDArray[np.bool_], samples: int, last: int | None
) -> Array:
    t = x.shape[-1]
    wanted = t if last is None else last
    if wanted < samples <= t - wanted:
        begun = x[..., t - wanted - samples + 1 : t - wanted + 1].sum(axis=-1, dtype=np.float64)
        entered = x[..., t - wanted + 1 :].astype(np.float64)
        left = x[..., t - wanted - samples + 1 : t - samples]
        total = np.empty((*x.shape[:-1], wanted))
        total[..., 0] = begun
        total[..., 1:] = begun[..., None] + np.cumsum(entered - left, axis=-1)
        return total
    total = np.cumsum(x, axis=-1, dtype=np.float64)
    total[..., samples:] -= total[..., :-samples].copy()
    return total[..., t - wanted :]
