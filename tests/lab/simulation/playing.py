"""What the tests of the weather have in common: small scenarios, played on calm service."""

from __future__ import annotations

from collections.abc import Iterable

from foreshard.lab.scenario.fault import FaultLine
from foreshard.lab.scenario.scenario import CellMake, Family, Load, Scenario
from foreshard.lab.simulation.effects import Effects, Floats
from foreshard.lab.simulation.load import even_rps
from foreshard.lab.simulation.weather import Weather

NAMES = ("eu-1", "eu-2", "eu-3", "us-1", "us-2", "us-3")
CLASSES = ("checkout", "search", "report")
RESTART_S = 7.0


def scenario(
    *faults: FaultLine, duration_s: float = 400.0, origins: Iterable[str] = ()
) -> Scenario:
    names = tuple(origins)
    return Scenario(
        name="sample",
        family=Family.PREDICTABLE,
        about="A sample. Nothing is expected.",
        duration_s=duration_s,
        warm_up_s=1.0,
        make=CellMake(restart_s=RESTART_S),
        load=Load(origins=dict.fromkeys(names, 1.0 / max(1, len(names)))),
        faults=faults,
    )


def weather(*faults: FaultLine, seed: int = 1) -> Weather:
    return Weather(scenario(*faults), seed=seed)


def served(played: Weather, passed_s: float, factor: float = 1.0) -> Floats:
    """What every cell serves in that time, were the demand evenly spread."""
    return factor * passed_s * even_rps(played.scenario)


def play(played: Weather, to_s: float, *, factor: float = 1.0, step_s: float = 1.0) -> Effects:
    """Play up to a moment, the last second by tenths, and tell what holds then."""
    first = int(played.now_s / step_s)
    moments = [number * step_s for number in range(first + 1, int(to_s / step_s) + 1)]
    moments += [to_s - 0.1, to_s]
    effects = played.at(played.now_s, served(played, 0.0))
    for now_s in sorted(now_s for now_s in moments if now_s > played.now_s):
        effects = played.at(now_s, served(played, now_s - played.now_s, factor))
    return effects
