"""This module is when things happened: a breach began, a cell was relieved, and for no reason.

*Onset* is read from the twin that nobody relieved. *Relieved* means that a cell's share fell
more than a fifth under what it had. An evacuation is *false* when it begins outside the window
of every fault of that cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from foreshard.lab.records import Records, judge
from foreshard.model.errors import LabError
from foreshard.model.workload import RequestClass

__all__ = [
    "Limits",
    "Lives",
    "Shares",
    "breaches",
    "false_evacuations",
    "forward_sum",
    "onset_s",
    "relieved_s",
    "sustained",
]

BIN_S = 1.0

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What counts as a breach.

    Attributes:
        slow_ratio: More than this share of a class over its objective is a p99 breach.
        failed_ratio: More than this share of a class failed.
        least: And at least so many requests, or one straggler would be a breach.
        window_s: Whole seconds over which requests are counted, from each moment onwards:
            the onset is then never dated later than the first request that suffered.
        sustain_s: Whole seconds for which it holds.
        relief_ratio: Share a cell loses before it counts as relieved.
    """

    slow_ratio: float = 0.01
    failed_ratio: float = 0.01
    least: int = 2
    window_s: int = 2
    sustain_s: int = 3
    relief_ratio: float = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Lives:
    """Which processes of a fleet ran, sampled about once a second.

    Attributes:
        t_s: float64 [time], rising, from the start of the run.
        up: bool [time, cell].
    """

    t_s: npt.NDArray[np.float64]
    up: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.up.ndim != 2 or len(self.up) != len(self.t_s):
            raise LabError(f"lives: up has shape {self.up.shape}, t_s has {len(self.t_s)} moments")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """What was routed where, as Foreshard had it live.

    Attributes:
        t_s: float64 [time], rising, from the start of the run; each row holds until the next.
        share: float64 [time, class, cell], fractions of the class's demand, over all origins.
    """

    t_s: npt.NDArray[np.float64]
    share: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.share.ndim != 3 or len(self.share) != len(self.t_s):
            raise LabError(
                f"shares: share has shape {self.share.shape}, t_s has {len(self.t_s)} moments"
            )

    def of_cells(self, rates: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Share of all requests per cell, [time, cell], under class rates [class]."""
        blend = rates / max(float(rates.sum()), 1e-12)
        return np.asarray(np.einsum("tkc,k->tc", self.share, blend), dtype=np.float64)


def breaches(
    records: Records, classes: Sequence[RequestClass], cells: int, *, limits: Limits
) -> npt.NDArray[np.bool_]:
    """Whether each class at each cell was in breach in each second, [second, class, cell].

    Requests count at their scheduled moment; those whose cell is not known count nowhere.
    """
    known = records.finished()
    known = known.at(known.cell < cells)
    verdict = judge(known, classes)
    seconds = int(known.t_s[-1] // BIN_S) + 1 if len(known) else 0
    shape = (seconds, len(classes), cells)

    def counted(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        of = known.at(mask)
        second = (of.t_s // BIN_S).astype(np.intp)
        flat = np.ravel_multi_index((second, of.request_class, of.cell), shape)
        per_second = np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape)
        return forward_sum(per_second.astype(np.float64), limits.window_s)

    if not len(known):
        return np.zeros(shape, dtype=np.bool_)
    total = counted(np.ones(len(known), dtype=np.bool_))
    slow, failed = counted(verdict.slow), counted(verdict.failed)
    over = (slow > limits.slow_ratio * total) & (slow >= limits.least)
    over |= (failed > limits.failed_ratio * total) & (failed >= limits.least)
    return over


def onset_s(
    over: npt.NDArray[np.bool_],
    lives: Lives | None,
    cells: Sequence[int],
    window_s: tuple[float, float],
    *,
    limits: Limits,
) -> float | None:
    """First moment in a window at which one of the cells began a breach, or was dead.

    Args:
        over: From `breaches`, of the reactive twin.
        lives: Of the reactive twin; None = not known.
        cells: The cells of the fault.
        window_s: From and to, seconds from the start of the run.
        limits: Only `sustain_s` is read.
    """
    found: list[float] = []
    start, end = window_s
    one = over[:, :, list(cells)]
    held = sustained(one, limits.sustain_s)
    seconds = np.flatnonzero(held.any(axis=(1, 2))) * BIN_S
    # The second in which the fault begins counts; its start may lie just before it.
    inside = seconds[(seconds > start - BIN_S) & (seconds < end)]
    if len(inside):
        found.append(max(start, float(inside[0])))
    if lives is not None:
        dead = ~lives.up[:, list(cells)].all(axis=1)
        moments = lives.t_s[dead & (lives.t_s >= start) & (lives.t_s < end)]
        if len(moments):
            found.append(float(moments[0]))
    return min(found, default=None)


def relieved_s(
    shares: Shares,
    cells: Sequence[int],
    rates: npt.NDArray[np.float64],
    window_s: tuple[float, float],
    *,
    limits: Limits,
) -> float | None:
    """First moment at which all the cells had lost more than a fifth of their share.

    Args:
        shares: Of the steered fleet.
        cells: The cells of the fault.
        rates: Requests a second by class, [class]; 0 for classes that the fault leaves alone.
        window_s: From the first moment at which there was a reason, to the end.
        limits: Only `relief_ratio` is read.

    Returns:
        None when one of them never was, or nothing is known from before the window.
    """
    start, end = window_s
    before = np.flatnonzero(shares.t_s <= start)
    if not len(before):
        return None
    own = shares.of_cells(rates)[:, list(cells)]
    floor = (1.0 - limits.relief_ratio) * own[before[-1]]
    inside = (shares.t_s >= start) & (shares.t_s < end)
    moments = [shares.t_s[inside & (own[:, i] < floor[i])] for i in range(len(cells))]
    if any(len(each) == 0 for each in moments):
        return None
    return max(float(each[0]) for each in moments)


def false_evacuations(
    shares: Shares,
    rates: npt.NDArray[np.float64],
    excused: Mapping[int, Sequence[tuple[float, float]]],
    *,
    limits: Limits,
) -> int:
    """How often a cell was relieved without a fault.

    A cell's due is its median share over time. It counts once per fall under four fifths of
    that; a fall that begins in an excused stretch is none, however long it lasts.

    Args:
        shares: Of the steered fleet.
        rates: Requests a second by class, [class].
        excused: Stretches in which there was a reason, by cell index.
        limits: Only `relief_ratio` is read.
    """
    if not len(shares.t_s):
        return 0
    own = shares.of_cells(rates)
    # One row a second, so that a plan counts for as long as it was live.
    seconds = np.arange(shares.t_s[0], shares.t_s[-1] + 2.0 * BIN_S, BIN_S)
    live = own[np.searchsorted(shares.t_s, seconds, side="right") - 1]
    low = own < (1.0 - limits.relief_ratio) * np.median(live, axis=0)
    falls = low & ~np.vstack([np.zeros((1, low.shape[1]), dtype=np.bool_), low[:-1]])
    return sum(
        not any(start <= shares.t_s[row] < end for start, end in excused.get(int(cell), ()))
        for row, cell in np.argwhere(falls)
    )


def forward_sum(counts: npt.NDArray[np.float64], window: int) -> npt.NDArray[np.float64]:
    """Sum over each second and the ones after it, along the first axis."""
    total = np.zeros_like(counts)
    for ahead in range(window):
        total += _shifted(counts, ahead)
    return total


def sustained(over: npt.NDArray[np.bool_], seconds: int) -> npt.NDArray[np.bool_]:
    """Where something holds from a second on for so many, along the first axis."""
    held = np.ones_like(over)
    for ahead in range(seconds):
        held &= _shifted(over, ahead)
    return held


def _shifted(rows: npt.NDArray[T], ahead: int) -> npt.NDArray[T]:
    """Each row replaced by the one `ahead` rows later, zero past the end."""
    moved = np.zeros_like(rows)
    moved[: max(0, len(rows) - ahead)] = rows[ahead:]
    return moved
