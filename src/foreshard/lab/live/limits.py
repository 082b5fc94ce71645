"""This module is what the live stage cannot play: every reason at once, before anything starts.

Its cells are the demo's shop, on one machine and in real time. What a scenario asks beyond that
would be played wrongly in silence, so it is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from types import MappingProxyType
from typing import Final

from foreshard.lab.cell.faults import FaultKind
from foreshard.lab.scenario.fault import FaultLine, Kind, Recovery, Shape
from foreshard.lab.scenario.scenario import SHOP, CellMake, Scenario, Telemetry
from foreshard.model.errors import LabError

__all__ = ["REAL", "reasons_against", "refuse_unplayable"]

# What of a scenario's faults can really be done to a cell.
REAL: Final[Mapping[Kind, FaultKind]] = MappingProxyType(
    {
        Kind.LEAK: FaultKind.LEAK,
        Kind.CREEP: FaultKind.CREEP,
        Kind.THROTTLE: FaultKind.THROTTLE,
        Kind.DISK_FILL: FaultKind.DISK_FILL,
        Kind.POOL: FaultKind.POOL,
        Kind.SLOW_DEPENDENCY: FaultKind.SLOW_DEPENDENCY,
        Kind.LATENCY: FaultKind.LATENCY,
        Kind.ERRORS: FaultKind.ERRORS,
        Kind.MISSING_METRICS: FaultKind.MUTE,
        Kind.CRASH: FaultKind.CRASH,
        Kind.MAINTENANCE: FaultKind.MAINTENANCE,
    }
)
SHAPES: Final = frozenset({Shape.LINEAR, Shape.STEP})
# Processes of one side; there are two sides or more.
MOST_CELLS: Final = 8
# Whoever waits longer than this for one seed has mistaken the stage.
LONGEST_S: Final = 1_200.0
# From a start to the first answer, which no restart can undercut.
SOONEST_S: Final = 2.0
# Fields of a cell's make that the real cell does not have, or has in its own measure.
FREE_OF_MAKE: Final = frozenset({"descriptors", "threads", "restart_s"})
IN_PROCESS: Final = frozenset({Kind.DISK_FILL, Kind.MISSING_METRICS})


def refuse_unplayable(scenario: Scenario) -> None:
    """Do nothing if the live stage can play it.

    Raises:
        LabError: It cannot; the message holds every reason.
    """
    if reasons := tuple(reasons_against(scenario)):
        listed = "".join(f"\n- {reason}" for reason in reasons)
        raise LabError(
            f"scenario {scenario.name} cannot be played live, play it with `--stage sim`:{listed}"
        )


def reasons_against(scenario: Scenario) -> Iterator[str]:
    """Why the live stage cannot play a scenario; nothing if it can."""
    yield from _of_fleet(scenario)
    yield from _of_cells(scenario.make)
    yield from _of_demand(scenario)
    for number, line in enumerate(scenario.faults, start=1):
        for reason in _of_fault(line, scenario):
            yield f"fault {number} ({line.kind}): {reason}"
    yield from _of_overlaps(scenario)


def _of_fleet(scenario: Scenario) -> Iterator[str]:
    if len(scenario.sites) > MOST_CELLS:
        yield f"{len(scenario.sites)} cells, one machine has room for {MOST_CELLS} of each side"
    if any(size != 1.0 for size in scenario.sizes.values()):
        yield f"sizes are {dict(scenario.sizes)}: real cells are all alike"
    if scenario.latency_ms:
        yield "latency_ms is set: on one machine there are no distances"
    if len(scenario.origins) > 1 or scenario.proxies > 1:
        yield (
            f"{len(scenario.origins)} origins with {scenario.proxies} proxies each: the live "
            "stage has one Envoy"
        )
    if scenario.telemetry != Telemetry():
        yield "telemetry is set: real cells are scraped as well as they can be"
    if scenario.duration_s > LONGEST_S:
        yield f"duration_s is {scenario.duration_s:g}, at most {LONGEST_S:g} s of real time"


def _of_cells(make: CellMake) -> Iterator[str]:
    usual = CellMake()
    for name in CellMake.__slots__:
        own, real = getattr(make, name), getattr(usual, name)
        if name not in FREE_OF_MAKE and own != real:
            yield f"cell.{name} is {own}, the real cell has {real}"
    if make.restart_s < SOONEST_S:
        yield f"cell.restart_s is {make.restart_s:g}, a real process needs {SOONEST_S:g} s"


def _of_demand(scenario: Scenario) -> Iterator[str]:
    if scenario.offers != SHOP:
        yield "classes differ from the shop's, which is all that real cells serve"
    if scenario.load.client_retries:
        yield f"client_retries is {scenario.load.client_retries}: real clients ask once"


def _of_fault(line: FaultLine, scenario: Scenario) -> Iterator[str]:
    if line.kind is Kind.SURGE:
        if line.magnitude <= 1.0:
            yield f"magnitude is {line.magnitude:g}: real demand can only be added to"
    elif line.kind not in REAL:
        yield "no real cell can have it"
        return
    elif line.recovery is not _real_recovery(line):
        yield f"recovery is {line.recovery}, with real cells it is {_real_recovery(line)}"
    if line.shape not in SHAPES and not line.kind.is_sudden:
        yield f"shape is {line.shape}, real ones grow by {' or '.join(sorted(SHAPES))}"
    if line.kind is Kind.LEAK and line.magnitude < 1.0 and line.ends_s < scenario.duration_s:
        yield "a real leak that does not kill stays until a restart, set holds_s so"
    if line.kind is Kind.SLOW_DEPENDENCY:
        needy = [o.request_class.name for o in scenario.offers if o.work.dependency]
        if [line.request_class] != needy:
            yield f"request_class is {line.request_class!r}, only {needy[0]} depends on anything"


def _real_recovery(line: FaultLine) -> Recovery:
    """What ends it in a real cell, as far as the scenario's words tell it apart."""
    if line.kind in IN_PROCESS:
        return Recovery.RESTART
    return line.recovery if _is_same_either_way(line) else Recovery.HEALS


def _is_same_either_way(line: FaultLine) -> bool:
    cured = line.kind.is_of_process or line.kind.takes_down
    return cured and line.recovery is not Recovery.NEVER


def _of_overlaps(scenario: Scenario) -> Iterator[str]:
    """Whoever ends one fault of a real cell ends all that it has."""
    spans = [
        (cell, line.kind, line.begins_s(position), line.begins_s(position) + line.lasts_s)
        for line in scenario.faults
        if line.kind in REAL
        for position, cell in enumerate(line.cells)
    ]
    for (cell, kind, begins_s, ends_s), (other, second, at_s, until_s) in combinations(spans, 2):
        if cell == other and begins_s < until_s and at_s < ends_s:
            yield f"{kind} and {second} meet in {cell}: a real cell has one fault at a time"
