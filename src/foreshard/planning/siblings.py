"""This module is what a cell's siblings show: their median, the cell itself left out."""

from __future__ import annotations

import numpy as np

from foreshard.planning.problem import Flags, Floats

__all__ = ["median_of_others"]


def median_of_others(values: Floats, is_sibling: Flags) -> Floats:
    """[C] median of the siblings' values, for each cell without its own.

    One sort serves all cells: leaving one out moves the middle by half a place at most.

    Args:
        values: [C], NaN = not known.
        is_sibling: [C] whose values count.

    Returns:
        NaN where no sibling is known.
    """
    counted = is_sibling & ~np.isnan(values)
    ordered = np.sort(values[counted])
    others = ordered.size - counted
    place = np.where(counted, np.searchsorted(ordered, values), ordered.size)
    # Of an even number the mean of the two in the middle.
    below, above = np.maximum(others - 1, 0) // 2, others // 2
    last = max(ordered.size - 1, 0)
    padded = ordered if ordered.size else np.array([np.nan])
    low = padded[np.minimum(below + (below >= place), last)]
    high = padded[np.minimum(above + (above >= place), last)]
    return np.where(others > 0, (low + high) / 2.0, np.nan)
