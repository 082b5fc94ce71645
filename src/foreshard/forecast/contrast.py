"""This module is what a cell's siblings say about its risk: what all of them do is nobody's fault.

A nightly batch, the morning's rise, a surge: siblings go through them together, and come back. A
cell that fails does what its siblings do not. So of each gauge's hazard (-log(1 - P)) only what
stands above the median of the other siblings counts in full; the part that they share counts for
`SHARED_COUNTS` of it, because a common movement does now and then end at the limit. That part is
declared, not learned. What is all but certain stays likely: P = 0.99 in all siblings is told as
0.37, P = 0.9999 as 0.6.

A cell alone, or with one sibling, is taken as it is: of two cells nobody can say which one is odd.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.history import ALONE

__all__ = ["SHARED_COUNTS", "beyond_siblings", "median_of_others"]

Array = NDArray[np.float64]

SHARED_COUNTS = 0.1
# Others that must be heard before anything is compared with them.
FEWEST_OTHERS = 2
# Beyond this a probability is certain, and its hazard has no more to say.
CERTAIN = 1.0 - 1e-6


def beyond_siblings(
    p: NDArray[np.floating], sibling: NDArray[np.int32], *, axis: int
) -> NDArray[np.float32]:
    """Risks of each cell beyond what its siblings show.

    It rises with the cell's own P; where P rises along another axis (horizon, load) for all
    siblings, take the running maximum afterwards: the difference of two rising curves need not.

    Args:
        p: Probabilities, NaN = nothing is said; any shape with C cells along `axis`.
        sibling: int32 [C], see `History`.
        axis: Where the cells are.

    Returns:
        float32 of the same shape, nowhere above `p`.
    """
    cells = np.moveaxis(np.asarray(p, dtype=np.float64), axis, 0)
    told = cells.astype(np.float32)
    for group in np.unique(sibling[sibling != ALONE]).tolist():
        of_group = sibling == group
        if int(of_group.sum()) <= FEWEST_OTHERS:
            continue
        hazard = -np.log1p(-np.minimum(cells[of_group], CERTAIN))
        others, heard = median_of_others(hazard)
        shared = np.where(heard >= FEWEST_OTHERS, np.minimum(hazard, others), 0.0)
        kept = -np.expm1(-(hazard - (1.0 - SHARED_COUNTS) * shared))
        told[of_group] = np.where(shared > 0.0, kept, cells[of_group])
    return np.moveaxis(told, 0, axis)


def median_of_others(values: Array) -> tuple[Array, NDArray[np.int64]]:
    """[S, ...] median over the first axis, each without its own, and of how many it is.

    One sort serves all: leaving one out moves the middle by half a place at most.

    Args:
        values: [S, ...], NaN = not known.

    Returns:
        The medians, NaN where no other is known; and how many others are.
    """
    order = np.argsort(values, axis=0, kind="stable")
    rank = np.argsort(order, axis=0, kind="stable")
    ordered = np.take_along_axis(values, order, axis=0)
    known = ~np.isnan(values)
    others = known.sum(axis=0, keepdims=True) - known
    below, above = np.maximum(others - 1, 0) // 2, others // 2
    last = len(values) - 1
    # Those that are not known stand behind all that are, so they shift nobody.
    below = np.minimum(below + (known & (below >= rank)), last)
    above = np.minimum(above + (known & (above >= rank)), last)
    low = np.take_along_axis(ordered, below, axis=0)
    high = np.take_along_axis(ordered, above, axis=0)
    return np.where(others > 0, 0.5 * (low + high), np.nan), others
