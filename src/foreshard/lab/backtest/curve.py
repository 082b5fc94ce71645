"""This module is how well probabilities rank and how far they can be believed.

- PR-AUC is average precision (the step-wise area, no interpolation), which says more than ROC
  where onsets are rare; a forecaster that knows nothing has the prevalence.
- ROC-AUC is the chance that a sample before an onset has a higher probability than another.
- The Brier skill is the part of the squared error that is saved against always saying the
  prevalence of the very part that is scored, which is harder than that of the past.
- ECE is the mean distance of what was said from what came true, over the bins of the reliability
  picture, weighted by how much fell into each.

Equal probabilities are one threshold. Ranks for the bootstrap are kept in bins, which moves an
interval by far less than its width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["EDGES", "Counts", "average_precision", "count_up", "roc_area"]

Array = NDArray[np.float64]

# Finer where rare things are: most of what is said of a healthy fleet is below 1 %.
EDGES = np.array(
    [0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
)
_RANK_BINS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Sums over the samples of each of U units, enough for every figure.

    Attributes:
        ahead, clear: [K, U], samples with and without an onset ahead, by rank of what was said,
            highest first.
        said: [B, U], sum of what was said in each bin of `EDGES`.
        came: [B, U], samples with an onset ahead in each.
        count: [B, U], samples in each.
        error: [U], sum of squared errors.
    """

    ahead: Array
    clear: Array
    said: Array
    came: Array
    count: Array
    error: Array

    def prevalence(self, weight: Array) -> float:
        """Share of samples with an onset ahead."""
        return float((self.came @ weight).sum() / max(float((self.count @ weight).sum()), 1e-12))

    def precision_area(self, weight: Array) -> float:
        """PR-AUC from ranks in bins; 0 where nothing came true."""
        hits = np.cumsum(self.ahead @ weight)
        told = hits + np.cumsum(self.clear @ weight)
        if not hits[-1] > 0.0:
            return 0.0
        precision = hits / np.maximum(told, 1e-12)
        return float(np.sum(np.diff(hits, prepend=0.0) * precision) / hits[-1])

    def brier_skill(self, weight: Array) -> float:
        """1 = perfect, 0 = no better than the prevalence; NaN where all or none came true."""
        share = self.prevalence(weight)
        spread = share * (1.0 - share)
        error = float(self.error @ weight) / max(float((self.count @ weight).sum()), 1e-12)
        return 1.0 - error / spread if spread > 0.0 else float("nan")

    def calibration_error(self, weight: Array) -> float:
        """ECE."""
        count = self.count @ weight
        return float(
            np.abs(self.said @ weight - self.came @ weight).sum() / max(float(count.sum()), 1e-12)
        )


def count_up(p: Array, y: NDArray[np.bool_], unit: NDArray[np.int32], units: int) -> Counts:
    """The sums of N samples.

    Args:
        p: [N], in [0, 1].
        y: [N], an onset was ahead.
        unit: [N].
        units: U.
    """
    # Edges at what was said before onsets, where precision is decided, and over all.
    levels = np.linspace(0.0, 1.0, _RANK_BINS // 2)
    parts = [np.quantile(of, levels, method="lower") for of in (p[y], p) if len(of)]
    edges = np.unique(np.concatenate(parts)) if parts else np.zeros(1)
    rank = len(edges) - np.searchsorted(edges, p, side="right")
    bins = np.clip(np.searchsorted(EDGES, p, side="right") - 1, 0, len(EDGES) - 2)

    def summed(place: NDArray[np.intp], size: int, value: Array) -> Array:
        flat = np.bincount(place * units + unit, weights=value, minlength=size * units)
        return np.asarray(flat, dtype=np.float64).reshape(size, units)

    hit = y.astype(np.float64)
    many = len(EDGES) - 1
    return Counts(
        ahead=summed(rank, len(edges) + 1, hit),
        clear=summed(rank, len(edges) + 1, 1.0 - hit),
        said=summed(bins, many, p),
        came=summed(bins, many, hit),
        count=summed(bins, many, np.ones(len(p))),
        error=np.asarray(
            np.bincount(unit, weights=(p - hit) ** 2, minlength=units), dtype=np.float64
        ),
    )


def average_precision(p: Array, y: NDArray[np.bool_]) -> float:
    """PR-AUC, exact; NaN where nothing came true."""
    if not y.any():
        return float("nan")
    order = np.argsort(-p, kind="stable")
    last = np.append(np.diff(p[order]) != 0.0, True)
    hits = np.cumsum(y[order])[last]
    told = (np.arange(len(p)) + 1)[last]
    return float(np.sum(np.diff(hits, prepend=0) * (hits / told)) / hits[-1])


def roc_area(p: Array, y: NDArray[np.bool_]) -> float:
    """ROC-AUC, exact, ties counted half; NaN where all or none came true."""
    ahead = int(y.sum())
    clear = len(y) - ahead
    if not ahead or not clear:
        return float("nan")
    values, place, count = np.unique(p, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - 0.5 * (count - 1)
    won = rank[place][y].sum() - 0.5 * ahead * (ahead + 1)
    return float(won / (ahead * clear)) if len(values) else float("nan")
