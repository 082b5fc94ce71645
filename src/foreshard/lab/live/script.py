"""This module is a scenario as orders to real parts: what is broken when, and what is asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from foreshard.lab.cell.faults import Fault
from foreshard.lab.faults import FaultSpec
from foreshard.lab.live.limits import REAL, refuse_unplayable
from foreshard.lab.scenario.fault import FaultLine, Kind, Shape
from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.traffic import Demand, Surge

__all__ = ["Script", "script_of"]

# A fault that is whole at once; cells look at their faults ten times a second.
INSTANT_S = 0.05
# A surge that grows is a staircase of surges that do not.
STAIRS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What is done to every fleet alike.

    Attributes:
        faults: To cells.
        demand: What is asked, surges included.
    """

    faults: tuple[FaultSpec, ...]
    demand: Demand


def script_of(scenario: Scenario) -> Script:
    """The orders of a scenario.

    Raises:
        LabError: It cannot be played live.
    """
    refuse_unplayable(scenario)
    load = scenario.load
    whole = sum(offer.share for offer in scenario.offers)
    return Script(
        faults=tuple(
            spec
            for line in scenario.faults
            if line.kind is not Kind.SURGE
            for spec in _specs(line, scenario.duration_s)
        ),
        demand=Demand(
            rate_rps=scenario.rate_rps(),
            duration_s=scenario.duration_s,
            mix=tuple(offer.share / whole for offer in scenario.offers),
            keys=load.keys,
            swing=load.swing_ratio,
            period_s=load.period_s,
            surges=tuple(_surges(scenario)),
        ),
    )


def _specs(line: FaultLine, duration_s: float) -> Iterator[FaultSpec]:
    kind = REAL[line.kind]
    grows_s = INSTANT_S if line.shape is Shape.STEP else max(INSTANT_S, line.grows_s)
    if line.kind is Kind.MAINTENANCE:
        grows_s = line.holds_s
    for position, cell in enumerate(line.cells):
        at_s = line.begins_s(position)
        # Nobody waits for the end of what never ends.
        lasts_s = min(line.lasts_s, max(grows_s, duration_s - at_s))
        yield FaultSpec(
            cells=(cell,),
            fault=Fault(
                kind=kind,
                magnitude=line.magnitude,
                duration_s=grows_s,
                request_class=line.request_class if kind.is_of_classes else "",
            ),
            at_s=at_s,
            lasts_s=lasts_s,
            known_s=line.known_s,
        )


def _surges(scenario: Scenario) -> Iterator[Surge]:
    names = [each.name for each in scenario.classes]
    for line in scenario.faults:
        if line.kind is not Kind.SURGE:
            continue
        steps = 1 if line.shape is Shape.STEP or line.grows_s == 0.0 else STAIRS
        part = 1.0 + (line.magnitude - 1.0) / steps
        # The middle of each stair lies on the slope.
        starts = line.at_s + line.grows_s * (np.arange(steps) + 0.5) / steps
        ends_s = min(line.at_s + line.lasts_s, scenario.duration_s)
        for name in [line.request_class] if line.request_class else names:
            for at_s in starts.tolist() if steps > 1 else [line.at_s]:
                if at_s < ends_s:
                    yield Surge(
                        request_class=names.index(name),
                        factor=part,
                        at_s=at_s,
                        lasts_s=ends_s - at_s,
                    )
