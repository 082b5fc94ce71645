"""This module is how far two groupings of the same things agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from math import comb

from foreshard.model.errors import LabError

__all__ = ["adjusted_rand"]


def adjusted_rand(one: Sequence[Hashable], other: Sequence[Hashable]) -> float:
    """Adjusted Rand index (Hubert and Arabie 1985): 1 = the same, about 0 = chance.

    >>> adjusted_rand("aabb", [1, 1, 2, 2]), round(adjusted_rand("aabb", [1, 2, 1, 2]), 9)
    (1.0, -0.5)

    Raises:
        LabError: They are not of the same length.
    """
    if len(one) != len(other):
        raise LabError(f"groupings of {len(one)} and {len(other)} things cannot agree")

    def pairs(groups: Sequence[Hashable]) -> int:
        return sum(comb(n, 2) for n in Counter(groups).values())

    both = pairs(list(zip(one, other, strict=True)))
    first, second, whole = pairs(one), pairs(other), comb(len(one), 2)
    chance = first * second / whole if whole else 0.0
    most = (first + second) / 2.0
    return 1.0 if most == chance else (both - chance) / (most - chance)
