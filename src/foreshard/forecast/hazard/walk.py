"""This module is the walk of many rows through small trees at once, compiled.

A row would go from node to node, each step after the one before. Here every node is asked of a
block of rows together: where a row does not go left, the leaves on the left are struck off, and
the first leaf that is left is the one where the row arrives (Lucchese et al., QuickScorer, SIGIR
2015). Rows, not nodes, are innermost, so that sixteen are worked on at a time.

The trees are those of LightGBM's text, and so is the answer, to the bit: leaves are added tree by
tree, in double. Levels are float32, so that a threshold may be rounded down to one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numba import get_num_threads, njit, prange, set_num_threads
from numpy.typing import NDArray

from foreshard.model.errors import ForecastError

__all__ = ["Walk"]

Array = NDArray[np.float32]
Ints = NDArray[np.int32]
Scores = NDArray[np.float64]
# See `Walk`.
_Trees = tuple[Ints, Ints, Array, Ints, Ints, Scores]

_MOST_LEAVES = 32
_BLOCK = 256
# Fewer rows are sooner done than a second thread has begun; and it is two that the engine has.
_ROWS_FOR_TWO = 20_000
# Bits of a node's kind in LightGBM's text (`tree.h`): categories; where NaN goes; what is NaN.
_CATEGORICAL, _NAN_LEFT, _MISSING_SHIFT, _MISSING_MASK = 1, 2, 2, 3
_NOTHING_MISSING, _NAN_MISSING = 0, 2
# LightGBM's `kZeroThreshold`.
_ZERO = np.float32(1e-35)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Walk:
    """Trees as arrays, nodes tree after tree.

    Attributes:
        first: [trees + 1], where the nodes of each tree begin.
        column: [nodes], which column of a row is asked.
        threshold: [nodes], left if not above it.
        nan_left: [nodes], 1 = what is not known goes left.
        kept: [nodes], bits of the leaves that remain where a row does not go left.
        leaf: [trees, leaves], what each adds to the log odds, from left to right.
    """

    first: Ints
    column: Ints
    threshold: Array
    nan_left: Ints
    kept: Ints
    leaf: Scores

    @classmethod
    def of(cls, text: str) -> Self:
        """The trees of a text by LightGBM.

        Raises:
            ForecastError: They are not of the kind that `forest.grow` grows.
        """
        parts = text.split("\nTree=")[1:]
        trees = [_fields(part) for part in parts]
        try:
            grown = [_Tree(fields) for fields in trees]
        except (KeyError, ValueError, IndexError, RecursionError) as error:
            raise ForecastError(
                f"hazard: the text of the trees is of another kind ({error}); train the model anew"
            ) from error
        return cls(
            first=np.cumsum([0, *(len(tree.column) for tree in grown)], dtype=np.int32),
            column=np.array([c for tree in grown for c in tree.column], dtype=np.int32),
            threshold=np.array([t for tree in grown for t in tree.threshold], dtype=np.float32),
            nan_left=np.array([n for tree in grown for n in tree.nan_left], dtype=np.int32),
            kept=np.array([k for tree in grown for k in tree.kept], np.uint32).view(np.int32),
            leaf=np.array([tree.leaf for tree in grown], dtype=np.float64),
        )

    def predict(self, table: Array, which: NDArray[np.int64]) -> Scores:
        """Probabilities [N].

        Args:
            table: [N, F].
            which: Where in the table each column of the trees stands.
        """
        odds = np.zeros(len(table))
        column = which[self.column].astype(np.int32)
        trees = (self.first, column, self.threshold, self.nan_left, self.kept, self.leaf)
        before = get_num_threads()
        if len(table) < _ROWS_FOR_TWO or before < 2:
            _walk(table, trees, odds)
            return odds
        set_num_threads(2)
        try:
            _walk_halves(table, trees, odds)
        finally:
            set_num_threads(before)
        return odds


class _Tree:
    """One tree of the text, its leaves from left to right."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        leaves = int(fields["num_leaves"])
        if leaves > _MOST_LEAVES or int(fields["num_cat"]) or int(fields.get("is_linear", "0")):
            raise ValueError(f"{leaves} leaves, categories or lines in its leaves")
        value = [float(v) for v in fields["leaf_value"].split()]
        many = leaves - 1
        self.column = [int(v) for v in fields["split_feature"].split()] if many else []
        exact = [float(v) for v in fields["threshold"].split()] if many else []
        self.threshold = [_rounded_down(v) for v in exact]
        kinds = [int(v) for v in fields["decision_type"].split()] if many else []
        self.nan_left = [_nan_goes_left(k, t) for k, t in zip(kinds, exact, strict=True)]
        self._children = (
            [int(v) for v in fields["left_child"].split()] if many else [],
            [int(v) for v in fields["right_child"].split()] if many else [],
        )
        self.kept = [0] * many
        order: list[int] = []
        self._strike(0 if many else -1, order)
        if sorted(order) != list(range(leaves)) or min(self.column, default=0) < 0:
            raise ValueError(f"a tree of {leaves} leaves that leads to {sorted(order)}")
        self.leaf = [*(value[k] for k in order), *([0.0] * (_MOST_LEAVES - leaves))]

    def _strike(self, node: int, order: list[int]) -> None:
        """Number the leaves below a node, and note which of them going right strikes off."""
        if node < 0:
            order.append(~node)
            return
        left, right = self._children
        before = len(order)
        self._strike(left[node], order)
        struck = ((1 << (len(order) - before)) - 1) << before
        self.kept[node] = ~struck & 0xFFFFFFFF
        self._strike(right[node], order)


def _fields(part: str) -> Mapping[str, str]:
    lines = part.split("\n\n", 1)[0].splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _rounded_down(threshold: float) -> np.float32:
    """The highest level that goes left; what is as small as `_ZERO` is taken as 0."""
    if abs(threshold) <= float(_ZERO):
        return _ZERO if threshold >= 0.0 else np.nextafter(-_ZERO, np.float32(-np.inf))
    with np.errstate(over="ignore"):
        near = np.float32(threshold)
    return np.nextafter(near, np.float32(-np.inf)) if float(near) > threshold else near


def _nan_goes_left(kind: int, threshold: float) -> int:
    missing = (kind >> _MISSING_SHIFT) & _MISSING_MASK
    if kind & _CATEGORICAL or missing not in {_NOTHING_MISSING, _NAN_MISSING}:
        raise ValueError(f"a node of kind {kind}")
    # Where nothing was missing in training, NaN is taken as 0.
    goes = bool(kind & _NAN_LEFT) if missing == _NAN_MISSING else threshold >= 0.0
    return int(goes)


@njit(cache=True, nogil=True, error_model="numpy", parallel=True)
def _walk_halves(table: Array, trees: _Trees, odds: Scores) -> None:
    # Threads are handed arrays and numbers, no tuples of them.
    first, column, threshold, nan_left, kept, leaf = trees
    middle = odds.size // 2
    for half in prange(2):
        own = slice(half * middle, odds.size if half else middle)
        _walk(table[own], (first, column, threshold, nan_left, kept, leaf), odds[own])


@njit(cache=True, nogil=True, error_model="numpy")
def _walk(table: Array, trees: _Trees, odds: Scores) -> None:
    """Probabilities of rows [N, F], filled into `odds`."""
    first, column, threshold, nan_left, kept, leaf = trees
    turned = np.empty((table.shape[1], _BLOCK), np.float32)
    leaves = np.empty(_BLOCK, np.int32)
    for start in range(0, odds.size, _BLOCK):
        size = min(_BLOCK, odds.size - start)
        for r in range(size):
            for f in range(table.shape[1]):
                turned[f, r] = table[start + r, f]
        own = odds[start : start + size]
        for tree in range(first.size - 1):
            leaves[:] = -1
            for k in range(first[tree], first[tree + 1]):
                _strike_off(turned[column[k]], threshold[k], nan_left[k], kept[k], leaves)
            _arrive(leaves, leaf[tree], own)
        for r in range(size):
            own[r] = 1.0 / (1.0 + np.exp(-own[r]))


@njit(cache=True, nogil=True, error_model="numpy")
def _strike_off(level: Array, threshold: float, nan_left: int, kept: int, leaves: Ints) -> None:
    if nan_left:
        for r in range(leaves.size):
            leaves[r] &= kept if level[r] > threshold else -1
    else:
        for r in range(leaves.size):
            leaves[r] &= -1 if level[r] <= threshold else kept


@njit(cache=True, nogil=True, error_model="numpy")
def _arrive(leaves: Ints, leaf: Scores, odds: Scores) -> None:
    """Add the first leaf that is left; its number is told bit by bit, as vectors can."""
    for r in range(odds.size):
        lowest = leaves[r] & -leaves[r]
        number = 1 if lowest & 0x55555555 == 0 else 0
        number += 2 if lowest & 0x33333333 == 0 else 0
        number += 4 if lowest & 0x0F0F0F0F == 0 else 0
        number += 8 if lowest & 0x00FF00FF == 0 else 0
        number += 16 if lowest & 0x0000FFFF == 0 else 0
        odds[r] += leaf[number]
