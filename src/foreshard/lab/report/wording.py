"""This module is how figures are said: short, with their unit, a dash for what is not known."""

from __future__ import annotations

from foreshard.lab.scores import FORESHARD, REACTIVE

__all__ = ["DASH", "SIDES", "count", "milliseconds", "percent", "seconds", "spaced"]

DASH = "-"
SIDES = (REACTIVE, FORESHARD)


def count(value: float | None) -> str:
    """A number of things.

    >>> count(34819.0), count(0.25), count(None)
    ('34,819', '0.25', '-')
    """
    if value is None:
        return DASH
    return f"{value:,.0f}" if value >= 10.0 or value == round(value) else f"{value:.2g}"


def percent(ratio: float, digits: int = 3) -> str:
    """A ratio in percent, with so many digits that small ones are not 0.

    >>> percent(0.5), percent(0.00123), percent(0.0), percent(0.9996)
    ('50 %', '0.123 %', '0 %', '99.96 %')
    """
    value = 100.0 * ratio
    if 99.0 < value < 100.0:
        return f"{value:.2f} %"
    return f"{value:.{digits}g} %" if value < 100.0 else f"{value:,.0f} %"


def seconds(value: float | None) -> str:
    """A moment or a stretch."""
    return DASH if value is None else f"{value:.1f} s"


def milliseconds(value: float | None) -> str:
    """A latency."""
    return DASH if value is None else f"{value:,.0f} ms" if value >= 100.0 else f"{value:.3g} ms"


def spaced(identifier: str) -> str:
    """An identifier as words: `slow_dependency` -> `slow dependency`."""
    return identifier.replace("_", " ")
