"""This module is the metric history on the disk, brought back as a history or a memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from foreshard.adapters.store import segment
from foreshard.adapters.store.reading import SqliteReader
from foreshard.adapters.store.schema import FILE_NAME
from foreshard.adapters.store.segments import segments_in, spans_of
from foreshard.app.places import history_dir, state_dir
from foreshard.config import Settings
from foreshard.forecast.censoring import (
    by_coin,
    carried_shares,
    censored_by,
    is_relieved,
    weights_of,
)
from foreshard.forecast.history import History
from foreshard.forecast.layout import Rows, laid_out, with_siblings
from foreshard.forecast.onset import BreachRule, find_onsets
from foreshard.forecast.past import Past
from foreshard.forecast.reel import bytes_of_sample
from foreshard.model.errors import ForecastError, StoreError
from foreshard.model.plan import IntentSpan

__all__ = [
    "Portion",
    "Record",
    "intents_of",
    "portion_of",
    "read_back",
    "recall",
    "recorded",
    "relieved_in",
    "rule_of",
    "siblings_of",
]

# What training takes for each byte of the record it learns from: features, labels, copies.
BYTES_PER_BYTE = 5.0
# A record is not made shorter than this before cells are left out.
LEAST_RECORD_S = 7 * 86_400.0

Refused = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """What part of a record is learned from.

    Attributes:
        begins_s: Steps before it are left out.
        cells: So many are kept.
        because: What was left out, in words; "" = nothing.
    """

    begins_s: float
    cells: int
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A history to learn from.

    Attributes:
        history: Itself.
        portion: What was left out of it for want of memory, in words; "" = nothing.
    """

    history: History
    portion: str


def siblings_of(settings: Settings) -> Mapping[str, int]:
    """By cell that has siblings, the number of their group: one region, one sort of hardware."""
    count = Counter((cell.region, cell.hardware) for cell in settings.cells)
    number = {group: n for n, group in enumerate(sorted(count))}
    return {
        cell.name: number[group]
        for cell in settings.cells
        if count[group := (cell.region, cell.hardware)] > 1
    }


def recall(
    past: Past,
    settings: Settings,
    *,
    since_s: float,
    refused: Refused,
    until_s: float = np.inf,
    only: frozenset[str] | None = None,
) -> None:
    """Fill a memory with what lies on the disk, as far as it is newer than what it holds.

    Args:
        past: The memory.
        settings: Of the Foreshard whose history it is.
        since_s: Older steps are left out.
        refused: Told why a file is skipped.
        until_s: Later steps are left out.
        only: Cells that are kept; None = all.
    """
    newest_s = past.ends_s if past.ends_s is not None else -np.inf
    begins_s = max(since_s, newest_s + 0.5 * past.step_s)
    files = []
    for each in segments_in(history_dir(settings), refused=refused):
        if each.last_s < begins_s or each.first_s > until_s:
            continue
        if each.step_s != past.step_s:
            refused(
                f"history {each.path}: holds steps of {each.step_s:g} s, wanted are "
                f"{past.step_s:g} s (history.step_s)"
            )
            continue
        files.append(each)
    for rows in spans_of(tuple(files), refused=refused):
        # Files may overlap after a kill between making one of many and deleting the many.
        done_s = past.ends_s if past.ends_s is not None else -np.inf
        since_s = max(begins_s, done_s + 0.5 * past.step_s)
        part = _part(rows, (rows.time_s >= since_s) & (rows.time_s <= until_s), only)
        if len(part.time_s):
            past.extend(laid_out(part))


def recorded(settings: Settings, *, until_s: float, refused: Refused) -> Record:
    """The metric history as a record to learn from, within the memory that training may take.

    Args:
        settings: Of the Foreshard whose history it is.
        until_s: Later steps are left out.
        refused: Told why a file is skipped.

    Raises:
        StoreError: There is nothing, or nothing that can be read.
        ForecastError: Not even two cells fit into the memory.
    """
    record = read_back(
        settings, until_s=until_s, refused=refused, reach_s=settings.training.reach_s
    )
    told = _told_of_acting(record.history, _intents_or_none(settings, refused), settings)
    return replace(record, history=told)


def read_back(
    settings: Settings,
    *,
    until_s: float,
    refused: Refused,
    reach_s: float,
    first: frozenset[str] = frozenset(),
) -> Record:
    """The metric history as it was kept, within the memory that training may take.

    Args:
        settings: Of the Foreshard whose history it is.
        until_s: Later steps are left out.
        refused: Told why a file is skipped.
        reach_s: So far back at most.
        first: Cells that are kept before others, where not all fit.

    Raises:
        StoreError: There is nothing, or nothing that can be read.
        ForecastError: Not even two cells fit into the memory.
    """
    directory = history_dir(settings)
    files = [
        each
        for each in segments_in(directory)
        if each.step_s == settings.history.step_s and each.first_s <= until_s
    ]
    if not files:
        raise StoreError(
            f"history {directory}: there is nothing to learn from yet; the engine keeps a step "
            f"every {settings.history.step_s:g} s (history.most_mb)"
        )
    newest = next(spans_of(tuple(files[-1:]), refused=lambda _: None), None)
    if newest is None:
        raise StoreError(f"history {files[-1].path}: the newest file cannot be read")
    # Not from now: who was away for a month learns from the month before.
    ends_s = min(until_s, files[-1].last_s)
    begins_s = max(files[0].first_s, ends_s - reach_s)
    portion = portion_of(
        begins_s,
        ends_s,
        cells=len(newest.cells),
        gauges=len(newest.gauges),
        settings=settings,
    )
    past = Past(
        step_s=settings.history.step_s,
        most_bytes=2**62,
        reach_s=ends_s - portion.begins_s + 2.0 * settings.history.step_s,
        siblings=siblings_of(settings),
    )
    recall(
        past,
        settings,
        since_s=portion.begins_s,
        refused=refused,
        until_s=until_s,
        only=_drawn(newest.cells, portion.cells, settings.training.seed, first),
    )
    history = past.history()
    if history is None:
        raise StoreError(f"history {directory}: no file can be read")
    return Record(history=with_siblings(history, siblings_of(settings)), portion=portion.because)


def rule_of(settings: Settings) -> BreachRule:
    """What a failure is in the history of a configuration."""
    training = settings.training
    return BreachRule(
        sustain=training.sustain, merge_gap_s=training.merge_gap_s, quiet_s=training.quiet_s
    )


def intents_of(settings: Settings) -> tuple[IntentSpan, ...]:
    """What forecasts asked for, as the store keeps it.

    Raises:
        StoreError: There is no store, or it is damaged, older or newer.
    """
    with SqliteReader(state_dir(settings)) as reader:
        return reader.intents()


def relieved_in(history: History) -> NDArray[np.bool_]:
    """[C, T], where work was off a cell: it was out of service, or did less than it used to."""
    return history.censored | is_relieved(carried_shares(history.load))


def _intents_or_none(settings: Settings, refused: Refused) -> tuple[IntentSpan, ...]:
    """The same for whoever can do without, and says so."""
    if not (state_dir(settings) / FILE_NAME).exists():
        return ()
    try:
        return intents_of(settings)
    except StoreError as error:
        refused(f"{error}; what was withheld at random is not weighed")
        return ()


def _told_of_acting(
    history: History, spans: tuple[IntentSpan, ...], settings: Settings
) -> History:
    """A history in which what acting changed is marked and weighed."""
    reach = max(history.steps(h) for h in settings.forecast.horizons_s)
    alone, chosen = by_coin(spans, history)
    relieved = relieved_in(history) | chosen
    censored = censored_by(relieved, reach=reach)
    if not alone and not censored.any():
        return replace(history, censored=censored)
    onsets = find_onsets(history, rule_of(settings))
    weight = weights_of(alone, relieved, onsets, chosen=chosen, reach=reach)
    return replace(history, censored=censored, weight=weight)


def portion_of(
    begins_s: float, ends_s: float, *, cells: int, gauges: int, settings: Settings
) -> Portion:
    """The largest part of a record for which training has memory.

    Raises:
        ForecastError: Not even two cells fit.
    """
    step_s, most_mb = settings.history.step_s, settings.training.memory_mb
    each = BYTES_PER_BYTE * bytes_of_sample(1, gauges)
    fits = most_mb * 1e6 / each
    samples = max(1.0, (ends_s - begins_s) / step_s)
    if cells * samples <= fits:
        return Portion(begins_s=begins_s, cells=cells, because="")
    least = min(samples, LEAST_RECORD_S / step_s)
    kept = max(least, min(samples, fits / cells))
    number = min(cells, int(fits / kept))
    if number < min(2, cells):
        raise ForecastError(
            f"training: {min(2, cells)} cells of {gauges} gauges over "
            f"{kept * step_s / 86_400:.1f} days need more than {most_mb:g} MB; allow more "
            "(training.memory_mb)"
        )
    words = []
    if kept < samples:
        days = (kept * step_s / 86_400, samples * step_s / 86_400)
        words.append(f"the newest {days[0]:.1f} of {days[1]:.1f} days")
    if number < cells:
        words.append(f"{number} of {cells} cells, drawn by the seed")
    return Portion(
        begins_s=ends_s - kept * step_s,
        cells=number,
        because=f"{', '.join(words)}: {most_mb:g} MB (training.memory_mb) hold no more",
    )


def _part(rows: segment.Rows, use: NDArray[np.bool_], only: frozenset[str] | None) -> Rows:
    if only is not None:
        use = use & np.isin(rows.cell, [i for i, name in enumerate(rows.cells) if name in only])
    there = np.unique(rows.cell[use])
    index = np.zeros(len(rows.cells), dtype=np.int64)
    index[there] = np.arange(len(there))
    return Rows(
        cells=tuple(rows.cells[i] for i in there.tolist()),
        cell=index[rows.cell[use]],
        time_s=rows.time_s[use],
        step_s=rows.step_s,
        gauges={name: column[use] for name, column in rows.gauges.items()},
        scales_with_load=rows.scales_with_load,
        load=rows.load[use],
        up_s=rows.up_s[use],
        censored=rows.censored[use],
    )


def _drawn(
    names: tuple[str, ...], count: int, seed: int, first: frozenset[str]
) -> frozenset[str] | None:
    """So many names, the same for the same fleet and seed; None = all of them, and any other."""
    if count >= len(names):
        return None
    order = np.random.default_rng(seed).permutation(len(names))
    drawn = sorted((names[i] for i in order.tolist()), key=lambda name: name not in first)
    return frozenset(drawn[:count])
