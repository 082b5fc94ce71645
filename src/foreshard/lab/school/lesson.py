"""This module is one stretch of school, played: the fleet under nobody's care, written down.

The cells are the scenario's, and so are classes, demand, telemetry and the core that plays them.
Keys stay at home and health checks alone take a dead cell out (`sticky`), so that what is learned
is what a fault does where nobody acts. What is heard is gathered into steps by the engine's own
code, second by second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from foreshard.controller.observe import observation_of
from foreshard.forecast.history import History
from foreshard.forecast.past import Past
from foreshard.forecast.step import Gathering
from foreshard.lab.policy.peer import TICK_S, Hand, ticks
from foreshard.lab.policy.policy import Stage
from foreshard.lab.policy.setting import setting_of
from foreshard.lab.policy.sticky import sticky
from foreshard.lab.policy.view import blank
from foreshard.lab.run import Core, run
from foreshard.lab.scenario.fault import FaultLine
from foreshard.lab.scenario.scenario import Family, Scenario
from foreshard.model.errors import LabError

__all__ = ["Class", "pupil", "taught"]

NO_BOUND = 2**62


def pupil(scenario: Scenario) -> Scenario:
    """The fleet of a scenario and what is asked of it, without anything that is to befall it.

    Equal for all scenarios that differ in faults, length, warm-up and words alone.
    """
    return replace(
        scenario,
        name="school",
        family=Family.TRAP,
        about="Days before the trial.",
        faults=(),
        duration_s=1.0,
        warm_up_s=0.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Class:
    """Who is taught, and how it is written down.

    Attributes:
        fleet: A `pupil`.
        step_s: Of the history.
        siblings: See `Past`.
        seed: Of arrivals, weather and telemetry.
        core: What simulates.
    """

    fleet: Scenario
    step_s: float
    siblings: Mapping[str, int]
    seed: int
    core: Core


def taught(
    who: Class,
    faults: tuple[FaultLine, ...],
    *,
    lasts_s: float,
    progress: Callable[[float], None] = lambda _: None,
) -> History:
    """Play a stretch, and what was heard of it in steps.

    Args:
        who: See `Class`.
        faults: What befalls the fleet, in seconds from the beginning.
        lasts_s: Its length, in the seconds of the fleet's clock.
        progress: Told the part that is done.

    Raises:
        LabError: It is shorter than a step.
    """
    step_s = who.step_s
    past = Past(
        step_s=step_s, most_bytes=NO_BOUND, reach_s=lasts_s + 2.0 * step_s, siblings=who.siblings
    )
    run(
        # A step more: the last one is told when the next begins.
        replace(who.fleet, faults=faults, duration_s=lasts_s + 2.0 * step_s),
        _Scribe(past),
        seed=who.seed,
        core=who.core,
        progress=lambda done_s: progress(min(1.0, done_s / lasts_s)),
    )
    history = past.history()
    if history is None:
        raise LabError(f"school: a stretch of {lasts_s:g} s is shorter than a step ({step_s:g} s)")
    return history


class _Scribe:
    """A `Policy` that leaves keys at home and writes down what is heard.

    Args:
        past: Where.
    """

    name = "school"

    def __init__(self, past: Past) -> None:
        self._past = past

    async def steer(self, stage: Stage, stop: asyncio.Event) -> None:
        """See `Policy`."""
        setting, fleet = setting_of(stage), stage.fleet
        first = blank(setting, now_s=stage.clock.now_s() - stage.start_s)
        await Hand(stage, setting).put(sticky(setting).decide(first))
        gathering = Gathering(stage.scenario.classes, step_s=self._past.step_s, cells=fleet.names)
        async for _ in ticks(stage, stop):
            said = await stage.cells.read(fleet.cells)
            observation = observation_of(
                fleet,
                now_s=stage.clock.now_s(),
                interval_s=TICK_S,
                said=said,
                seen=await stage.traffic.read(),
                events=await stage.events.read(),
            )
            step = gathering.take(observation)
            if step is not None:
                self._past.append(step)
