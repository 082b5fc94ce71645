"""This module is how the hazard model is fitted: trees on all of the past, corrected by its end.

Trees that were grown on the earlier part of the history speak of the later part, twice, each time
of what came after all that they had seen. What became of it gives the corrections (`calibration`):
one of single gauges, before all levels, as real limits are met too seldom to learn from; and one
of any gauge, before the real limits. The trees that fly are then grown on all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.calibration import Correction, fit_correction, log_odds
from foreshard.forecast.feature.span import Spans
from foreshard.forecast.feature.table import Lines, describe, lines_of
from foreshard.forecast.hazard.forest import ROUNDS, Forest, grow
from foreshard.forecast.hazard.model import KIND, HazardModel, any_of, chosen
from foreshard.forecast.hazard.sample import LEVELS, Places, draw_places, levels_of
from foreshard.forecast.history import History
from foreshard.forecast.learner import Progress, ignore_progress
from foreshard.forecast.onset import BreachRule, Onsets, find_onsets, labels
from foreshard.forecast.swing import learn_response
from foreshard.model.errors import ForecastError

__all__ = ["HazardLearner"]

Array = NDArray[np.float32]
Scores = NDArray[np.float64]

# Parts of the history after which it is asked what the trees say of the next part.
_FOLDS = ((0.7, 0.85), (0.85, 1.0))
# Less history than this, in days, says nothing of days.
_LEAST_DAYS = 2.0
# Neighbouring samples say the same: half as many rows learned as well on the first half of real
# telemetry (docs/decisions/0017), and this bounds time and memory whatever the fleet.
_MOST_ROWS = 200_000
_FEWEST_ONSETS = 3
# Cells of a fold that `any` is corrected by, moments of each, and places in all: bounds memory.
_CELLS = 500
_MOMENTS = 2_000
_PLACES = 25_000


@dataclass(frozen=True, slots=True)
class _Shown:
    """Rows of a table that trees are grown on, with what became of them.

    Attributes:
        rows: [N, F].
        came_true: [H, N].
        known: [H, N], it is known what became of it.
        weight: [N].
        at: [N], samples.
    """

    rows: Array
    came_true: NDArray[np.bool_]
    known: NDArray[np.bool_]
    weight: Array
    at: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class HazardLearner:
    """Makes a `HazardModel`.

    Attributes:
        rounds: Trees of a horizon, >= 1.
    """

    rounds: int = ROUNDS
    name: ClassVar[str] = KIND

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise ForecastError(f"hazard: rounds is {self.rounds}, must be at least 1")

    def fit(
        self,
        history: History,
        rule: BreachRule,
        horizons_s: tuple[float, ...],
        *,
        seed: int,
        progress: Progress = ignore_progress,
    ) -> HazardModel:
        """See `Learner`.

        Raises:
            ForecastError: The history is too short, or no gauge ever rose towards a limit.
        """
        days = history.samples * history.step_s / 86_400.0
        if days < _LEAST_DAYS:
            raise ForecastError(
                f"hazard: there are {days:.1f} days of history, it takes at least {_LEAST_DAYS:g}"
            )
        if not history.counts.any():
            raise ForecastError("hazard: no gauge of any cell has a limit that counts")
        spans = Spans.of(history.step_s, horizons_s, rule.sustain)
        lines = lines_of(history, spans)
        onsets = find_onsets(history, rule)
        shown = _shown(lines, history, (rule, onsets), seed)
        progress(0.2)
        of_gauge, of_any = _corrections(lines, history, onsets, shown, (seed, self.rounds))
        progress(0.7)
        forests = _grown(shown, history.samples, (seed, self.rounds))
        if forests is None:
            raise ForecastError(
                f"hazard: in {days:.1f} days it is not known {_FEWEST_ONSETS} times that a gauge "
                "with a limit that counts rose to a level above its usual one, and as often that "
                "it did not; there is nothing to learn from"
            )
        progress(1.0)
        return HazardModel(
            horizons_s=horizons_s,
            sustain=rule.sustain,
            forests=forests,
            of_gauge=of_gauge,
            of_any=of_any,
            response=learn_response(history),
        )


def _shown(lines: Lines, history: History, sought: tuple[BreachRule, Onsets], seed: int) -> _Shown:
    """Everything that trees may be shown of a history."""
    spans = lines.spans
    places = draw_places(
        lines,
        history,
        levels_of(history),
        sought,
        chance=np.random.default_rng(seed),
        most=_MOST_ROWS,
        # The first day has no yesterday.
        between=(spans.day, history.samples),
    )
    return _rows_of(lines, places)


def _rows_of(lines: Lines, places: Places) -> _Shown:
    rows, came, known, weight, at = [], [], [], [], []
    at_once = 50_000
    horizons = np.array(lines.spans.horizons)
    for first in range(0, len(places.at), at_once):
        part = slice(first, first + at_once)
        limit = places.limit[part]
        table = describe(lines, places.cell[part], places.at[part], limit)
        told = ~np.isnan(limit)
        which = np.nonzero(told)[0]
        rows.append(table[told])
        came.append(places.ahead[part][told][None] <= horizons[:, None])
        known.append(came[-1] | (places.sight[part][which][None] >= horizons[:, None]))
        weight.append(places.weight[part][which])
        at.append(places.at[part][which])
    if not rows:
        return _Shown(
            np.zeros((0, 1), dtype=np.float32),
            np.zeros((len(horizons), 0), dtype=bool),
            np.zeros((len(horizons), 0), dtype=bool),
            np.zeros(0, dtype=np.float32),
            np.zeros(0, dtype=np.int64),
        )
    return _Shown(
        np.concatenate(rows),
        np.concatenate(came, axis=1),
        np.concatenate(known, axis=1),
        np.concatenate(weight),
        np.concatenate(at),
    )


def _grown(shown: _Shown, end: int, how: tuple[int, int]) -> tuple[Forest, ...] | None:
    """Trees for each horizon, from what was known at sample `end`; None = too little happened.

    `how` is the seed and the number of trees.
    """
    (seed, rounds), forests = how, []
    for i, came_true in enumerate(shown.came_true):
        # What counts for nothing is no onset to learn from either.
        used = np.flatnonzero((shown.at < end) & shown.known[i] & (shown.weight > 0.0))
        came = came_true[used]
        if min(came.sum(), len(came) - came.sum()) < _FEWEST_ONSETS:
            return None
        table, weight = chosen(shown.rows, i, used), shown.weight[used]
        forests.append(grow(table, came, weight, seed=seed, rounds=rounds))
    return tuple(forests)


def _corrections(
    lines: Lines, history: History, onsets: Onsets, shown: _Shown, how: tuple[int, int]
) -> tuple[Correction, Correction]:
    """The curves of single gauges and of any."""
    spans = lines.spans
    many, longest = len(spans.horizons), spans.horizons[-1]
    horizons = np.array(spans.horizons, dtype=np.float64)[:, None]
    truth = [labels(onsets, h) for h in spans.horizons]
    single: list[tuple[Scores, NDArray[np.bool_], Scores]] = []
    places: list[tuple[Scores, NDArray[np.bool_], Scores]] = []
    for begin, end in _FOLDS:
        first, last = round(begin * history.samples), round(end * history.samples)
        # What followed the last samples was not known yet.
        forests = _grown(shown, first - longest, how)
        if forests is None:
            continue
        later = (shown.at >= first) & (shown.at < last)
        raw = _spoken(forests, shown.rows[later])
        weight = shown.known[:, later] * shown.weight[later] / horizons
        single.append((raw, shown.came_true[:, later], weight))
        places.append(_any_later(lines, history, forests, (first, last), (onsets.scored, truth)))
    if not single:
        return Correction.none(many), Correction.none(many)
    z, came, weight = (np.concatenate(part, axis=1) for part in zip(*single, strict=True))
    # All the levels of a gauge are one story.
    of_gauge = fit_correction(log_odds(z), came, weight / len(LEVELS))
    raw, came, weight = (np.concatenate(part, axis=1) for part in zip(*places, strict=True))
    z = log_odds(any_of(of_gauge.apply(log_odds(raw))))
    return of_gauge, fit_correction(z, came, weight)


def _any_later(
    lines: Lines,
    history: History,
    forests: tuple[Forest, ...],
    between: tuple[int, int],
    truth: tuple[NDArray[np.bool_], list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]],
) -> tuple[Scores, NDArray[np.bool_], Scores]:
    """What trees say before the real limits of a later stretch: [H, N, G], truth and weight."""
    first, last = between
    scored, labelled = truth
    cells = np.unique(np.linspace(0, len(history.cells) - 1, _CELLS).astype(np.int64))
    every = max(-(-(last - first) // min(_MOMENTS, _PLACES // len(cells))), 1)
    moments = np.arange(first, last, every)
    cell, at = np.repeat(cells, len(moments)), np.tile(moments, len(cells))
    fit = scored[cell, at]
    cell, at = cell[fit], at[fit]
    limit = np.where(history.counts[cell], 1.0, np.nan).astype(np.float32)
    g = lines.gauges
    raw = np.full((len(forests), len(cell) * g), np.nan)
    told = np.flatnonzero(~np.isnan(limit).ravel())
    table = describe(lines, cell, at, limit)
    raw[:, told] = _spoken(forests, table.reshape(len(cell) * g, table.shape[2])[told])
    came = np.stack([y[cell, at] for y, _ in labelled])
    counted = 1.0 if history.weight is None else history.weight[cell, at]
    weight = np.stack(
        [
            known[cell, at] * counted * every / h
            for (_, known), h in zip(labelled, lines.spans.horizons, strict=True)
        ]
    )
    unsaid = np.isnan(raw.reshape(len(forests), len(cell), g)).all(axis=(0, 2))
    weight[:, unsaid] = 0.0
    return raw.reshape(len(forests), len(cell), g), came, weight


def _spoken(forests: tuple[Forest, ...], rows: Array) -> Scores:
    """[H, N] of rows [N, F]."""
    return np.stack([forest.predict(chosen(rows, i)) for i, forest in enumerate(forests)])
