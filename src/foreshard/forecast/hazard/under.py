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

from foreshard.forecast.feature.column import AHEAD, SHARED
from foreshard.forecast.feature.company import describe_others
from foreshard.forecast.feature.span import Spans
from foreshard.forecast.feature.table import describe, lines_of
from foreshard.forecast.history import ALONE, History
from foreshard.forecast.response import LoadResponse
from foreshard.forecast.supposition import (
    LEAST_LOAD,
    exceeding,
    moved_gauges,
    stays_of,
    supposed,
)

__all__ = ["Under"]

Array = NDArray[np.float32]
Scores = NDArray[np.float64]

# Less risk than this cannot be lowered by anything that matters.
_WORTH = 0.01
# More load makes no risk where it brings nothing, lately or at this hour, so near to its limit.
_NEAR = 0.8
_PEERS = slice(SHARED.index("above_peers"), SHARED.index("slope_above_peers") + 1)
_LEVEL, _HIGHEST = SHARED.index("mean_15m"), SHARED.index("max_3h")
_AHEAD = AHEAD.index("ahead_max")


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
        cells = np.flatnonzero(self._may_matter(present, now, load))
        if not len(cells):
            return now
        moved = np.flatnonzero(self.moved)
        own = _part_of(self.history.until(t + 1), cells, moved)
        response = self.response.of(own.gauges)
        followed = said(self._read(own, load, present[cells], stays=False)[:, moved])
        likely = self.stays[moved]
        ill = np.flatnonzero(exceeding(own, response)) if likely.any() else cells[:0]
        if len(ill):
            part = _part_of(own, ill, np.arange(len(moved)))
            stayed = said(self._read(part, load, present[cells[ill]], stays=True)[:, moved])
            followed[:, ill] += likely * (stayed - followed[:, ill])
        p = now.copy()
        p[np.ix_(np.arange(len(p)), cells, moved)] = followed
        return p

    def _may_matter(self, present: Array, now: Scores, load: float) -> NDArray[np.bool_]:
        """[C], cells of which another risk than the present one may be said."""
        if load < 1.0:
            return np.asarray(np.nan_to_num(now[-1][:, self.moved]).max(axis=1) >= _WORTH)
        ahead = len(SHARED) + (len(self.spans.horizons) - 1) * len(AHEAD) + _AHEAD
        top = np.fmax(present[:, self.moved, _HIGHEST], present[:, self.moved, ahead])
        return np.asarray(load * np.nan_to_num(top).max(axis=1) >= _NEAR)

    def _read(self, own: History, load: float, present: Array, *, stays: bool) -> Array:
        """Features [C, G, F] of cells in one of the worlds, at their last sample.

        `own` has the gauges that are moved, `present` all.
        """
        cell, moved = np.arange(len(own.cells)), np.flatnonzero(self.moved)
        read = supposed(own, self.response.of(own.gauges), load, stays=stays)
        limit = np.where(own.counts, 1.0, np.nan).astype(np.float32)
        table = describe(
            lines_of(read, self.spans), cell, np.full_like(cell, own.samples - 1), limit
        )
        before = present[:, moved]
        # Siblings are supposed to have been given the same load, and no excess.
        scale = table[:, :, _LEVEL] / before[:, :, _LEVEL]
        follows = np.float32(1.0 if stays else max(load, LEAST_LOAD))
        scale = np.where(own.scales_with_load, follows, scale)
        table[:, :, _PEERS] = before[:, :, _PEERS] * scale[:, :, None]
        whole = present.copy()
        whole[:, moved] = table
        if whole.shape[1] > 1:
            describe_others(whole, len(self.spans.horizons))
        return whole


def _part_of(history: History, cells: NDArray[np.int64], gauges: NDArray[np.int64]) -> History:
    """A history of some cells, each by itself, and of some of their gauges."""
    older = history.older
    both = np.ix_(cells, gauges)
    return replace(
        history,
        cells=tuple(history.cells[c] for c in cells.tolist()),
        gauges=tuple(history.gauges[g] for g in gauges.tolist()),
        value=history.value[both],
        counts=history.counts[both],
        scales_with_load=history.scales_with_load[gauges],
        load=history.load[cells],
        sibling=np.full(len(cells), ALONE, dtype=np.int32),
        censored=history.censored[cells],
        up_s=history.up_s[cells],
        declared=None,
        weight=None,
        older=None if older is None else _part_of(older, cells, gauges),
    )
