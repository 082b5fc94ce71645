"""This module is what the trees are shown: places of the past, before many limits at once.

A gauge meets its real limit a few times a month. It meets lower levels far more often, and in the
same ways; so each place is shown before a dozen levels of its own gauges (quantiles of what each
did), and the features say how far the level is. That is learning the distribution of the highest
value within the horizon, of which the real limit is one point.

Places are drawn: most of those that an onset follows, few of the others, each with the weight
that makes up for it. Calm stretches of a large fleet are thinned until the rows fit the budget.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.feature.blocks import hold
from foreshard.forecast.feature.table import Lines
from foreshard.forecast.hazard.quiet import NEVER, next_onsets
from foreshard.forecast.history import History
from foreshard.forecast.onset import BreachRule, Onsets

__all__ = ["LEVELS", "Places", "draw_places", "levels_of"]

Array = NDArray[np.float32]
Index = NDArray[np.int64]

# The levels that gauges are shown before: quantiles, evenly spaced in how rarely they are reached.
LEVELS: tuple[float, ...] = tuple((1.0 - np.geomspace(0.2, 0.002, 12)).tolist())
# A level that is hardly above what is usual is reached by noise.
_LEAST_ROOM = 0.15
# Samples that a quantile is taken from.
_ENOUGH = 20_000
# Of places that an onset follows within the longest horizon, but not within the shortest, one in
# so many is drawn: neighbours say the same.
_EVERY_NEAR = 3
_EVERY_CALM = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """N places and G gauges.

    Attributes:
        cell, at: [N].
        limit: [N, G], NaN = the gauge has none, or is in an episode.
        ahead: [N, G], samples to the next onset of the gauge before its level; `NEVER` = none.
        sight: [N], so many samples ahead it is known what followed; an onset is known at any
            distance, that there was none is not where an intervention or silence hides it.
        weight: [N].
    """

    cell: Index
    at: Index
    limit: Array
    ahead: NDArray[np.int32]
    sight: NDArray[np.int32]
    weight: Array


def levels_of(history: History) -> Array:
    """Limits [C, G, S] of S sets: a set for each of `LEVELS`, and the real limits last."""
    c, g = history.counts.shape
    found = np.full((c, g, len(LEVELS) + 1), np.nan, dtype=np.float32)
    every = -(-history.samples // _ENOUGH)
    for i, j in np.argwhere(history.counts).tolist():
        seen = history.value[i, j, ::every]
        seen = seen[~np.isnan(seen)]
        found[i, j, -1] = 1.0
        # What others declare has no levels.
        if len(seen) and history.declared is None:
            level = np.quantile(seen, LEVELS)
            far = level - np.median(seen) > _LEAST_ROOM * np.abs(level)
            found[i, j, :-1] = np.where(far & (level > 0.0), level, np.nan)
    return found


def draw_places(
    lines: Lines,
    history: History,
    levels: Array,
    sought: tuple[BreachRule, Onsets],
    *,
    chance: np.random.Generator,
    most: int,
    between: tuple[int, int],
) -> Places:
    """Draw places of which it is known what followed.

    Args:
        lines: Of the history.
        history: See `History`.
        levels: See `levels_of`.
        sought: What an onset is, and those of the fleet.
        chance: Draws.
        most: About so many rows (gauges at places), at most.
        between: First sample, and the one before which all of them and what follows must lie.
    """
    rule, onsets = sought
    c = len(levels)
    first, end = between
    longest = lines.spans.horizons[-1]
    stop = max(end - longest, first)
    span = stop - first
    sets = [
        (i, k)
        for i in range(c)
        for k in range(levels.shape[2])
        if not np.isnan(levels[i, :, k]).all()
    ]
    # Thin everything alike where even the usual share is too much.
    rows = sum(int((~np.isnan(levels[i, :, k])).sum()) for i, k in sets)
    expected = rows * span / _EVERY_CALM * 1.6
    thin = min(1.0, most / max(expected, 1.0))
    drawn: list[Places] = []
    for i, k in sets:
        level = levels[i, :, k]
        if history.declared is None:
            following, is_free = _onsets(lines, history, level, i, rule, end)
        else:
            following, is_free = _declared(onsets, level, i, end)
        told = np.where(following == NEVER, NEVER, following - np.arange(end)[None])
        soonest = told.min(axis=0)[first:stop]
        sight = _sight(history, onsets, i, end)
        usable = np.asarray(is_free.any(axis=0))[first:stop]
        # It must be known what followed within one horizon at least.
        usable &= (soonest <= longest) | (sight[first:stop] >= lines.spans.horizons[0])
        keep = np.where(
            soonest <= lines.spans.horizons[0],
            1.0,
            np.where(soonest <= longest, 1.0 / _EVERY_NEAR, 1.0 / _EVERY_CALM),
        )
        keep *= thin
        taken = np.flatnonzero((chance.random(span) < keep) & usable)
        at = taken + first
        drawn.append(
            Places(
                cell=np.full(len(at), i, dtype=np.int64),
                at=at,
                limit=np.where(is_free[:, at].T, level[None], np.nan),
                ahead=told[:, at].T,
                sight=sight[at],
                weight=(_counted(history, i, at) / keep[taken]).astype(np.float32),
            )
        )
    names = ("cell", "at", "limit", "ahead", "sight", "weight")
    return Places(**{name: np.concatenate([getattr(p, name) for p in drawn]) for name in names})


def _sight(history: History, onsets: Onsets, cell: int, end: int) -> NDArray[np.int32]:
    """[T], how far ahead it is known that nothing came: not past silence nor an intervention."""
    silent = np.append(np.flatnonzero(onsets.blind[cell, :end]), NEVER)
    now = np.arange(end)
    ahead = silent[np.searchsorted(silent[:-1], now, side="right")] - now - 1
    return np.where(history.censored[cell, :end], 0, ahead).astype(np.int32)


def _counted(history: History, cell: int, at: Index) -> Array | float:
    """What each sample stands for besides itself."""
    return 1.0 if history.weight is None else history.weight[cell, at]


def _onsets(
    lines: Lines, history: History, level: Array, cell: int, rule: BreachRule, end: int
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """[G, T], of the gauges of a cell: the next onset, and whether there is something to say."""
    g = lines.gauges
    following = np.full((g, end), NEVER, dtype=np.int32)
    is_free = np.zeros((g, end), dtype=bool)
    gap, quiet = history.steps(rule.merge_gap_s), round(rule.quiet_s / history.step_s)
    known = max(end - rule.sustain + 1, 0)
    for j in np.flatnonzero(~np.isnan(level)).tolist():
        row = cell * g + j
        found = (following[j, :known], is_free[j, :known])
        held = hold(lines.x[row : row + 1], rule.sustain)[0, :known]
        next_onsets(held, float(level[j]), (rule.sustain, gap, quiet), found)
        is_free[j] &= ~np.isnan(lines.x[row, :end])
    return following, is_free


def _declared(
    onsets: Onsets, level: Array, cell: int, end: int
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """The same of what was declared, which every gauge may tell of."""
    begins = np.append(onsets.of_cell(cell), NEVER)
    upcoming = begins[np.searchsorted(begins[:-1], np.arange(end), side="right")]
    shape = (len(level), end)
    following = np.broadcast_to(np.minimum(upcoming, NEVER).astype(np.int32), shape)
    is_free = onsets.scored[cell, :end] & ~np.isnan(level)[:, None]
    return np.where(following < end, following, NEVER).astype(np.int32), is_free
