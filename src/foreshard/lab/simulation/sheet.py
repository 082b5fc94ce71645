"""This module is how grown faults become the effects of one moment: each kind writes its own.

Speeds multiply, waits add, shares combine as 1 - prod(1 - p). Leaks and files add up: bytes do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from foreshard.lab.scenario.fault import Kind
from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.effects import Bools, Effects, Floats, calm
from foreshard.lab.simulation.strands import Strands

__all__ = ["Composer", "Sheet"]

MEMORY, DISK, DESCRIPTORS, THREADS = range(4)
# A share this near to all of it is all of it.
WHOLE: Final = 1.0 - 1e-7


class Sheet:
    """The arrays of one moment; one is copied from the calm when somebody writes to it."""

    def __init__(self, rest: Mapping[str, Floats]) -> None:
        self._rest = rest
        self._own: dict[str, Floats] = {}

    def __getitem__(self, name: str) -> Floats:
        """The array, to be read."""
        return self._own.get(name, self._rest[name])

    def __contains__(self, name: str) -> bool:
        """Whether anybody wrote to it."""
        return name in self._own

    def own(self, name: str) -> Floats:
        """The array, to be written to."""
        if name not in self._own:
            self._own[name] = self._rest[name].copy()
        return self._own[name]


Write = Callable[[Sheet, Strands, slice, Floats], None]


class Composer:
    """Turns growth into effects.

    Args:
        scenario: What a cell is at rest.
        strands: Of its faults.
    """

    def __init__(self, scenario: Scenario, strands: Strands) -> None:
        self._strands = strands
        make = scenario.make
        self._limits = (make.connections, make.descriptors, make.threads)
        self._writes = np.array([offer.work.writes for offer in scenario.offers], dtype=np.bool_)
        cells, classes = len(scenario.sites), len(scenario.offers)
        at_rest = calm(cells, classes, len(scenario.origins), connections=make.connections)
        self._base = at_rest.used[0]
        ones, zeros = np.ones(cells), np.zeros(cells)
        self._rest = {
            "speed": at_rest.speed,
            "wait": at_rest.wait_s,
            "fine": 1.0 - at_rest.error_ratio,
            "flowing": ones,
            "reachable": ones,
            "leaked": zeros,
            "filled": zeros,
            "pool": ones,
            "descriptors": ones,
            "threads": ones,
            "demand": at_rest.demand,
            "cool": np.ones(1),
            "heard": ones,
            "fluid": ones,
            "scale": at_rest.scale,
            "skew": at_rest.skew_s,
        }
        self._calm = at_rest

    def sheet(self, growth: Floats, *, now_s: float) -> Sheet:
        """Let every kind write.

        Args:
            growth: [S] 0 where a fault is not.
            now_s: Kinds whose time it is not are left out.
        """
        strands, sheet = self._strands, Sheet(self._rest)
        value = growth * strands.amplitude
        for kind, rows in strands.kinds.items():
            first_s, last_s = strands.window_s[kind]
            if first_s <= now_s + 1.0 and now_s <= last_s + 1.0:
                WRITE[kind](sheet, strands, rows, value[rows])
        return sheet

    def killed(self, sheet: Sheet) -> Bools | None:
        """[C] memory is over its limit; None = nowhere."""
        if "leaked" not in sheet:
            return None
        over: Bools = sheet["leaked"] >= WHOLE
        return over if over.any() else None

    def effects(self, sheet: Sheet, *, is_up: Bools, garbage: Floats) -> Effects:
        """What the sheet does.

        Args:
            sheet: Written by every kind.
            is_up: [C]; kept, so it must be the caller's last hand on it.
            garbage: [C] share of free memory that waits for a collection.
        """
        connections = self._connections(sheet)
        self._fail(sheet)
        calm_ = self._calm
        return Effects(
            is_up=is_up,
            is_reachable=sheet["reachable"] > 0.0 if "reachable" in sheet else calm_.is_reachable,
            speed=sheet["speed"],
            wait_s=sheet["wait"],
            error_ratio=1.0 - sheet["fine"] if "fine" in sheet else calm_.error_ratio,
            stall_ratio=1.0 - sheet["flowing"] if "flowing" in sheet else calm_.stall_ratio,
            connections=connections,
            used=self._used(sheet, garbage),
            demand=sheet["demand"],
            hot_ratio=1.0 - float(sheet["cool"][0]),
            is_heard=sheet["heard"] > 0.0 if "heard" in sheet else calm_.is_heard,
            is_frozen=sheet["fluid"] <= 0.0 if "fluid" in sheet else calm_.is_frozen,
            scale=sheet["scale"],
            skew_s=sheet["skew"],
        )

    def _connections(self, sheet: Sheet) -> Floats:
        """How many requests may be inside: each holds a connection, a descriptor, a thread."""
        connections, descriptors, threads = self._limits
        usable = self._calm.connections
        if "pool" in sheet:
            usable = np.rint(connections * sheet["pool"])
        for name, gauge, limit in (
            ("descriptors", DESCRIPTORS, descriptors),
            ("threads", THREADS, threads),
        ):
            if name in sheet:
                free = limit * (1.0 - self._base[gauge]) * sheet[name]
                usable = np.minimum(usable, np.floor(free + 1e-6))
        return usable

    def _fail(self, sheet: Sheet) -> None:
        """What is full refuses: a disk what writes, descriptors everything."""
        if "filled" in sheet and (is_full := sheet["filled"] >= WHOLE).any():
            sheet.own("fine")[np.ix_(is_full, self._writes)] = 0.0
        if "descriptors" in sheet:
            free = self._limits[1] * (1.0 - self._base[DESCRIPTORS]) * sheet["descriptors"]
            if (is_out := free < 1.0).any():
                sheet.own("fine")[is_out] = 0.0

    def _used(self, sheet: Sheet, garbage: Floats) -> Floats:
        used = self._calm.used.copy()
        leaked = np.minimum(sheet["leaked"], 1.0)
        held = leaked + (1.0 - leaked) * garbage
        used[:, MEMORY] += (1.0 - self._base[MEMORY]) * held
        if "filled" in sheet:
            room = 1.0 - self._base[DISK]
            used[:, DISK] += room * np.minimum(sheet["filled"], 1.0)
        for name, gauge in (("descriptors", DESCRIPTORS), ("threads", THREADS)):
            if name in sheet:
                used[:, gauge] += (1.0 - self._base[gauge]) * (1.0 - sheet[name])
        return used


def _factor(name: str) -> Write:
    def write(sheet: Sheet, strands: Strands, rows: slice, value: Floats) -> None:
        np.multiply.at(sheet.own(name), strands.cell[rows], 1.0 + value)

    return write


def _share(name: str) -> Write:
    def write(sheet: Sheet, strands: Strands, rows: slice, value: Floats) -> None:
        np.multiply.at(sheet.own(name), strands.cell[rows], 1.0 - value)

    return write


def _sum(name: str) -> Write:
    def write(sheet: Sheet, strands: Strands, rows: slice, value: Floats) -> None:
        np.add.at(sheet.own(name), strands.cell[rows], value)

    return write


def _wait(sheet: Sheet, strands: Strands, rows: slice, value: Floats) -> None:
    np.add.at(sheet.own("wait"), strands.cell[rows], value[:, None] * strands.classes[rows])


def _errors(sheet: Sheet, strands: Strands, rows: slice, value: Floats) -> None:
    suffering = value[:, None] * strands.classes[rows]
    np.multiply.at(sheet.own("fine"), strands.cell[rows], 1.0 - suffering)


def _surge(sheet: Sheet, strands: Strands, rows: slice, value: Floats) -> None:
    """Two surges of one class multiply."""
    demand = sheet.own("demand")
    for more, origins, classes in zip(
        value, strands.origins[rows], strands.classes[rows], strict=True
    ):
        demand *= 1.0 + more * np.outer(origins, classes)


WRITE: Final[Mapping[Kind, Write]] = MappingProxyType(
    {
        Kind.LEAK: _sum("leaked"),
        Kind.CREEP: _factor("speed"),
        Kind.THROTTLE: _factor("speed"),
        Kind.DISK_FILL: _sum("filled"),
        Kind.POOL: _share("pool"),
        Kind.DESCRIPTORS: _share("descriptors"),
        Kind.THREADS: _share("threads"),
        Kind.SLOW_DEPENDENCY: _wait,
        Kind.LATENCY: _wait,
        Kind.PACKET_LOSS: _share("flowing"),
        Kind.ERRORS: _errors,
        Kind.DEPLOY: _errors,
        Kind.PARTITION: _share("reachable"),
        Kind.FLAPPING: _share("reachable"),
        Kind.SURGE: _surge,
        # Of no cell, which is index -1: the last of one.
        Kind.HOT_KEY: _share("cool"),
        Kind.FROZEN_METRICS: _share("fluid"),
        Kind.MISSING_METRICS: _share("heard"),
        Kind.ZERO_METRICS: _share("scale"),
        Kind.SCALED_METRICS: _factor("scale"),
        Kind.CLOCK_SKEW: _sum("skew"),
    }
)
