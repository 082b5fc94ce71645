"""This module is which costs the data tell, and which they tell only together.

The question is put in relative terms: how far off may each cost be, as a part of itself? A class
that is unknown though its rate goes its own way has too little traffic. One that is unknown
because its rate goes with those of others (its variance inflation is 10 and more; Marquardt 1970)
cannot be told apart from some: the directions of cost in which the data are weak span a space,
and classes that its projector ties to each other get one cost together. (The projector, not the
singular vectors: two separate pairs that are equally weak have singular vectors in any mixture.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreshard.profile.nonnegative import RIDGE, solve_nonnegative

__all__ = ["Told", "tell"]

Array = NDArray[np.float64]

# A cost is told when its standard deviation is at most this part of it; costs below a part of the
# mean one are light, however exactly.
TOLD, LIGHT = 0.3, 0.3
# Ties of the projector below this are chance.
TIED = 0.1
# Times that the variance of a cost is larger for the others' being unknown too.
INFLATED = 10.0
# 90 % of a normal law lie within so many standard deviations.
REACH_SDS = 1.6449


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Told:
    """Costs of one resource.

    Attributes:
        cost: [K] NaN = not told.
        low: [K] 5 % bound; 0 where not told.
        high: [K] 95 % bound.
        guess: [K] what fits best, also where that is little more than a guess; NaN = of a group.
        groups: Classes that are told only together, and what a mean request of theirs costs:
            (classes, cost, low, high).
        rare: Classes with too little traffic to tell.
    """

    cost: Array
    low: Array
    high: Array
    guess: Array
    groups: tuple[tuple[tuple[int, ...], float, float, float], ...]
    rare: tuple[int, ...]


def tell(inverse: Array, pull: Array, rates: Array, *, typical: float) -> Told:
    """Solve for what can be told.

    Args:
        inverse: [K, K] inverse covariance of costs.
        pull: [K] with `inverse @ costs == pull` where all can be told.
        rates: [K] mean rate in the fleet.
        typical: Cost of a mean request, > 0.
    """
    size = pull.size
    trust = np.eye(size) / (10.0 * typical) ** 2
    guess = solve_nonnegative(inverse + trust, pull + typical * np.diagonal(trust))
    scale = np.maximum(guess, LIGHT * typical)
    relative = scale[:, None] * inverse * scale
    rare = _is_rare(relative)
    joined, alone = _joined(relative, rare), rare
    # Costs of groups, each as one; what is still weak among these joins as well.
    for _ in range(size):
        merge = _merge(joined, size)
        asked = np.maximum(merge.T @ rates, 1e-12)
        mean = np.maximum(merge.T @ (rates * scale) / asked, LIGHT * typical)
        relative_of = mean[:, None] * (merge.T @ inverse @ merge) * mean
        alone = _is_rare(relative_of)
        again = _joined(relative_of, alone)
        if len(again) == len(joined):
            again = _paired(relative_of, alone)
        if len(again) == len(joined):
            break
        joined = [tuple(sorted(k for i in group for k in joined[i])) for group in again]
    vague = np.zeros(size, dtype=np.bool_)
    for g, group in enumerate(joined):
        vague[list(group)] = len(group) == 1 and alone[g]
    return _solved(inverse, pull, rates, joined, vague, typical)


def _is_rare(relative: Array) -> NDArray[np.bool_]:
    """[K] whose cost is unknown, and not for going with the others."""
    spread = _spread(relative)
    return np.asarray((spread > TOLD**2) & (spread * np.diagonal(relative) < INFLATED))


def _spread(relative: Array) -> Array:
    """[K] variance of each, as a part of itself."""
    known = np.diagonal(relative) > 0.0
    least = np.where(known, 1e-9 * _own(relative), 1.0)
    return np.asarray(np.diagonal(np.linalg.inv(relative + np.diag(least))))


def _own(relative: Array) -> Array:
    """[K] what is known of each if all others were; 1 where that is nothing."""
    own = np.diagonal(relative)
    return np.asarray(np.where(own > 0.0, own, 1.0))


def _paired(relative: Array, rare: NDArray[np.bool_]) -> list[tuple[int, ...]]:
    """The weakest class that is not rare, with the one it is most like; the others alone.

    A class with a small part in a weak direction is as unknown, though nothing ties it.
    """
    size = len(relative)
    own = _own(relative)
    weak = np.where(rare, 0.0, _spread(relative))
    k = int(weak.argmax())
    if size < 2 or weak[k] <= TOLD**2:
        return [(i,) for i in range(size)]
    alike = np.abs(relative[k]) / np.sqrt(own)
    alike[k] = -1.0
    pair = tuple(sorted((k, int(alike.argmax()))))
    return [pair, *((i,) for i in range(size) if i not in pair)]


def _joined(relative: Array, rare: NDArray[np.bool_]) -> list[tuple[int, ...]]:
    """Components of classes that are tied in the weak directions; a rare class stands alone."""
    size = len(relative)
    free = np.flatnonzero(~rare)
    values, vectors = np.linalg.eigh(relative[np.ix_(free, free)])
    weak = vectors[:, values < TOLD**-2]
    tie = np.abs(weak @ weak.T) > TIED
    left, groups = set(range(size)), []
    while left:
        first = min(left)
        group, edge = {first}, [first]
        while edge:
            k = edge.pop()
            if rare[k]:
                continue
            row = tie[int(np.searchsorted(free, k))]
            new = {int(free[i]) for i in np.flatnonzero(row)} - group
            group |= new
            edge.extend(new)
        left -= group
        groups.append(tuple(sorted(group)))
    return groups


def _merge(groups: list[tuple[int, ...]], size: int) -> Array:
    """[K, G] 1 where a class is of a group."""
    merge = np.zeros((size, len(groups)))
    for g, group in enumerate(groups):
        merge[list(group), g] = 1.0
    return merge


def _solved(
    inverse: Array,
    pull: Array,
    rates: Array,
    groups: list[tuple[int, ...]],
    rare: NDArray[np.bool_],
    typical: float,
) -> Told:
    merge = _merge(groups, rates.size)
    trust = np.eye(len(groups)) / (10.0 * typical) ** 2
    inverse_of = merge.T @ inverse @ merge + trust
    cost = solve_nonnegative(inverse_of, merge.T @ pull + typical * np.diagonal(trust))
    certain = inverse_of + np.diag(RIDGE * np.diagonal(inverse_of))
    reach = REACH_SDS * np.sqrt(np.diagonal(np.linalg.inv(certain)))
    low, high = np.maximum(cost - reach, 0.0), cost + reach
    size = rates.size
    told = Told(
        cost=np.full(size, np.nan),
        low=np.zeros(size),
        high=np.full(size, np.inf),
        guess=np.full(size, np.nan),
        groups=tuple(
            (group, float(cost[g]), float(low[g]), float(high[g]))
            for g, group in enumerate(groups)
            if len(group) > 1
        ),
        rare=tuple(np.flatnonzero(rare).tolist()),
    )
    for g, group in enumerate(groups):
        k = group[0]
        if len(group) == 1:
            told.high[k], told.guess[k] = high[g], cost[g]
            if not rare[k]:
                told.cost[k], told.low[k] = cost[g], low[g]
            continue
        # At most all that the group uses is used by one of it.
        whole = float(rates[list(group)].sum()) * high[g]
        for k in group:
            told.high[k] = whole / rates[k] if rates[k] > 0.0 else np.inf
    return told
