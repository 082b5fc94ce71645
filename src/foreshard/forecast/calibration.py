"""This module is what turns scores into probabilities that can be believed.

A model that is fitted to the past is too sure of what comes after. So its scores on stretches that
it had not seen are set beside what became of them, and a logistic curve is drawn through (Platt
1999), over the log odds of *all* horizons: what is said of an hour tells of the next five minutes.

Neighbouring samples say the same thing, so one counts only as much as its part of a horizon; and
the curve is pulled towards leaving the scores as they are, about as strongly as a handful of
onsets would. Slopes are never negative, so that what rises with the load still does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.learner import Snapshot
from foreshard.model.errors import ForecastError

__all__ = ["Correction", "correction_in", "fit_correction", "log_odds", "probability"]

Array = NDArray[np.float64]

_LEAST = 1e-6
# Standard deviations of offset and slopes before anything is seen.
_OFFSET_SD = 1.0
_SLOPE_SD = 0.3
_ROUNDS = 60
_ENOUGH = 1e-8


def log_odds(p: NDArray[np.floating]) -> Array:
    """Log odds of probabilities, which are kept off 0 and 1."""
    kept = np.clip(np.asarray(p, dtype=np.float64), _LEAST, 1.0 - _LEAST)
    odds: Array = np.log(kept / (1.0 - kept))
    return odds


def probability(z: Array) -> Array:
    """The inverse of `log_odds`."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(z, -500.0, 500.0))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """A logistic curve for each of H horizons over K log odds.

    Attributes:
        offset: [H].
        slope: [H, K], >= 0.
    """

    offset: Array
    slope: Array

    @classmethod
    def none(cls, horizons: int) -> Correction:
        """The one that leaves the scores of so many horizons as they are."""
        return cls(offset=np.zeros(horizons), slope=np.eye(horizons))

    def __post_init__(self) -> None:
        if self.slope.shape[:1] != self.offset.shape or self.slope.ndim != 2:
            raise ForecastError(
                f"correction: offset has shape {self.offset.shape}, slope {self.slope.shape}, "
                "must be [H] and [H, K]"
            )
        if not (np.isfinite(self.offset).all() and np.isfinite(self.slope).all()):
            raise ForecastError("correction: offset or slope is not finite")
        if (self.slope < 0.0).any():
            raise ForecastError(f"correction: slope {self.slope.min()} is below 0")

    def arrays(self, of: str) -> dict[str, NDArray[np.generic]]:
        """It as arrays of a snapshot; see `correction_in`."""
        return {f"{of}_offset": self.offset, f"{of}_slope": self.slope}

    def apply(self, z: Array) -> Array:
        """Probabilities [H, ...] from log odds [K, ...]; NaN where one of them is."""
        shape = (-1, *(1 for _ in range(z.ndim - 1)))
        moved = np.tensordot(self.slope, np.nan_to_num(z), axes=(1, 0))
        p = probability(moved + self.offset.reshape(shape))
        unsaid = np.asarray(np.isnan(z).any(axis=0))
        return np.where(unsaid[None], np.nan, p)


def correction_in(snapshot: Snapshot, of: str, shape: tuple[int, int]) -> Correction:
    """The curves that `Correction.arrays` put into a snapshot.

    Args:
        snapshot: See `Snapshot`.
        of: Under which name.
        shape: [H, K] that they must have.

    Raises:
        ForecastError: They are not there, or are no curves of this shape.
    """
    found = Correction(offset=snapshot.array(f"{of}_offset"), slope=snapshot.array(f"{of}_slope"))
    if found.slope.shape != shape:
        raise ForecastError(
            f"{snapshot.kind}: snapshot's {of}_slope has shape {found.slope.shape}, must be "
            f"{shape}"
        )
    return found


def fit_correction(
    z: Array, came_true: NDArray[np.bool_], weight: Array, *, prior: Array | None = None
) -> Correction:
    """Fit a curve for each horizon.

    Args:
        z: Log odds [K, N]; usually one row a horizon.
        came_true: bool [H, N].
        weight: [H, N], what a sample counts; 0 = it is not known what became of it.
        prior: Slopes [H, K] before anything is seen; None = the scores as they are.
    """
    many = len(came_true)
    slope = np.eye(many) if prior is None else np.array(prior, dtype=np.float64)
    offset = np.zeros(many)
    for h in range(many):
        used = (weight[h] > 0.0) & ~np.isnan(z).any(axis=0)
        if used.any():
            start = np.concatenate([[0.0], slope[h]])
            theta = _fit_one(z[:, used], came_true[h, used], weight[h, used], start)
            offset[h], slope[h] = theta[0], theta[1:]
    return Correction(offset=offset, slope=slope)


def _fit_one(z: Array, came_true: NDArray[np.bool_], weight: Array, prior: Array) -> Array:
    """Offset and slopes [1 + K] by Newton's method; slopes that would be negative are 0."""
    design = np.vstack([np.ones(z.shape[1]), z])
    pull = np.concatenate([[1.0 / _OFFSET_SD**2], np.full(len(z), 1.0 / _SLOPE_SD**2)])
    free = np.ones(len(prior), dtype=bool)
    theta = prior.copy()
    for _ in range(_ROUNDS):
        p = probability(theta @ design)
        slack = weight * p * (1.0 - p)
        gradient = design @ (weight * (p - came_true)) + pull * (theta - prior)
        bend = (design * slack) @ design.T + np.diag(pull)
        step = np.zeros(len(theta))
        step[free] = np.linalg.solve(bend[np.ix_(free, free)], gradient[free])
        # A full step may overshoot where the curve is flat.
        step *= min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-12))
        theta = theta - step
        if float(np.abs(step).max()) < _ENOUGH:
            negative = np.flatnonzero(theta[1:] < 0.0) + 1
            if not len(negative):
                break
            free[negative] = False
            theta[negative] = 0.0
    theta[1:] = np.maximum(theta[1:], 0.0)
    return theta
