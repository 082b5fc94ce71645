"""This module is every fault in every cell that it befalls, laid out as arrays.

A *strand* is one fault in one cell. Strands are sorted by kind, so that each kind is a slice;
what may change while a scenario is played (beginnings, ends) stands in `course`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from foreshard.lab.scenario.fault import FaultLine, Kind, Recovery, Shape
from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.effects import Bools, Floats
from foreshard.lab.simulation.load import even_rps

__all__ = ["TINY_S", "Strands", "strands_of"]

Ints = npt.NDArray[np.intp]
# Times are sums of tenths: what is due is due in spite of the last bits.
TINY_S = 1e-9
# Factors grow away from 1, everything else away from 0.
FACTORS = frozenset({Kind.CREEP, Kind.THROTTLE, Kind.SURGE, Kind.SCALED_METRICS})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Strands:
    """S strands of C cells, K classes, O origins.

    Attributes:
        cell: [S] index of the cell; -1 = it befalls demand.
        begins_s: [S] scheduled beginning.
        lasts_s: [S] from beginning to end; may be infinite.
        rate: [S] 1 / seconds of growth.
        amplitude: [S] what full growth adds: the magnitude, or for a factor its distance from 1.
        period_s: [S] of teeth and turns.
        collected: [S] of teeth.
        is_cured: [S] by a restart of the process.
        is_anew: [S] it begins again with the next process.
        is_boundless: [S] a saw-tooth's floor rises past its growth (leaks until the kill).
        classes: [S, K] 1 for those that suffer.
        origins: [S, O] 1 for those whose demand changes.
        served_rps: [S] even share of those classes' mean demand, of its cell; > 0.
        kinds: Slice of each kind there is.
        shapes: Rows of each shape there is.
        window_s: First beginning and last end of each kind there is.
    """

    cell: Ints
    begins_s: Floats
    lasts_s: Floats
    rate: Floats
    amplitude: Floats
    period_s: Floats
    collected: Floats
    is_cured: Bools
    is_anew: Bools
    is_boundless: Bools
    classes: Floats
    origins: Floats
    served_rps: Floats
    kinds: Mapping[Kind, slice]
    shapes: Mapping[Shape, Ints]
    window_s: Mapping[Kind, tuple[float, float]]


def strands_of(scenario: Scenario) -> Strands:
    """Lay out the faults of a scenario, but for those that only take processes down."""
    order = list(Kind)
    lines = [line for line in scenario.faults if not line.kind.takes_down]
    lines.sort(key=lambda line: order.index(line.kind))
    index = {site.name: c for c, site in enumerate(scenario.sites)}
    rows = [
        (line, index[cell] if cell else -1, line.begins_s(position))
        for line in lines
        for position, cell in enumerate(line.cells or ("",))
    ]

    def column(of: Callable[[FaultLine], float]) -> Floats:
        return np.array([of(line) for line, _, _ in rows], dtype=np.float64)

    cell = np.array([c for _, c, _ in rows], dtype=np.intp)
    begins_s = np.array([begins for _, _, begins in rows], dtype=np.float64)
    lasts_s = column(_lasts_s)
    shape = (len(rows), len(scenario.offers))
    classes = np.array([_classes(line, scenario) for line, _, _ in rows]).reshape(shape)
    shape = (len(rows), len(scenario.origins))
    origins = np.array([_origins(line, scenario) for line, _, _ in rows]).reshape(shape)
    even = even_rps(scenario)
    kinds = {kind: _slice([line.kind for line, _, _ in rows], kind) for kind in Kind}
    kinds = {kind: found for kind, found in kinds.items() if found.start < found.stop}
    return Strands(
        cell=cell,
        begins_s=begins_s,
        lasts_s=lasts_s,
        # Half of it: what is whole at once is so in spite of the last bits.
        rate=1.0 / np.maximum(column(lambda line: line.grows_s), TINY_S / 2.0),
        amplitude=column(_amplitude),
        period_s=column(lambda line: line.period_s),
        collected=column(lambda line: line.collected),
        is_cured=column(_is_cured).astype(np.bool_),
        is_anew=column(lambda line: line.recovery is Recovery.NEVER).astype(np.bool_),
        is_boundless=column(_is_until_the_kill).astype(np.bool_),
        classes=classes,
        origins=origins,
        served_rps=np.array(
            [float(even[c] @ mask) or 1.0 for c, mask in zip(cell, classes, strict=True)],
            dtype=np.float64,
        ),
        kinds=kinds,
        shapes=_shapes([line for line, _, _ in rows]),
        window_s={
            kind: (float(begins_s[of].min()), _last(begins_s[of], lasts_s[of], rows[of]))
            for kind, of in kinds.items()
        },
    )


def _lasts_s(line: FaultLine) -> float:
    if line.recovery is Recovery.NEVER or _is_until_the_kill(line):
        return math.inf
    return line.grows_s + line.holds_s


def _is_until_the_kill(line: FaultLine) -> bool:
    return line.kind is Kind.LEAK and line.magnitude >= 1.0


def _is_cured(line: FaultLine) -> bool:
    """By a restart; what only begins anew is counted here, too."""
    return line.kind.is_of_process or line.recovery is Recovery.RESTART


def _amplitude(line: FaultLine) -> float:
    if line.kind.is_sudden:
        return 1.0
    return line.magnitude - 1.0 if line.kind in FACTORS else line.magnitude


def _classes(line: FaultLine, scenario: Scenario) -> list[float]:
    offers = scenario.offers
    if line.request_class:
        return [float(offer.request_class.name == line.request_class) for offer in offers]
    if line.kind is Kind.SLOW_DEPENDENCY:
        return [float(bool(offer.work.dependency)) for offer in offers]
    return [1.0] * len(offers)


def _origins(line: FaultLine, scenario: Scenario) -> list[float]:
    return [float(line.origin in {"", origin}) for origin in scenario.origins]


def _slice(kinds: list[Kind], kind: Kind) -> slice:
    count = kinds.count(kind)
    start = kinds.index(kind) if count else 0
    return slice(start, start + count)


def _shapes(lines: list[FaultLine]) -> dict[Shape, Ints]:
    # Up and down by turns is what flapping is.
    told = [Shape.PULSE if line.kind is Kind.FLAPPING else line.shape for line in lines]
    rows = {shape: [s for s, each in enumerate(told) if each is shape] for shape in Shape}
    return {shape: np.array(of, dtype=np.intp) for shape, of in rows.items() if of}


def _last(begins_s: Floats, lasts_s: Floats, rows: list[tuple[FaultLine, int, float]]) -> float:
    """When all of a kind is over for sure; what begins with a later process may end later."""
    if any(line.kind.is_of_process or line.recovery is Recovery.RESTART for line, _, _ in rows):
        return math.inf
    return float((begins_s + lasts_s).max())
