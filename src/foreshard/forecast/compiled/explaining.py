"""This module is the filter and the weighing of explanations of `drift`, compiled.

`plain.posterior` says the same in NumPy, and `drift` why. Rows are taken in blocks that stay in a
core's nearest cache, with the rows innermost, so that several are worked on at a time. A
likelihood is a power, with a whole exponent, of a ratio that is never above 1 (the best
explanation is the unit), so nothing overflows and no logarithm is needed.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["Explanations", "Posteriors", "explain"]

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
# [E] regressor, 0 = none; whether it is a ramp; variance of its size; prior probability.
Explanations = tuple[Ints, Flags, Array, Array]
# Share, level, its variance, drift, its variance, each [2, N]; samples [N].
Posteriors = tuple[Array, Array, Array, Array, Array, Array]

BLOCK = 64
# Rows of a block's state: the filter's own, then what every explanation is weighed by.
LEVEL, LEVEL_VAR, MISS, WEIGHT, GAIN, SQUARES, SEEN, DOF, LEAST = range(9)
# Of every explanation.
LEFT, WORTH, AT, AT_VAR, SLOPE, SLOPE_VAR = range(6)


@njit(cache=True, nogil=True, error_model="numpy")
def explain(
    times: tuple[Array, Ints],
    value: Array,
    var: tuple[Array, Array, Array],
    regressors: Array,
    explanations: Explanations,
    scale: tuple[float, float],
    out: Posteriors,
) -> None:
    """Filter N rows, weigh what may explain them, and merge it.

    Args:
        times: [T] seconds, rising, and how many of the first regressors are not yet zero then.
        value: [N, T], NaN = missing.
        var: [N] of a reading, [N] of the last reading, [N] of wandering, a second.
        regressors: [P, T], the slow slope first.
        explanations: What each is; the first is none of them.
        scale: Variance of the slow slope, and samples for which the scale of the noise counts.
        out: Filled.
    """
    time_s, active = times
    steps = time_s.size
    sums = np.empty((4, regressors.shape[0], BLOCK))
    row = np.empty((9, BLOCK))
    told = np.empty((6, explanations[0].size, BLOCK))
    for start in range(0, value.shape[0], BLOCK):
        size = min(BLOCK, value.shape[0] - start)
        sums[:] = 0.0
        row[:] = 0.0
        for i in range(steps):
            passed_s = time_s[i] - time_s[i - 1] if i > 0 else 0.0
            readings = var[1] if i == steps - 1 else var[0]
            _filter(
                value[start : start + size, i], readings[start:], var[2][start:], passed_s, row
            )
            _innovate(regressors[:, i], active[i], row, sums)
        row[DOF] = scale[1] + np.maximum(row[SEEN] - 1.0, 0.0)
        row[LEAST] = np.inf
        for e in range(explanations[0].size):
            _fit(e, explanations, regressors[:, steps - 1], scale, row, sums, told)
        _weigh(explanations, scale[1], row, told)
        _merge(explanations[1], row, told, start, size, out)


@njit(cache=True, nogil=True, error_model="numpy")
def _filter(
    value: Array, reading_var: Array, process_var: Array, passed_s: float, row: Array
) -> None:
    """Take in one reading of every row of a block."""
    for r in range(value.size):
        row[LEVEL_VAR, r] += process_var[r] * passed_s
        if np.isnan(value[r]):
            row[MISS, r], row[WEIGHT, r], row[GAIN, r] = 0.0, 0.0, 0.0
            continue
        is_first = row[SEEN, r] == 0.0
        weight = 0.0 if is_first else 1.0 / (row[LEVEL_VAR, r] + reading_var[r])
        gain = 1.0 if is_first else row[LEVEL_VAR, r] * weight
        miss = value[r] - row[LEVEL, r]
        row[LEVEL, r] += gain * miss
        row[LEVEL_VAR, r] *= 1.0 - gain
        if is_first:
            row[LEVEL_VAR, r] += reading_var[r]
        row[SQUARES, r] += weight * miss * miss
        row[SEEN, r] += 1.0
        row[MISS, r], row[WEIGHT, r], row[GAIN, r] = miss, weight, gain


@njit(cache=True, nogil=True, error_model="numpy")
def _innovate(regressor: Array, active: int, row: Array, sums: Array) -> None:
    """Run the same filter over the regressors: carried, and sums with y, itself and slope."""
    slope = np.empty(BLOCK)
    for r in range(BLOCK):
        slope[r] = regressor[0] - sums[0, 0, r]
    for a in range(active):
        x = regressor[a]
        for r in range(BLOCK):
            b = x - sums[0, a, r]
            weighted = row[WEIGHT, r] * b
            sums[0, a, r] += row[GAIN, r] * b
            sums[1, a, r] += weighted * row[MISS, r]
            sums[2, a, r] += weighted * b
            sums[3, a, r] += weighted * slope[r]


@njit(cache=True, nogil=True, error_model="numpy")
def _fit(
    e: int,
    explanations: Explanations,
    last: Array,
    scale: tuple[float, float],
    row: Array,
    sums: Array,
    told: Array,
) -> None:
    """Least squares of one explanation beside the slow slope; worth without its likelihood."""
    j, is_ramp, slow = explanations[0][e], explanations[1][e], 1.0 / scale[0]
    ramp = 1.0 if is_ramp else 0.0
    own_var = explanations[2][e]
    for r in range(BLOCK):
        s00, y0, back = sums[2, 0, r] + slow, sums[1, 0, r], -sums[0, 0, r]
        if j == 0:
            v00, v0j, vjj, reach, det_ratio, yj = 1.0 / s00, 0.0, 0.0, 0.0, s00 / slow, 0.0
        else:
            sjj, s0j, yj = sums[2, j, r] + 1.0 / own_var, sums[3, j, r], sums[1, j, r]
            det = s00 * sjj - s0j * s0j
            v00, v0j, vjj = sjj / det, -s0j / det, s00 / det
            reach = last[j] - sums[0, j, r]
            det_ratio = det * own_var / slow
        b0, bj = v00 * y0 + v0j * yj, v0j * y0 + vjj * yj
        left = max(row[SQUARES, r] - b0 * y0 - bj * yj, 0.0)
        noise = max((scale[1] + left) / row[DOF, r], 0.5)
        row[LEAST, r] = min(row[LEAST, r], left)
        told[LEFT, e, r] = left
        told[WORTH, e, r] = 1.0 / np.sqrt(det_ratio)
        told[AT, e, r] = row[LEVEL, r] + b0 * back + bj * reach
        spread = back * back * v00 + 2.0 * back * reach * v0j + reach * reach * vjj
        told[AT_VAR, e, r] = noise * (row[LEVEL_VAR, r] + spread)
        told[SLOPE, e, r] = b0 + ramp * bj
        told[SLOPE_VAR, e, r] = noise * (v00 + ramp * (2.0 * v0j + vjj))


@njit(cache=True, nogil=True, error_model="numpy")
def _weigh(explanations: Explanations, samples: float, row: Array, told: Array) -> None:
    """Bayes' rule with Student's likelihood: weights that sum to 1."""
    total, base, power = np.zeros(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    exponent = row[DOF].astype(np.int64)
    most = exponent.max()
    for e in range(explanations[0].size):
        for r in range(BLOCK):
            base[r] = np.sqrt((samples + row[LEAST, r]) / (samples + told[LEFT, e, r]))
            power[r] = explanations[3][e]
        bit = 1
        while bit <= most:
            for r in range(BLOCK):
                power[r] *= base[r] if exponent[r] & bit else 1.0
                base[r] *= base[r]
            bit <<= 1
        for r in range(BLOCK):
            told[WORTH, e, r] *= power[r]
            total[r] += told[WORTH, e, r]
    for e in range(explanations[0].size):
        for r in range(BLOCK):
            told[WORTH, e, r] /= total[r]


@njit(cache=True, nogil=True, error_model="numpy")
def _merge(
    is_ramp: Flags, row: Array, told: Array, start: int, size: int, out: Posteriors
) -> None:
    """Mean and variance of both kinds of explanation; zeros of a kind that has none."""
    share, level, level_var, drift, drift_var, samples = out
    part = np.zeros((5, BLOCK))
    for kind in range(2):
        part[:] = 0.0
        for e in range(is_ramp.size):
            if is_ramp[e] == (kind == 1):
                for r in range(BLOCK):
                    weight = told[WORTH, e, r]
                    part[0, r] += weight
                    part[1, r] += weight * told[AT, e, r]
                    part[2, r] += weight * told[SLOPE, e, r]
        for r in range(BLOCK):
            part[1, r] /= max(part[0, r], 1e-300)
            part[2, r] /= max(part[0, r], 1e-300)
        for e in range(is_ramp.size):
            if is_ramp[e] == (kind == 1):
                for r in range(BLOCK):
                    weight = told[WORTH, e, r]
                    level_off = told[AT, e, r] - part[1, r]
                    drift_off = told[SLOPE, e, r] - part[2, r]
                    part[3, r] += weight * (told[AT_VAR, e, r] + level_off * level_off)
                    part[4, r] += weight * (told[SLOPE_VAR, e, r] + drift_off * drift_off)
        for r in range(size):
            of, known = max(part[0, r], 1e-300), row[SEEN, r] > 0.0
            share[kind, start + r] = part[0, r] if known else np.nan
            level[kind, start + r] = part[1, r] if known else np.nan
            drift[kind, start + r] = part[2, r] if known else np.nan
            level_var[kind, start + r] = part[3, r] / of if known else np.nan
            drift_var[kind, start + r] = part[4, r] / of if known else np.nan
            samples[start + r] = row[SEEN, r]
