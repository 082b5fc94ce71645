"""This module is how the network is fitted: Adam, a falling rate, and the moment to stop.

Kingma & Ba (2015) with decoupled weight decay (Loshchilov & Hutter 2019). What is kept is a
running mean of the weights rather than the last ones, judged after each pass on a later stretch of
history; a limit a little higher or lower than the true one is laid on each sequence at random.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.lstm.channel import OWN, STILL_AND_MOVED
from foreshard.forecast.lstm.course import Course
from foreshard.forecast.lstm.network import Params, encoded, initial, loss_of
from foreshard.forecast.lstm.task import Tasks

__all__ = ["Fitted", "fit_network"]

Values = NDArray[np.float32]

_MEAN, _SQUARE = 0.9, 0.99
_EPSILON = 1e-8
_LONGEST_GRADIENT = 1.0
_PROPORTIONAL = np.array([*OWN, *STILL_AND_MOVED])
# Limits laid on the later stretch to judge by: the true one, and one that is reached more often.
_JUDGED_AT = (1.0, 1.08)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A network, and how it came about.

    Attributes:
        weights: By name, nets along the first axis.
        centre, spread: float32 [D], of the channels.
        passes: After which it was best, counted from 1.
        later_loss: Of the later stretch then, a sequence; NaN where there was none.
    """

    weights: dict[str, Values]
    centre: Values
    spread: Values
    passes: int
    later_loss: float


def fit_network(
    tasks: Tasks,
    later: Tasks,
    course: Course,
    *,
    seed: int,
    told_of: Callable[[float], None],
) -> Fitted:
    """Fit to tasks and stop where it is best for later ones.

    Args:
        tasks: To learn from; not empty.
        later: To judge by; where it is empty all passes are made.
        course: How.
        seed: Of the first weights and of the order.
        told_of: The part that is done.
    """
    centre, spread = _scale_of(tasks)
    scale = (jnp.asarray(centre), jnp.asarray(spread))
    chance = np.random.default_rng(seed)
    params = initial(
        chance,
        nets=course.nets,
        channels=tasks.x.shape[-1],
        hidden=course.hidden,
        intervals=tasks.most.shape[-1],
    )
    nothing = {name: jnp.asarray(np.zeros(p.shape, np.float32)) for name, p in params.items()}
    state = _State(params, nothing, nothing, params)
    batches = -(-len(tasks) // course.batch)
    best, best_loss, best_pass = state.blended, np.inf, 0
    steps = 0
    for turn in range(course.passes):
        order = chance.permutation(batches * course.batch) % len(tasks)
        for b in range(batches):
            some = order[b * course.batch : (b + 1) * course.batch]
            batch = _batch(tasks, some, _shifts(chance, len(some), course))
            rate = 0.5 * course.rate * (1.0 + np.cos(np.pi * steps / (batches * course.passes)))
            steps += 1
            state = _step(
                state,
                batch,
                scale,
                _Pace(*(jnp.float32(x) for x in (rate, steps, course.decay, course.blend))),
                dropped=course.dropped,
            )
            told_of(steps / (batches * course.passes))
        if not len(later):
            best, best_pass = state.blended, turn + 1
            continue
        loss = _judged(state.blended, later, scale, course.batch)
        if loss < best_loss:
            best, best_loss, best_pass = state.blended, loss, turn + 1
        elif turn + 1 - best_pass >= course.patience:
            break
    told_of(1.0)
    return Fitted(
        weights={name: np.asarray(w) for name, w in best.items()},
        centre=centre,
        spread=spread,
        passes=best_pass,
        later_loss=best_loss if len(later) else float("nan"),
    )


# Centre and spread of the channels.
_Scale = tuple[jax.Array, jax.Array]


class _Batch(NamedTuple):
    """Tasks under some limit; see `Tasks`, and `loss_of` for what is known."""

    x: jax.Array
    reached: jax.Array
    known: jax.Array
    weight: jax.Array


class _State(NamedTuple):
    """Of Adam, and the running mean of the weights."""

    params: Params
    mean: Params
    square: Params
    blended: Params


class _Pace(NamedTuple):
    """Of one step; `turn` from 1."""

    rate: jax.Array
    turn: jax.Array
    decay: jax.Array
    blend: jax.Array


@partial(jax.jit, static_argnames="dropped")
def _step(state: _State, batch: _Batch, scale: _Scale, pace: _Pace, *, dropped: float) -> _State:
    z = encoded(batch.x, *scale)
    nets, hidden, _ = state.params["across"].shape
    kept = 1.0 - dropped
    key = jax.random.PRNGKey(pace.turn.astype(jnp.int32))
    keep = jax.random.bernoulli(key, kept, (nets, len(z), 1, hidden + z.shape[-1])) / kept

    def objective(params: Params) -> jax.Array:
        cost = loss_of(params, z, batch.reached, batch.known, keep=keep) * batch.weight
        # The nets do not know each other: the sum leaves each its own gradient.
        return cost.sum() / (batch.weight.sum() * batch.known.shape[1])

    gradient = jax.grad(objective)(state.params)
    squares = sum((g * g).sum(axis=tuple(range(1, g.ndim))) for g in gradient.values())
    shorter = jnp.minimum(1.0, _LONGEST_GRADIENT / jnp.sqrt(squares))
    params, mean, square, blended = {}, {}, {}, {}
    # The running mean begins as a plain one, so that the first weights are soon forgotten.
    blend = jnp.minimum(pace.blend, (pace.turn - 1.0) / pace.turn)
    for name, whole in gradient.items():
        g = whole * shorter.reshape(-1, *[1] * (whole.ndim - 1))
        mean[name] = _MEAN * state.mean[name] + (1.0 - _MEAN) * g
        square[name] = _SQUARE * state.square[name] + (1.0 - _SQUARE) * g * g
        step = mean[name] / (1.0 - _MEAN**pace.turn)
        step /= jnp.sqrt(square[name] / (1.0 - _SQUARE**pace.turn)) + _EPSILON
        params[name] = state.params[name] - pace.rate * (step + pace.decay * state.params[name])
        blended[name] = blend * state.blended[name] + (1.0 - blend) * params[name]
    return _State(params, mean, square, blended)


@jax.jit
def _cost(nets: Params, batch: _Batch, scale: _Scale) -> jax.Array:
    """float32 [N], weighted, mean over the nets."""
    cost = loss_of(nets, encoded(batch.x, *scale), batch.reached, batch.known)
    return cost.mean(axis=0) * batch.weight


def _judged(nets: Params, later: Tasks, scale: _Scale, size: int) -> float:
    """Mean loss of a sequence at each of the limits to judge by."""
    total = 0.0
    for factor in _JUDGED_AT:
        for first in range(0, len(later), size):
            some = np.arange(first, first + size)
            # The last batch is filled up, for the network is compiled for one size.
            batch = _batch(later, some % len(later), np.full(size, factor, dtype=np.float32))
            total += float(np.asarray(_cost(nets, batch, scale))[some < len(later)].sum())
    return total / (len(_JUDGED_AT) * float(later.weight.sum()))


def _shifts(chance: np.random.Generator, count: int, course: Course) -> Values:
    """By what the gauges of each sequence are multiplied, 1 for every third."""
    wide = np.log1p(course.shift)
    factor = np.exp(chance.uniform(-wide, wide, size=count))
    factor[chance.random(count) < 1.0 / 3.0] = 1.0
    return factor.astype(np.float32)


def _batch(tasks: Tasks, some: NDArray[np.int64], shift: Values) -> _Batch:
    """Some tasks as they would be, had the limits been lower by a factor."""
    x = tasks.x[some]
    x[:, :, _PROPORTIONAL] *= shift[:, None, None]
    quiet = tasks.lately[some] * shift[:, None] < 1.0
    return _Batch(
        jnp.asarray(x),
        jnp.asarray(tasks.most[some] * shift[:, None, None] >= 1.0),
        jnp.asarray((tasks.known[some] & quiet[:, :, None]) * tasks.counted[some][:, :, None]),
        jnp.asarray(tasks.weight[some]),
    )


def _scale_of(tasks: Tasks) -> tuple[Values, Values]:
    """Centre and spread of the channels over the last samples."""
    last = tasks.x[:, -tasks.most.shape[1] :].reshape(-1, tasks.x.shape[-1]).astype(np.float64)
    share = np.repeat(tasks.weight, tasks.most.shape[1]).astype(np.float64)
    share /= share.sum()
    centre = share @ last
    spread = np.sqrt(share @ (last - centre) ** 2)
    # A channel that hardly moves says nothing, and must not shout when it does.
    return centre.astype(np.float32), np.maximum(spread, 1e-2).astype(np.float32)
