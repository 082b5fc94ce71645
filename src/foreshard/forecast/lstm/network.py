"""This module is the network: a long short-term memory over a row's samples, a head of hazards.

Hochreiter & Schmidhuber (1997) with a forget gate (Gers et al. 2000). At each sample the head
gives the hazard of each interval ahead, `softplus >= 0`; their running sum is the cumulative
hazard L, and P(limit reached within the interval's end) = 1 - exp(-L) rises with the horizon
because nothing else is possible. It is fitted by the likelihood of the interval in which the limit
was reached first (discrete-time survival; censored intervals drop out).

Values near the limit decide, and a smooth network sees little difference between 0.97 and 1.00 of
it. So such channels are shown a second time as places on a scale of steps (piecewise linear
encoding; Gorishniy et al. 2022), which is what let the network draw level with trees.

Several nets that differ in nothing but their first weights are trained side by side, and their
hazards are averaged: one alone depends much on chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.lstm.channel import NEAR, SEASONS
from foreshard.forecast.lstm.course import WEIGHTS

__all__ = ["Params", "encoded", "hazards", "initial", "loss_of", "said"]

Params = dict[str, jax.Array]

_FINE = np.array([0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.2], dtype=np.float32)
_COARSE = np.array([0.7, 0.85, 0.95, 1.0, 1.1], dtype=np.float32)
_MOST_SPREADS = 6.0
_LEAST_HAZARD = 1e-7
# exp(-5) a net's interval: rare, as breaches are.
_FIRST_BIAS = -5.0


def initial(
    chance: np.random.Generator, *, nets: int, channels: int, hidden: int, intervals: int
) -> Params:
    """Weights to begin with."""
    width = channels + len(NEAR) * (len(_FINE) - 1) + len(SEASONS) * (len(_COARSE) - 1)

    def drawn(inputs: int, outputs: int, scale: float = 1.0) -> jax.Array:
        spread = scale / float(inputs) ** 0.5
        return jnp.asarray(chance.normal(0.0, spread, (nets, inputs, outputs)).astype(np.float32))

    # Remember, until told otherwise (Jozefowicz et al. 2015).
    gate = np.zeros((nets, 4 * hidden), dtype=np.float32)
    gate[:, hidden : 2 * hidden] = 1.0
    return {
        "into": drawn(width, 4 * hidden),
        "across": drawn(hidden, 4 * hidden),
        "gate": jnp.asarray(gate),
        "deep": drawn(hidden + width, hidden),
        "deep_bias": jnp.asarray(np.zeros((nets, hidden), dtype=np.float32)),
        "out": drawn(hidden, intervals, 0.1),
        "out_bias": jnp.asarray(np.full((nets, intervals), _FIRST_BIAS, dtype=np.float32)),
    }


def hazards(net: Params, z: jax.Array, told: int, keep: jax.Array | None = None) -> jax.Array:
    """Cumulative hazards of one net.

    Args:
        net: Its weights, without the axis of nets.
        z: float32 [N, S, E], encoded channels.
        told: W, the last samples, at which something is said.
        keep: float32 [N, 1, H + E], dropout mask over what the head reads; None = none.

    Returns:
        float32 [N, W, J], rising along J.
    """
    hidden = net["across"].shape[0]
    driven = jnp.einsum("nse,eg->sng", z, net["into"]) + net["gate"]

    def step(
        state: tuple[jax.Array, jax.Array], drive: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        shown, kept = state
        entry, forget, cell, exit_ = jnp.split(drive + shown @ net["across"], 4, axis=-1)
        kept = jax.nn.sigmoid(forget) * kept + jax.nn.sigmoid(entry) * jnp.tanh(cell)
        shown = jax.nn.sigmoid(exit_) * jnp.tanh(kept)
        return (shown, kept), shown

    nothing = jnp.zeros((z.shape[0], hidden))
    _, shown = jax.lax.scan(step, (nothing, nothing), driven)
    read = jnp.concatenate([jnp.swapaxes(shown[-told:], 0, 1), z[:, -told:]], axis=-1)
    if keep is not None:
        read = read * keep
    deep = jnp.tanh(read @ net["deep"] + net["deep_bias"])
    return jnp.cumsum(jax.nn.softplus(deep @ net["out"] + net["out_bias"]), axis=-1)


def encoded(x: jax.Array, centre: jax.Array, spread: jax.Array) -> jax.Array:
    """Channels [N, S, D] as the network reads them, [N, S, E]."""
    z = jnp.clip((x - centre) / spread, -_MOST_SPREADS, _MOST_SPREADS)
    parts = [z]
    for columns, edges in ((NEAR, _FINE), (SEASONS, _COARSE)):
        near = x[..., jnp.asarray(columns)][..., None]
        place = jnp.clip((near - edges[:-1]) / np.diff(edges), 0.0, 1.0)
        parts.append(place.reshape(*x.shape[:2], -1))
    return jnp.concatenate(parts, axis=-1)


def loss_of(
    nets: Params,
    z: jax.Array,
    reached: jax.Array,
    known: jax.Array,
    *,
    keep: jax.Array | None = None,
) -> jax.Array:
    """Negative log-likelihood of each sequence, summed over samples and intervals.

    Args:
        nets: K nets.
        z: float32 [N, S, E].
        reached: bool [N, W, J], the limit was reached by the end of the interval.
        known: float32 [N, W, J], for how many each counts; 0 = it is not known.
        keep: float32 [K, N, 1, H + E] or None.

    Returns:
        float32 [K, N].
    """
    told = reached.shape[1]
    if keep is None:
        rising = jax.vmap(lambda net: hazards(net, z, told))(nets)
    else:
        rising = jax.vmap(lambda net, mask: hazards(net, z, told, mask))(nets, keep)
    hazard = jnp.diff(rising, axis=-1, prepend=jnp.zeros_like(rising[..., :1]))
    before = jnp.concatenate([jnp.zeros_like(reached[..., :1]), reached[..., :-1]], axis=-1)
    happens = -jnp.log(-jnp.expm1(-jnp.maximum(hazard, _LEAST_HAZARD)))
    cost: jax.Array = jnp.where(before, 0.0, jnp.where(reached, happens, hazard)) * known
    return cost.sum(axis=(2, 3))


@partial(jax.jit, static_argnames="told")
def _said(net: Params, x: jax.Array, scale: tuple[jax.Array, jax.Array], told: int) -> jax.Array:
    return hazards(net, encoded(x, *scale), told)


def said(
    weights: Mapping[str, NDArray[np.float32]],
    x: NDArray[np.float32],
    *,
    centre: NDArray[np.float32],
    spread: NDArray[np.float32],
    told: int,
    at_once: int,
) -> NDArray[np.float32]:
    """Cumulative hazards of any number of sequences, mean over the nets.

    Sequences go through in blocks of one size, so that the result of one does not depend on how
    many others are asked for, and the network is compiled once.

    Args:
        weights: As in a snapshot, by the names in `WEIGHTS`.
        x: float32 [N, S, D].
        centre: float32 [D].
        spread: float32 [D], > 0.
        told: W.
        at_once: Size of a block.

    Returns:
        float32 [N, W, J].
    """
    # One after the other: side by side they are slower, as matrix products of small batches.
    nets = [
        {name: jnp.asarray(weights[name][k]) for name in WEIGHTS}
        for k in range(len(weights["out_bias"]))
    ]
    scale = (jnp.asarray(centre), jnp.asarray(spread))
    found = np.empty((len(x), told, weights["out_bias"].shape[1]), dtype=np.float32)
    block = np.zeros((at_once, *x.shape[1:]), dtype=np.float32)
    for first in range(0, len(x), at_once):
        some = x[first : first + at_once]
        block[: len(some)] = some
        z = jnp.asarray(block)
        each = np.stack([np.asarray(_said(net, z, scale, told)) for net in nets])
        found[first : first + at_once] = each.mean(axis=0)[: len(some)]
    return found
