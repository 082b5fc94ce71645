"""This module is what a fleet is said to risk under another load: its telemetry, read anew.

Only cells are read anew in which the load moves anything that is at risk. What the load does not
move keeps the risk that it has, whatever becomes of its neighbours: a leak that would stand alone
would else be said to be cured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.feature.column import SHARED
from foreshard.forecast.feature.span import Spans
from foreshard.forecast.feature.table import describe, lines_of
from foreshard.forecast.history import ALONE, History
from foreshard.forecast.response import LoadResponse
from foreshard.forecast.supposition import LEAST_LOAD, moved_gauges, stays_of, supposed

__all__ = ["Under"]

Array = NDArray[np.float32]
Scores = NDArray[np.float64]

# Less risk than this cannot be lowered by anything that matters.
_WORTH = 1e-3
# A world as unlikely as this is not looked at.
_UNLIKELY = 0.02
_PEERS = slice(SHARED.index("above_peers"), SHARED.index("slope_above_peers") + 1)
_LEVEL = SHARED.index("mean_15m")


@dataclass(frozen=True, slots=True, kw_only=True)
class Under:
    """A history that is asked about under other loads.

    Attributes:
        history: See `History`.
        response: Of its gauges.
        spans: Of the features.
        moved: [G], what load moves.
        stays: [G], probability of the world in which an excess stays.
    """

    history: History
    response: LoadResponse
    spans: Spans
    moved: NDArray[np.bool_] = field(init=False)
    stays: Scores = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "moved", moved_gauges(self.history, self.response))
        object.__setattr__(self, "stays", stays_of(self.history, self.response))

    def risk(
        self,
        said: Callable[[Array], Scores],
        load: float,
        t: int,
        known: tuple[Array, Scores],
    ) -> Scores:
        """[H, C, G] of all cells at sample t under a multiple of their load.

        Args:
            said: Probabilities [H, N, G] from features [N, G, F].
            load: >= 0, not 1.
            t: Sample.
            known: Features [C, G, F] and probabilities [H, C, G] under the present load.
        """
        present, now = known
        at_risk = np.nan_to_num(now[-1][:, self.moved]).max(axis=1) >= _WORTH
        cells = np.flatnonzero(at_risk) if load < 1.0 else np.arange(len(now[-1]))
        if not len(cells):
            return now
        likely = self.stays[self.moved]
        own = _of_cells(self.history.until(t + 1), cells)
        p = now.copy()
        part = np.zeros((len(now), len(cells), len(likely)))
        for stays, share in ((False, 1.0 - likely), (True, likely)):
            weight = np.where(
                share < _UNLIKELY, 0.0, np.where(share > 1.0 - _UNLIKELY, 1.0, share)
            )
            if weight.any():
                read = self._read(own, load, present[cells], stays=stays)
                part += weight * said(read[:, self.moved])
        p[np.ix_(np.arange(len(p)), cells, np.flatnonzero(self.moved))] = part
        return p

    def _read(self, own: History, load: float, present: Array, *, stays: bool) -> Array:
        """Features [C, G, F] of cells in one of the worlds, at their last sample."""
        read = supposed(own, self.response, load, stays=stays)
        cell = np.arange(len(own.cells))
        limit = np.where(own.counts, 1.0, np.nan).astype(np.float32)
        at = np.full(len(cell), own.samples - 1)
        lines = lines_of(read, self.spans)
        table = describe(lines, cell, at, limit, others=(present, ~self.moved))
        # Siblings are supposed to have been given the same load, and no excess.
        scale = table[:, :, _LEVEL] / present[:, :, _LEVEL]
        if stays:
            scale = np.where(own.scales_with_load, np.float32(1.0), scale)
        else:
            scale = np.where(own.scales_with_load, np.float32(max(load, LEAST_LOAD)), scale)
        moved = np.flatnonzero(self.moved)
        table[:, moved, _PEERS] = present[:, moved, _PEERS] * scale[:, moved, None]
        return table


def _of_cells(history: History, cells: NDArray[np.int64]) -> History:
    """A history of some cells, each by itself."""
    older = history.older
    return replace(
        history,
        cells=tuple(history.cells[c] for c in cells.tolist()),
        value=history.value[cells],
        counts=history.counts[cells],
        load=history.load[cells],
        sibling=np.full(len(cells), ALONE, dtype=np.int32),
        censored=history.censored[cells],
        up_s=history.up_s[cells],
        declared=None,
        weight=None,
        older=None if older is None else _of_cells(older, cells),
    )
