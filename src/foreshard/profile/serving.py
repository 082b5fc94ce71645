"""This module is what each cell can really serve now, told by its queue rather than by its word.

A server that still has room answers as fast as it ever did, and its throughput says only that it
can do *at least* that. One that has no room left builds a queue, and then its throughput *is* its
capacity. So a ceiling is measured where a queue is seen, and felt for where none is: it rises
while the queue stays short of what it may be and falls when it passes it, in proportion (as TCP
Vegas does with a path: Brakmo & Peterson 1995; Netflix's concurrency limits do the same), so that
the knee is found without pushing a cell over it.

The queue is what is open beyond what requests at hand explain (Little 1961: open = rate x time),
as a time: how long the cell would need for it. What *all* classes of a cell wait in common is
its queue; what one class waits beyond that is its own (a slow dependency, a pool), and bounds
that class in that cell alone. A class that waits in most cells is not cured by moving: there
only what is served bounds it.

What waits is a queue only if it answers to what is sent (see `profile.response`), and what most
cells wait without being busy, inside all objectives, is what this service takes today. A gauge
at its limit is no evidence alone: whatever uses what is left over stands there all day.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from foreshard.model.errors import ForecastError, InvalidValueError
from foreshard.profile.look import Look
from foreshard.profile.response import Cut, Response, start_response, update_response

__all__ = ["ServingState", "start_serving", "update_serving"]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

# A wait beyond this part of the tightest objective (of a class: of its own) is a queue that hurts
# soon; below the second part a cell may be given more.
PATIENCE_RATIO, CALM_RATIO = 0.25, 0.4
# Fewer answers tell no mean.
LEAST_COUNT = 3.0
# Less than one answer in thirty years is none; as a divisor it would overflow.
LEAST_COUNTED_RPS = 1e-9
# What an unhurried request takes is followed down within seconds, up within minutes; and it is
# never more than this part of the objective, or a service found overloaded would seem normal.
BASE_DOWN_S, BASE_UP_S, MOST_BASE_RATIO = 5.0, 300.0, 0.5
# So busy a cell queues for what its gauges show; between the two they and the queue disagree.
PEGGED, UNSURE = 0.95, 0.85
# A cell without an idle moment whose answers take noticeably longer (this part of calm) is full.
IDLE_FREE, NOTICED = 0.98, 0.25
# Requests that explain less than this of what is used are not what fills a gauge, if none waits.
EXPLAINED = 0.85
# More is asked than before: then most cells may well queue at once.
LEAP_RATIO = 1.15
# Deviations of a Poisson count of open requests that are no queue.
MARGIN_SDS = 2.0
# A queue so many times beyond patience is believed at the first look, else at the second.
PLAIN = 2.5
LOOKS = 2
# Answers that are only slower, without such a queue, are believed later: at .92 of what a few
# servers can do, seconds without an idle moment are chance. What is seen of it is forgotten
# within work / (servers x (1 - utilisation)^2), about a second there (Whitt 1989), so that five
# in a row are rare. A cell that is really full grows a queue meanwhile, and is cut for that.
LOOKS_SLOWER = 5
# Growth a second of a ceiling that is tried by load, and of one that is not.
TRIED_GAIN, UNTRIED_GAIN = 0.15, 0.05
TRIED_RATIO = 0.6
# Nothing was tried while nobody looked: a gap counts for growth as two ticks of the usual second.
MOST_GROWN_S = 2.0
# A cell that waits a little is near its knee, or only slower than the others: it rises so slowly.
LEAST_PACE = 0.1
# A measured ceiling takes half of what a look says: throughput of one second is noisy.
BLEND = 0.5
# A ceiling this much above what the gauges offer no longer says anything.
RELEASE_RATIO = 1.1
# No cell and no class is held so low that nobody would see it recover. The longer a class was
# found late, the more seldom it is asked whether it still is, down to this part: it pays for each.
LEAST_RATIO, LEAST_RPS = 0.02, 0.5
ASKED_LOOKS, SELDOM = 20.0, 0.1
# A class that suffers alone loses up to this part of what it gets a look. It recovers at the
# second pace, or at the third while it gets less than a tenth of what it gets elsewhere, and is
# free again above a multiple of that.
CLASS_LOSS, CLASS_GAIN, SMALL_GAIN, SMALL_RATIO, CLASS_RELEASE = 0.75, 0.25, 1.0, 0.1, 1.2
# A failed request counts as one that came so many objectives late, if so many fail a look.
FAILED_OBJECTIVES, LEAST_FAILED = 2.0, 3.0
# A class of which less than this part is answered, on average over some seconds, is held up.
SERVED_RATIO, SERVED_S = 0.9, 5.0
# A queue is given so long to drain, by giving the cell less until it has.
DRAIN_S, MOST_DRAIN = 1.0, 0.6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ServingState:
    """What is known so far; never changed in place.

    Attributes:
        objective_s: [K].
        base_s: [K] time of an unhurried request, NaN = not known.
        ceiling: [C] work a second, inf = nothing says less than the gauges.
        queue_s: [C] how long a cell needs for what waits in it.
        response: Of what waits, to less being sent.
        waits: [C] looks in a row with a queue that hurts.
        is_soaked: [C] whose gauges stand at their limit without a wait, and not for requests.
        class_ceiling: [C, K] requests a second, inf = the class is free.
        own_s: [C, K] what a class waits beyond the others there, NaN = not known.
        suffers: [C, K] looks in a row.
        answered: [K] part of what was sent that was answered, smoothed.
        asked: Work a second that was let through to all cells, smoothed; NaN = not known.
    """

    objective_s: Array
    base_s: Array
    ceiling: Array
    queue_s: Array
    response: Response
    waits: Array
    is_soaked: Flags
    class_ceiling: Array
    own_s: Array
    suffers: Array
    answered: Array
    asked: float

    def effective(self, capacity: Array) -> Array:
        """[C] work a second that a plan may count on, while queues drain.

        Args:
            capacity: [C] that the gauges offer.
        """
        drain = np.clip(self.queue_s / DRAIN_S, 0.0, MOST_DRAIN)
        hurts = self.queue_s > CALM_RATIO * PATIENCE_RATIO * self.objective_s.min()
        least = LEAST_RATIO * capacity
        return np.maximum(
            np.minimum(capacity, self.ceiling) * (1.0 - np.where(hurts, drain, 0.0)), least
        )


def start_serving(objective_s: Array, *, cells: int) -> ServingState:
    """A state in which every cell can do what its gauges say.

    Args:
        objective_s: [K], > 0.
        cells: How many.

    Raises:
        InvalidValueError: An objective is not > 0.
    """
    if not (objective_s.size and np.all(objective_s > 0.0)):
        raise InvalidValueError(f"serving: objectives {objective_s.tolist()} must be > 0")
    shape = (cells, objective_s.size)
    return ServingState(
        objective_s=objective_s,
        base_s=np.full(objective_s.size, np.nan),
        ceiling=np.full(cells, np.inf),
        queue_s=np.zeros(cells),
        response=start_response(cells),
        waits=np.zeros(cells),
        is_soaked=np.zeros(cells, dtype=np.bool_),
        class_ceiling=np.full(shape, np.inf),
        own_s=np.full(shape, np.nan),
        suffers=np.zeros(shape),
        answered=np.ones(objective_s.size),
        asked=float("nan"),
    )


def update_serving(state: ServingState, look: Look, *, dt_s: float) -> ServingState:
    """Take in one look; a cell that was not heard keeps what was known of it.

    Raises:
        ForecastError: Shapes do not match the state, or `dt_s` is not > 0.
    """
    if look.rate_rps.shape != state.own_s.shape or not dt_s > 0.0:
        raise ForecastError(
            f"serving: look has shape {look.rate_rps.shape}, dt_s {dt_s}: must be "
            f"{state.own_s.shape} and > 0"
        )
    heard: Flags = np.asarray(np.isfinite(look.rate_rps).all(axis=1))
    rate = np.where(heard[:, None], np.nan_to_num(look.rate_rps), 0.0)
    told = np.isfinite(look.latency_s) & heard[:, None]
    held = np.isfinite(state.class_ceiling)
    counted = told & ((rate * dt_s >= LEAST_COUNT) | held)
    # A class that is held in most cells has no others to learn from.
    apart = held & (2 * held.sum(axis=0) <= heard.sum())
    base_s = _based(state, np.where(counted & ~apart, look.latency_s, np.nan), dt_s=dt_s)
    usual_s = np.where(np.isfinite(base_s), base_s, MOST_BASE_RATIO * state.objective_s)
    beyond = np.where(counted, np.maximum(look.latency_s - usual_s, 0.0), np.nan)
    waited = _least(beyond)
    own_s = beyond - waited[:, None]
    failing = rate * look.failed_ratio * dt_s >= LEAST_FAILED
    lost = np.where(failing, FAILED_OBJECTIVES * look.failed_ratio * state.objective_s, 0.0)
    state = replace(state, base_s=base_s)
    look = replace(look, rate_rps=rate)
    slack_s = float((state.objective_s - usual_s).min())
    line = _line(state, look, usual_s + np.nan_to_num(own_s), waited, slack_s)
    state = _with_queue(state, look, line, heard, dt_s)
    return _with_classes(state, look, own_s + lost, heard, dt_s)


def _based(state: ServingState, latency_s: Array, *, dt_s: float) -> Array:
    """[K] time of an unhurried request: the lower quartile of the cells, followed downwards."""
    known = np.isfinite(latency_s)
    heard = known.any(axis=0)
    ordered = np.sort(np.where(known, latency_s, np.inf), axis=0)
    quartile = ordered[np.maximum(known.sum(axis=0) - 1, 0) // 4, np.arange(heard.size)]
    quartile = np.where(heard, quartile, state.base_s)
    span_s = np.where(quartile < state.base_s, BASE_DOWN_S, BASE_UP_S)
    followed = state.base_s - np.expm1(-dt_s / span_s) * (quartile - state.base_s)
    base = np.where(np.isnan(state.base_s), quartile, followed)
    return np.asarray(np.minimum(base, MOST_BASE_RATIO * state.objective_s))


def _least(values: Array) -> Array:
    """[C] the least known value of each row, NaN = none."""
    least = np.where(np.isnan(values), np.inf, values).min(axis=1)
    return np.where(np.isinf(least), np.nan, least)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Line:
    """What stands in line at C cells.

    Attributes:
        served: Work a second that was answered well.
        wait_s: What a request waits beyond the usual, the cell's lag included.
        waited_s: What its answers say of that, beyond the lag.
        queue_s: How long the cell needs for what waits.
    """

    served: Array
    wait_s: Array
    waited_s: Array
    queue_s: Array


def _line(
    state: ServingState, look: Look, expected_s: Array, waited: Array, slack_s: float
) -> _Line:
    """What waits, and how much of it is believed to be a queue.

    Args:
        state: Before.
        look: With rates of 0 where nothing was heard.
        expected_s: [C, K] what a request takes with nobody before it.
        waited: [C] what all classes waited beyond that, NaN = nothing was answered.
        slack_s: What may be waited within all objectives.
    """
    leapt = _asked(look) > LEAP_RATIO * state.asked
    rate, lag_s = look.rate_rps, state.response.known_lag_s
    served = (rate * (1.0 - np.nan_to_num(look.failed_ratio))) @ look.work
    total = rate.sum(axis=1)
    is_some = total > LEAST_COUNTED_RPS
    some = np.where(is_some, total, 1.0)
    work = np.where(is_some, rate @ look.work, look.work.mean()) / some
    explained = (rate * expected_s).sum(axis=1)
    capacity = np.minimum(look.capacity, state.ceiling)
    open_ = look.in_flight - explained - MARGIN_SDS * np.sqrt(explained) - 1.0
    by_answers = np.nan_to_num(waited) * total
    waiting = np.maximum(np.where(np.isnan(open_), by_answers, open_), 0.0)
    wait_s = np.maximum(waiting / some, np.nan_to_num(waited))
    # The first look at a cell cannot tell that anything grew.
    lag_s = np.where(np.isnan(state.response.lag_s), np.clip(wait_s, 0.0, slack_s), lag_s)
    queue_s = np.maximum(waiting - lag_s * total, 0.0) * work / capacity
    waited_s = np.maximum(np.nan_to_num(waited) - lag_s, 0.0)

    patience = PATIENCE_RATIO * float(state.objective_s.min())
    stuck = (total <= 0.0) & (look.in_flight > LEAST_COUNT)
    lags = (look.busy < UNSURE) & (waited_s > CALM_RATIO * patience)
    idle_waits = ~(look.busy >= UNSURE) & (queue_s > CALM_RATIO * patience) & (wait_s < slack_s)
    common = 2 * int(idle_waits.sum()) > int((total > 0.0).sum()) and not leapt
    credible = (look.busy >= PEGGED) | np.isnan(look.busy) | lags
    credible = stuck | (credible & ~(idle_waits & common))
    return _Line(
        served=served,
        wait_s=wait_s,
        waited_s=waited_s,
        queue_s=np.where(credible, queue_s, 0.0),
    )


def _asked(look: Look) -> float:
    """Work a second that is let through to all cells; where unknown, what is answered."""
    answered = look.rate_rps.sum(axis=0)
    return float(np.where(np.isnan(look.sent_rps), answered, look.sent_rps) @ look.work)


def _with_queue(
    state: ServingState, look: Look, line: _Line, heard: Flags, dt_s: float
) -> ServingState:
    patience = PATIENCE_RATIO * float(state.objective_s.min())
    calm_s = CALM_RATIO * patience
    before = state.ceiling
    queue = np.where(heard, line.queue_s, state.queue_s)
    slower = (look.busy >= IDLE_FREE) & (line.waited_s > NOTICED * calm_s)
    used = np.nan_to_num(look.busy) * look.capacity
    is_soaked = (look.busy >= PEGGED) & (line.wait_s <= NOTICED * calm_s)
    is_soaked &= (line.served > 0.0) & (line.served <= EXPLAINED * used)
    hurts = heard & ((queue > patience) | slower)
    waits = np.where(heard, np.where(hurts, state.waits + 1.0, 0.0), state.waits)
    needed = np.where(queue > patience, LOOKS, LOOKS_SLOWER)
    full = hurts & ((waits >= needed) | (queue > PLAIN * patience))
    wants_less = heard & (full | (np.isfinite(before) & (queue > calm_s)))
    cut = Cut(
        wait_s=line.wait_s,
        served=line.served,
        heard=heard,
        is_wanted=wants_less,
        is_backed=look.busy >= PEGGED,
    )
    response, may_cut = update_response(state.response, cut, dt_s=dt_s)
    proven = np.minimum(line.served, look.capacity)
    measured = np.where(np.isinf(before), proven, before)
    measured = measured + BLEND * (proven - measured)
    tried = line.served >= TRIED_RATIO * before
    room = np.clip(1.0 - line.waited_s / calm_s, LEAST_PACE, 1.0)
    pace = np.clip(1.0 - queue / calm_s, -1.0, room)
    gain = np.where(tried, TRIED_GAIN, UNTRIED_GAIN) * min(dt_s, MOST_GROWN_S) * pace
    felt = np.maximum(before * (1.0 + gain), proven)
    after = np.where(full, measured, np.where(heard & np.isfinite(before), felt, before))
    after = np.where(wants_less & ~may_cut, before, after)
    after = np.maximum(after, LEAST_RATIO * look.capacity)
    released = after > RELEASE_RATIO * look.capacity
    return replace(
        state,
        queue_s=queue,
        response=response,
        waits=waits,
        is_soaked=np.where(heard, is_soaked, state.is_soaked),
        ceiling=np.where(released, np.inf, after),
    )


def _with_classes(
    state: ServingState, look: Look, own_s: Array, heard: Flags, dt_s: float
) -> ServingState:
    rate, sent_rps = look.rate_rps, look.sent_rps
    least = np.full(sent_rps.size, LEAST_RPS) if look.least_rps is None else look.least_rps
    asked = np.clip(ASKED_LOOKS / np.maximum(state.suffers, 1.0), SELDOM, 1.0)
    least = np.maximum(np.nan_to_num(least), LEAST_RPS * asked)
    patience = PATIENCE_RATIO * state.objective_s
    known = np.isfinite(own_s)
    late = known & (own_s > patience)
    suffers = np.where(known, np.where(late, state.suffers + 1.0, 0.0), state.suffers)
    is_common = 2 * late.sum(axis=0) > known.sum(axis=0)
    part = rate.sum(axis=0) / np.where(sent_rps > 0.0, sent_rps, np.nan)
    news = np.where(np.isnan(part), state.answered, np.minimum(part, 1.0 / SERVED_RATIO))
    answered = state.answered - np.expm1(-dt_s / SERVED_S) * (news - state.answered)
    followed = state.asked - float(np.expm1(-dt_s / SERVED_S)) * (_asked(look) - state.asked)
    held_up = np.maximum(answered, news) < SERVED_RATIO
    # Late in most cells and answered: there is nothing to be won by giving any of them less.
    late = late & (~is_common | held_up)
    sure = late & (suffers >= LOOKS)
    before = state.class_ceiling
    loss = np.clip(0.5 * (np.nan_to_num(own_s) / patience - 1.0), 0.0, CLASS_LOSS)
    served = np.maximum(np.minimum(before, rate), least)
    less = np.maximum(served * (1.0 - loss), least)
    fallen = np.where(is_common, served, less)
    most = rate.max(axis=0)
    small = before < SMALL_RATIO * most
    tried = rate >= TRIED_RATIO * np.where(np.isfinite(before), before, 0.0)
    gain = np.where(tried, np.where(small, SMALL_GAIN, CLASS_GAIN), UNTRIED_GAIN)
    # What is late all the same may have a limit that is near: it is felt for slowly.
    gain = np.where(is_common & (own_s > patience), UNTRIED_GAIN, gain)
    # Held in most cells it has none that is better: what it waits there is no reason to wait.
    everywhere = is_common | (2 * np.isfinite(before).sum(axis=0) > heard.sum())
    pace = np.where(everywhere, 1.0, np.clip(1.0 - np.nan_to_num(own_s) / patience, 0.0, 1.0))
    # Where nothing is sent nothing is known, and never would be.
    unsent = heard[:, None] & (rate <= 0.0)
    rises = (known | unsent) & ~late & np.isfinite(before)
    grown = before * (1.0 + gain * pace * min(dt_s, MOST_GROWN_S))
    after = np.where(sure, fallen, np.where(rises, grown, before))
    # Judged by the ceiling that was in force: one that binds everywhere is what `most` shows.
    released = rises & (before > CLASS_RELEASE * np.maximum(most, least))
    return replace(
        state,
        own_s=own_s,
        suffers=suffers,
        answered=answered,
        asked=_asked(look) if np.isnan(state.asked) else followed,
        class_ceiling=np.where(released, np.inf, after),
    )
