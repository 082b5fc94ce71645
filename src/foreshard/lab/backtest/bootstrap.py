"""This module is how far a figure would move with other cells: a bootstrap over them.

Samples of one cell are no independent evidence, so whole cells are drawn (with replacement). Where
cells share incidents neither are cells; then blocks of time are drawn as well, crossed with the
cells (the pigeonhole bootstrap of Owen 2007), which widens the interval as it should.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["Interval", "draw_weights", "interval"]

Array = NDArray[np.float64]
# Low and high end.
Interval = tuple[float, float]

DRAWS = 200
LOW, HIGH = 0.05, 0.95


def draw_weights(cells: int, blocks: int, *, seed: int) -> Array:
    """How often each unit counts in each draw, [DRAWS, cells * blocks].

    Args:
        cells: C.
        blocks: Of time; 1 = only cells are drawn.
        seed: The same seed draws the same.
    """
    chance = np.random.default_rng(seed)
    of_cells = chance.multinomial(cells, np.full(cells, 1.0 / cells), size=DRAWS)
    if blocks == 1:
        return of_cells.astype(np.float64)
    of_blocks = chance.multinomial(blocks, np.full(blocks, 1.0 / blocks), size=DRAWS)
    crossed = of_cells[:, :, None] * of_blocks[:, None, :]
    return crossed.reshape(DRAWS, cells * blocks).astype(np.float64)


def interval(weights: Array, figure: Callable[[Array], float]) -> Interval:
    """The middle 90 % of a figure over all draws; NaN where it says nothing.

    Args:
        weights: Of `draw_weights`.
        figure: Told how often each unit counts.
    """
    found = np.array([figure(weight) for weight in weights])
    found = found[np.isfinite(found)]
    if not len(found):
        return float("nan"), float("nan")
    low, high = np.quantile(found, [LOW, HIGH])
    return float(low), float(high)
