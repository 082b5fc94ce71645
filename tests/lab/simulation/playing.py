"""What the tests of the weather have in common: small scenarios, played on calm service."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields

import numpy as np
from hypothesis import strategies as st

from foreshard.lab.scenario.fault import FAULT_RANGES, FaultLine, Kind, Recovery, Shape
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


def line(kind: Kind, **changes: object) -> FaultLine:
    """From 100 s on, whole at 200 s, for 50 s, in eu-2 or in the demand."""
    told: dict[str, object] = {
        "kind": kind,
        "cells": () if kind.is_of_demand else ("eu-2",),
        "at_s": 100.0,
        "grows_s": 0.0 if kind.is_sudden else 100.0,
        "holds_s": 50.0,
    }
    return FaultLine(**{**told, **changes})  # type: ignore[arg-type]  # a table of changes


def same(one: Effects, other: Effects) -> bool:
    return all(
        np.array_equal(getattr(one, field.name), getattr(other, field.name))
        for field in fields(Effects)
    )


MAGNITUDES = {
    kind: st.floats(max(0.05, right.above), min(1.0, right.most), allow_nan=False)
    for kind, right in FAULT_RANGES.items()
}


@st.composite
def faults(draw: st.DrawFn, kinds: tuple[Kind, ...] = tuple(Kind)) -> FaultLine:
    kind = draw(st.sampled_from(kinds))
    shapes = [s for s in Shape if s is not Shape.LOAD or not kind.is_of_demand]
    cells = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
    return FaultLine(
        kind=kind,
        cells=() if kind.is_of_demand else tuple(cells),
        at_s=draw(st.floats(0.0, 40.0)),
        grows_s=0.0 if kind.is_sudden else draw(st.floats(0.0, 40.0)),
        holds_s=draw(st.floats(1.0, 40.0)),
        magnitude=draw(MAGNITUDES[kind]),
        shape=draw(st.sampled_from(shapes)),
        recovery=draw(st.sampled_from(Recovery)),
        period_s=draw(st.floats(1.0, 20.0)),
        stagger_s=draw(st.floats(0.0, 10.0)),
    )
