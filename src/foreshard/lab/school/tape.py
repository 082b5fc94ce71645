"""This module is days put together from hours: lessons where they fall, and calm between them.

Most of what a fleet lives through is calm, and one calm minute is like another at the same phase
of the demand's cycle. So hours of calm are not played: each minute of them is drawn from those of
a calm stretch that was played, the whole fleet at once, at the nearest phase. Lessons stand as
they were played, at moments at which the demand has the phase that it had in them. The cycle goes
on without a break into the trial, which begins at phase 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.history import History
from foreshard.lab.simulation.world import RAN_BEFORE_S
from foreshard.model.errors import LabError

__all__ = ["Days", "composed"]

Ints = NDArray[np.int64]
# Of a phase, so many of the nearest calm samples are drawn from.
ALIKE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """Which days are wanted; times are of the fleet's own clock.

    Attributes:
        start_s: When the trial begins, and when each stretch began to be played: phase 0.
        lasts_s: From the first sample to the trial.
        rest_s: The last of it, in which there is no lesson.
        lesson_s: Length of a lesson; they were played one after the other.
        period_s: Of the demand's cycle.
        calm_period_s: The same in the calm stretch, which may have been played faster.
    """

    start_s: float
    lasts_s: float
    rest_s: float
    lesson_s: float
    period_s: float
    calm_period_s: float


def composed(
    calm: History, played: History, days: Days, *, chance: np.random.Generator
) -> History:
    """The days before a trial, up to the last step that is over when it begins.

    Args:
        calm: A stretch in which nothing befell the fleet.
        played: All lessons, one after the other.
        days: See `Days`.
        chance: Draws the calm samples.

    Raises:
        LabError: The lessons do not fit into the days.
    """
    step_s = calm.step_s
    # The trial's first look is some seconds before its start.
    end = int(np.floor(days.start_s / step_s - 0.1)) + 1
    first = end - round(days.lasts_s / step_s)
    number = np.arange(first, end, dtype=np.int64)
    of_calm = _alike(calm, number * step_s - days.start_s, days, chance)
    value, load = calm.value[:, :, of_calm], calm.load[:, of_calm]
    fresh_s = np.full(value[:, 0].shape, np.nan)
    own = _ordered(played, calm)
    for lesson, place in _places(played, days, first=first, last=end):
        many = lesson.stop - lesson.start
        there = slice(place, place + many)
        value[:, :, there], load[:, there] = own[:, :, lesson], played.load[:, lesson]
        # Older than the lesson is older than all that is told of it.
        since_s = step_s * np.arange(1, many + 1)
        up_s = played.up_s[:, lesson]
        fresh_s[:, there] = np.where(up_s < since_s, up_s, np.nan)
    # The fleet of a trial was started an hour before it.
    anew_s = number * step_s - (days.start_s - RAN_BEFORE_S)
    fresh_s = np.where((anew_s >= 0.0) & (anew_s < step_s), anew_s, fresh_s)
    return replace(
        calm,
        begins_s=first * step_s,
        value=value,
        load=load,
        up_s=_ages(fresh_s, step_s),
        censored=np.zeros(load.shape, dtype=bool),
        counts=np.asarray(~np.isnan(value).all(axis=2)),
    )


def _alike(
    calm: History, at_s: NDArray[np.floating], days: Days, chance: np.random.Generator
) -> Ints:
    """For each moment the index of a calm sample of about its phase."""
    # The first sample is of a fleet that just began.
    able = np.arange(min(1, calm.samples - 1), calm.samples)
    there = np.mod((calm.time_s()[able] - days.start_s) / days.calm_period_s, 1.0)
    wanted = np.mod(at_s / days.period_s, 1.0)
    far = np.abs(wanted[:, None] - there[None])
    far = np.minimum(far, 1.0 - far)
    nearest = np.argsort(far, axis=1, kind="stable")[:, :ALIKE]
    pick = chance.integers(nearest.shape[1], size=len(nearest))
    return np.asarray(able[nearest[np.arange(len(nearest)), pick]], dtype=np.int64)


def _places(played: History, days: Days, *, first: int, last: int) -> Sequence[tuple[slice, int]]:
    """Of each lesson its samples, and the index of the day's sample that it begins at."""
    step_s = played.step_s
    whole = int(np.floor((played.time_s()[-1] - days.start_s) / days.lesson_s + 0.01))
    free = (last - first) - round(days.rest_s / step_s)
    every = free / max(whole, 1)
    found: list[tuple[slice, int]] = []
    after = 0
    for lesson in range(whole):
        begin = played.sample_of(days.start_s + lesson * days.lesson_s) + 1
        stop = played.sample_of(days.start_s + (lesson + 1) * days.lesson_s) + 1
        number = round(played.begins_s / step_s) + begin
        # A place at which the demand has the phase that it had: whole cycles away.
        wanted = first + round((lesson + 0.5) * every - (stop - begin) / 2.0)
        cycles = round((wanted - number) * step_s / days.period_s)
        place = number + round(cycles * days.period_s / step_s) - first
        while place < after:
            cycles += 1
            place = number + round(cycles * days.period_s / step_s) - first
        after = place + stop - begin
        if after > free:
            raise LabError(
                f"school: lesson {lesson + 1} of {whole} does not fit before the last "
                f"{days.rest_s:g} s of {days.lasts_s:g} s, at a cycle of {days.period_s:g} s; "
                "take more days or fewer lessons"
            )
        found.append((slice(begin, stop), place))
    return found


def _ordered(history: History, like: History) -> NDArray[np.float32]:
    """[C, G, T] in the order of another's gauges; what it does not have is not heard."""
    found = np.full((*like.value.shape[:2], history.samples), np.nan, dtype=np.float32)
    for place, name in enumerate(like.gauges):
        if name in history.gauges:
            found[:, place] = history.value[:, history.gauges.index(name)]
    return found


def _ages(fresh_s: NDArray[np.float64], step_s: float) -> NDArray[np.float32]:
    """[C, T] since the last start, of samples that tell it and of those that follow them."""
    age_s = np.full(len(fresh_s), RAN_BEFORE_S)
    told = np.empty(fresh_s.shape, dtype=np.float32)
    for t in range(fresh_s.shape[1]):
        age_s = np.where(np.isnan(fresh_s[:, t]), age_s + step_s, fresh_s[:, t])
        told[:, t] = age_s
    return told
