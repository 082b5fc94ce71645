"""This module is the one place where shares become integers; a drained cell gets none.

Largest remainder (Hamilton's method), in exact arithmetic: every share gets the whole part of
its quota, and the units that are left go to the largest remainders. A share of zero has no
remainder, so nothing ever falls to it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

from foreshard.model.errors import InvalidValueError

__all__ = ["apportion", "divided", "quotas"]


def quotas(shares: Mapping[str, float], total: int) -> Mapping[str, Fraction]:
    """The exact, fractional number of units that each share is worth.

    Args:
        shares: By name, in any common unit; finite, >= 0, not all zero.
        total: Units to hand out; >= 1.

    Raises:
        InvalidValueError: A share is negative or not finite, all are zero, or total < 1.
    """
    parts, whole = _parts(shares, total)
    return {name: Fraction(part * total, whole) for name, part in parts.items()}


def divided(shares: Mapping[str, float], total: int) -> Mapping[str, tuple[int, int]]:
    """`quotas` in integers: the whole units of each, and what remains in a unit common to all.

    Fractions would say the same, and take fifty times as long for a thousand cells.

    Args:
        shares: As in `quotas`.
        total: Units to hand out; >= 1.

    Raises:
        InvalidValueError: As in `quotas`.

    >>> divided({"a": 1, "b": 2}, total=100)
    {'a': (33, 1), 'b': (66, 2)}
    """
    parts, whole = _parts(shares, total)
    return {name: divmod(part * total, whole) for name, part in parts.items()}


def _parts(shares: Mapping[str, float], total: int) -> tuple[Mapping[str, int], int]:
    """Shares as integers in one unit, exactly, and their sum: every float is a ratio."""
    for name, share in shares.items():
        if not (math.isfinite(share) and share >= 0.0):
            raise InvalidValueError(f"share of {name!r} is {share}, must be finite and >= 0")
    if total < 1:
        raise InvalidValueError(f"apportion: total is {total}, must be at least 1")
    ratios = {name: share.as_integer_ratio() for name, share in shares.items()}
    unit = math.lcm(*(below for _, below in ratios.values()))
    parts = {name: above * (unit // below) for name, (above, below) in ratios.items()}
    whole = sum(parts.values())
    if not whole:
        raise InvalidValueError("apportion: all shares are zero, at least one must be > 0")
    return parts, whole


def apportion(shares: Mapping[str, float], total: int) -> Mapping[str, int]:
    """Hand out `total` whole units in proportion to shares, by largest remainder.

    Ties are broken by name. A zero share gets exactly 0; a positive share that is worth less
    than one unit gets one only if its remainder is among the largest, so it may get 0: raise
    `total` where that matters. A share that grows while the others stay never loses a unit,
    and a larger share never gets fewer units than a smaller one.

    Args:
        shares: By name, in any common unit (they need not sum to 1); finite, >= 0.
        total: Units to hand out; >= 1.

    Returns:
        Units by name, in the order of `shares`; they sum to `total` exactly.

    Raises:
        InvalidValueError: A share is negative or not finite, all are zero, or total < 1.

    >>> apportion({"a": 1, "b": 1, "c": 1, "drained": 0}, total=100)
    {'a': 34, 'b': 33, 'c': 33, 'drained': 0}
    """
    exact = divided(shares, total)
    units = {name: count for name, (count, _) in exact.items()}
    left = total - sum(units.values())
    by_remainder = sorted(exact, key=lambda name: (-exact[name][1], name))
    for name in by_remainder[:left]:
        units[name] += 1
    return units
