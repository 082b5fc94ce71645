"""This module is what the parts of a backtest must agree on with each other.

As in `config.consistency`, rules read plain values, each looks only at what it needs, and what
is missing or of the wrong kind is somebody else's finding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

from foreshard.config.consistency import Contradiction

__all__ = ["backtest_contradictions"]

Values = Mapping[str, Any]


def backtest_contradictions(values: Values) -> tuple[Contradiction, ...]:
    """Everything that does not fit together.

    Args:
        values: A backtest, as plain values; any part of it may be missing.
    """
    return tuple(found for rule in RULES for found in rule(values))


def _names(values: Values) -> Iterator[Contradiction]:
    seen: set[str] = set()
    for number, gauge in _gauges(values):
        name = gauge.get("name")
        if isinstance(name, str):
            if name in seen:
                says = f"is {name!r}, which stands above already: names must be unique"
                yield Contradiction(where=("gauges", number, "name"), says=says)
            seen.add(name)


def _target(values: Values) -> Iterator[Contradiction]:
    gauges = [gauge for _, gauge in _gauges(values)]
    has_limit = any(gauge.get("limit") is not None for gauge in gauges)
    if gauges and not has_limit and values.get("events") is None:
        says = "have no limit, so nothing can be reached: give one a limit, or say events"
        yield Contradiction(where=("gauges",), says=says)


def _steps(values: Values) -> Iterator[Contradiction]:
    step_s = values.get("step_s")
    if not _is_number(step_s) or step_s <= 0.0:
        return
    horizons = values.get("horizons_s")
    for number, horizon in enumerate(horizons if isinstance(horizons, list) else ()):
        if _is_number(horizon) and (horizon < step_s or abs(horizon / step_s % 1.0) > 1e-6):
            says = f"is {horizon:g}, must be a multiple of step_s ({step_s:g})"
            yield Contradiction(where=("horizons_s", number), says=says)
    for key in ("refit_s", "shared_incidents_s"):
        value = values.get(key)
        if _is_number(value) and value < step_s:
            says = f"is {value:g}, must be at least step_s ({step_s:g})"
            yield Contradiction(where=(key,), says=says)


def _rising(values: Values) -> Iterator[Contradiction]:
    for key in ("horizons_s", "false_alarms_per_cell_day"):
        told = values.get(key)
        numbers = [each for each in told if _is_number(each)] if isinstance(told, list) else []
        if numbers != sorted(set(numbers)):
            yield Contradiction(where=(key,), says=f"is {numbers}, must rise, each value once")


def _train(values: Values) -> Iterator[Contradiction]:
    train = values.get("train")
    if not isinstance(train, Mapping):
        return
    told = [key for key in ("fraction", "until") if train.get(key) is not None]
    if len(told) == 2:
        yield Contradiction(where=("train", "until"), says="is set beside fraction; keep one")
    elif not told:
        yield Contradiction(where=("train",), says="is empty: say fraction or until")


RULES = (_names, _target, _steps, _rising, _train)


def _gauges(values: Values) -> list[tuple[int, Values]]:
    found = values.get("gauges")
    if not isinstance(found, list):
        return []
    return [(n, each) for n, each in enumerate(found) if isinstance(each, Mapping)]


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
