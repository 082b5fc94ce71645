"""This module is the features of gauges before limits: one path, for training and in flight.

A place is a cell at a sample before a set of limits, one a gauge. The limits may be the real ones
(1), or others: what a gauge did before *any* level teaches how it reaches levels. What is said
under another load is read of other telemetry (`supposition`), by the same path.

Nothing after a sample is read, and nothing from further back than a week.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.feature.blocks import hold, summarise
from foreshard.forecast.feature.column import AHEAD, SHARED
from foreshard.forecast.feature.company import describe_others, describe_peers
from foreshard.forecast.feature.row import describe_rows
from foreshard.forecast.feature.span import Spans
from foreshard.forecast.history import ALONE, History
from foreshard.forecast.past import EVERY

__all__ = ["Lines", "describe", "lines_of"]

Array = NDArray[np.float32]
Index = NDArray[np.int64]

_UP = SHARED.index("up")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """The gauges of a history as R = C * G rows, with what is read again and again.

    Attributes:
        spans: Stretches in samples.
        gauges: G.
        x: [R, T], fraction of the limit.
        held: [R, T], see `hold`; [R, 0] where each row is read once, and it is seen then.
        far: Highest of each block [R, K], NaN = not heard, and at which sample the first begins.
        load: [C, T].
        has_load: Some of it is known.
        peers: Sum and number [P, T] of each group of siblings and gauge, and the group of a row.
        up_s: [C, T].
    """

    spans: Spans
    gauges: int
    x: Array
    held: Array
    far: tuple[Array, int]
    load: Array
    has_load: bool
    peers: tuple[Array, Array, Index]
    up_s: Array


def lines_of(history: History, spans: Spans) -> Lines:
    """The rows of a history."""
    c, g = history.counts.shape
    x = np.ascontiguousarray(history.value).reshape(c * g, history.samples)
    return Lines(
        spans=spans,
        gauges=g,
        x=x,
        # In flight all rows are read once, and not kept: most of the time goes into memory.
        held=hold(x, spans.sustain)
        if history.older is None
        else np.empty((len(x), 0), np.float32),
        far=_far_of(history, x),
        load=np.ascontiguousarray(history.load),
        has_load=not bool(np.isnan(history.load).all()),
        peers=_peers_of(history),
        up_s=history.up_s,
    )


def describe(lines: Lines, cell: Index, at: Index, limit: Array) -> Array:
    """The features of N places.

    Args:
        lines: See `lines_of`.
        cell: [N].
        at: [N], samples.
        limit: [N, G], in fractions of the real limit, > 0; NaN = the gauge has none.

    Returns:
        [N, G, F]; NaN where the gauge has no limit, or something is not known.
    """
    spans, g = lines.spans, lines.gauges
    width = len(SHARED) + len(spans.horizons) * len(AHEAD)
    has_limit = ~np.isnan(limit)
    wanted = np.flatnonzero(has_limit)
    place, gauge = np.divmod(wanted, g)
    rows = (cell[place] * g + gauge).astype(np.int64)
    moments = at[place].astype(np.int64)
    where = (rows, moments, limit.ravel()[wanted].astype(np.float32))
    out = np.full((len(wanted), width), np.nan, dtype=np.float32)
    quarter, day, sustain = spans.recent[2], spans.day, spans.sustain
    describe_rows(
        (lines.x, lines.held, lines.far),
        (lines.load if lines.has_load else lines.load[:0], g),
        where,
        (spans.recent, spans.hour, day, spans.per_hour),
        (np.array(spans.horizons), np.array(spans.tolerance), sustain),
        out,
    )
    if len(lines.peers[0]):
        describe_peers(lines.x, lines.peers, where, (quarter, spans.hour, spans.per_hour), out)
    out[:, _UP] = np.log1p(np.maximum(lines.up_s[cell[place], moments], 0.0))
    if len(wanted) == limit.size:
        whole = out.reshape(len(cell), g, width)
    else:
        whole = np.full((len(cell), g, width), np.nan, dtype=np.float32)
        whole.reshape(-1, width)[wanted] = out
    if g > 1:
        describe_others(whole, len(spans.horizons))
        whole[~has_limit] = np.nan
    return whole


def _far_of(history: History, x: Array) -> tuple[Array, int]:
    """Blocks of the history, from what is kept of it further back where there is that."""
    older = history.older
    if older is not None and older.samples:
        # A block stands at its last step.
        begins = round((older.begins_s - history.begins_s) / history.step_s) - (EVERY - 1)
        return np.ascontiguousarray(older.value).reshape(len(x), -1), begins
    first = (1 - round(history.begins_s / history.step_s)) % EVERY
    return summarise(x, first), first


def _peers_of(history: History) -> tuple[Array, Array, Index]:
    """Sum and number of the readings of each group of siblings."""
    c, g = history.counts.shape
    groups, size = np.unique(history.sibling, return_counts=True)
    groups = groups[(groups != ALONE) & (size > 1)]
    total = np.zeros((len(groups) * g, history.samples), dtype=np.float32)
    number = np.zeros_like(total)
    group = np.full((c, g), -1, dtype=np.int64)
    for i, name in enumerate(groups.tolist()):
        members = np.flatnonzero(history.sibling == name)
        group[members] = i * g + np.arange(g)
        for m in members.tolist():
            heard = ~np.isnan(history.value[m])
            total[i * g : (i + 1) * g] += np.where(heard, history.value[m], 0.0)
            number[i * g : (i + 1) * g] += heard
    return total, number, group.reshape(-1)
