"""This module is the hand that breaks things: the same fault in every fleet at the same moment.

Maintenance is announced: its event is written to a file when it becomes known, which is all
that Foreshard gets to see of the story.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from foreshard.lab.cell.faults import Fault, FaultKind
from foreshard.model.errors import InvalidValueError, LabError
from foreshard.model.events import EventKind, SystemEvent

__all__ = ["Breakable", "FaultSpec", "announce", "play"]

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

# A cell may be restarting at the moment its fault begins: how often it is tried again.
RETRY_S = 0.25
# Ended by the process itself: clearing them would rescue a cell in its last second.
SELF_ENDING = frozenset({FaultKind.LEAK, FaultKind.CRASH, FaultKind.MAINTENANCE})


class Breakable(Protocol):
    """A fleet that faults can be done to."""

    async def inject(self, cell: str, fault: Fault) -> None:
        """Begin a fault; crash and maintenance too.

        Raises:
            LabError: The cell is not up, or does not answer.
        """

    async def clear(self, cell: str) -> None:
        """End a cell's faults.

        Raises:
            LabError: The cell does not answer.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultSpec:
    """One fault of a story; times are seconds from its start.

    Attributes:
        cells: At least one.
        fault: What happens in each, growing over the fault's own duration.
        at_s: When it begins; >= 0.
        lasts_s: After this it is cleared (a leak, crash or maintenance ends by itself); at
            least the fault's own duration, but for a crash, which is over at once.
        known_s: When it is announced; None = it is not. Not after `at_s`.
    """

    cells: tuple[str, ...]
    fault: Fault
    at_s: float
    lasts_s: float
    known_s: float | None = None

    def __post_init__(self) -> None:
        if not self.cells:
            raise InvalidValueError(f"fault {self.fault.kind}: name at least one cell")
        if not (self.at_s >= 0.0 and self.lasts_s >= 0.0):
            raise InvalidValueError(
                f"fault {self.fault.kind}: at_s {self.at_s} and lasts_s {self.lasts_s} must be "
                "0 or more"
            )
        if self.known_s is not None and self.known_s > self.at_s:
            raise InvalidValueError(
                f"fault {self.fault.kind}: known_s {self.known_s} is after at_s {self.at_s}"
            )

    @property
    def ends_s(self) -> float:
        """When it is over."""
        return self.at_s + self.lasts_s

    @property
    def noticed_s(self) -> float:
        """The first moment at which anybody could act on it with reason."""
        return self.at_s if self.known_s is None else self.known_s

    @property
    def is_predictable(self) -> bool:
        """Whether there is anything to see before it hurts."""
        return self.fault.kind is not FaultKind.CRASH


def announce(spec: FaultSpec, *, start_at_s: float) -> SystemEvent:
    """The event that tells of a fault ahead.

    Args:
        spec: Must have `known_s`.
        start_at_s: Start of the story, seconds since the epoch.

    Raises:
        LabError: The fault is not announced.
    """
    if spec.known_s is None:
        raise LabError(f"fault {spec.fault.kind} of {spec.cells} is not announced")
    return SystemEvent(
        id=f"{spec.fault.kind}-{'-'.join(spec.cells)}-{spec.at_s:g}",
        kind=EventKind.MAINTENANCE,
        cells=frozenset(spec.cells),
        known_at_s=start_at_s + spec.known_s,
        starts_at_s=start_at_s + spec.at_s,
        ends_at_s=start_at_s + spec.ends_s,
        note=f"host of {', '.join(spec.cells)} is switched off for {spec.lasts_s:g} s",
    )


async def play(
    specs: Sequence[FaultSpec],
    fleets: Mapping[str, Breakable],
    *,
    start_at_s: float,
    events: Path,
    began: Callable[[FaultSpec], None],
) -> None:
    """Do every fault to every fleet in time; return when the last is over.

    Args:
        specs: In any order.
        fleets: By name.
        start_at_s: Start of the story, seconds since the epoch.
        events: File for announced events: a JSON list of `SystemEvent` fields, written at once
            (empty) and replaced atomically.
        began: Called at the start of each fault.
    """
    known: list[SystemEvent] = []
    _write(events, known)
    async with asyncio.TaskGroup() as group:
        for spec in specs:
            group.create_task(_tell(spec, known, start_at_s=start_at_s, events=events))
            group.create_task(_break(spec, fleets, start_at_s=start_at_s, began=began))


async def _tell(
    spec: FaultSpec, known: list[SystemEvent], *, start_at_s: float, events: Path
) -> None:
    if spec.known_s is not None:
        await _until(start_at_s + spec.known_s)
        known.append(announce(spec, start_at_s=start_at_s))
        _write(events, known)


async def _break(
    spec: FaultSpec,
    fleets: Mapping[str, Breakable],
    *,
    start_at_s: float,
    began: Callable[[FaultSpec], None],
) -> None:
    await _until(start_at_s + spec.at_s)
    began(spec)
    places = [(name, fleet, cell) for name, fleet in fleets.items() for cell in spec.cells]
    await asyncio.gather(*(_inject(spec, *place, start_at_s=start_at_s) for place in places))
    await _until(start_at_s + spec.ends_s)
    if spec.fault.kind not in SELF_ENDING:
        await asyncio.gather(*(_clear(*place) for place in places))


async def _inject(
    spec: FaultSpec, name: str, fleet: Breakable, cell: str, *, start_at_s: float
) -> None:
    """Begin a fault; in a cell that is down just now, as soon as it is up, as far as it is."""
    while (elapsed_s := max(0.0, time.time() - start_at_s - spec.at_s)) <= max(
        spec.lasts_s, RETRY_S
    ):
        # Not for a late timer: both fleets must get the same fault to the bit.
        fault = spec.fault if elapsed_s < RETRY_S else spec.fault.older(elapsed_s)
        try:
            await fleet.inject(cell, fault)
        except LabError as error:
            log.info("fault.waits", fleet=name, cell=cell, kind=fault.kind, because=str(error))
            await asyncio.sleep(RETRY_S)
        else:
            return
    log.warning("fault.missed", fleet=name, cell=cell, kind=spec.fault.kind)


async def _clear(name: str, fleet: Breakable, cell: str) -> None:
    try:
        await fleet.clear(cell)
    except LabError as error:
        log.warning("fault.stays", fleet=name, cell=cell, because=str(error))


async def _until(moment_s: float) -> None:
    await asyncio.sleep(max(0.0, moment_s - time.time()))


def _write(path: Path, events: Sequence[SystemEvent]) -> None:
    rows = [
        {
            "id": event.id,
            "kind": event.kind.value,
            "cells": sorted(event.cells),
            "known_at_s": event.known_at_s,
            "starts_at_s": event.starts_at_s,
            "ends_at_s": event.ends_at_s,
            "note": event.note,
        }
        for event in events
    ]
    scratch = path.with_name(f"{path.name}.part")
    scratch.write_text(json.dumps(rows, indent=1) + "\n")
    scratch.replace(path)
