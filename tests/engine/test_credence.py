from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from foreshard.engine.credence import Credence, believed, no_credence
from foreshard.model.telemetry import (
    CellMetrics,
    CellReading,
    ClassTraffic,
    Fresh,
    Gauge,
    Health,
    Observation,
)
from tests.engine.shop import CELLS, fleet_of

FLEET = fleet_of(CELLS)
USED = {"cpu": 0.6, "connections": 0.2, "memory": 0.5, "disk": 0.3, "descriptors": 0.1}
SCALES = {"cpu", "connections"}
ODD = "eu-2"


@dataclass
class Tellers:
    """Cells that tell of themselves, with noise of a hundredth and one factor each."""

    factor: dict[tuple[str, str], float] = field(default_factory=dict)
    credence: Credence = field(default_factory=lambda: no_credence(len(CELLS)))
    said: list[str] = field(default_factory=list)
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(5))
    now_s: float = 0.0
    started_s: dict[str, float] = field(default_factory=dict)
    rate_rps: dict[str, float] = field(default_factory=dict)
    used: dict[str, float] = field(default_factory=lambda: dict(USED))

    def look(self, times: int) -> frozenset[str]:
        names: frozenset[str] = frozenset()
        for _ in range(times):
            self.now_s += 1.0
            readings = {cell: self._reading(cell) for cell in CELLS}
            seen = Observation(now_s=self.now_s, interval_s=1.0, cells=readings, demand_rps=None)
            self.credence, heard, names, reasons = believed(self.credence, seen, FLEET)
            self.said += [f"{r.subject} {r.code}" for r in reasons]
            for cell in CELLS:
                reading = heard.cells[cell].reading
                assert isinstance(reading, Fresh)
                assert bool(reading.metrics.gauges) == (cell not in names)
        return names

    def _reading(self, cell: str) -> CellReading:
        gauges = {
            name: Gauge(
                used=used
                * self.factor.get((cell, name), 1.0)
                * float(1.0 + 0.01 * self.rng.standard_normal()),
                limit=1.0,
                scales_with_load=name in SCALES,
            )
            for name, used in self.used.items()
        }
        said = CellMetrics(gauges=gauges, started_at_s=self.started_s.get(cell, 0.0))
        fresh = Fresh(metrics=said, age_s=0.0)
        traffic = {"search": ClassTraffic(rate_rps=self.rate_rps.get(cell, 100.0))}
        return CellReading(health=Health.UP, reading=fresh, traffic=traffic)

    def scale(self, factor: float, *, cell: str = ODD, gauges: tuple[str, ...] = ()) -> None:
        self.factor |= {(cell, name): factor for name in gauges or tuple(USED)}


def test_noise_is_believed() -> None:
    tellers = Tellers()
    for _ in range(300):
        assert not tellers.look(1)
    assert not tellers.said


@pytest.mark.parametrize("factor", [1.1, 1.5, 0.7, 0.0])
def test_gauges_that_change_by_one_factor_are_not_believed_and_nothing_else_is_doubted(
    factor: float,
) -> None:
    tellers = Tellers()
    tellers.look(120)
    tellers.scale(factor)
    assert tellers.look(15) == {ODD}
    assert tellers.said == [f"{ODD} gauges.doubted"]


def test_a_slow_common_climb_is_found_before_it_has_come_far() -> None:
    tellers = Tellers()
    tellers.look(120)
    for second in range(40):
        tellers.scale(1.0 + 0.5 * second / 240.0)
        tellers.look(1)
    assert tellers.look(1) == {ODD}


@pytest.mark.parametrize(
    "gauges", [("memory",), ("disk",), ("cpu", "connections"), ("memory", "descriptors")]
)
def test_a_leak_or_a_rush_is_believed(gauges: tuple[str, ...]) -> None:
    tellers = Tellers()
    tellers.look(120)
    tellers.scale(1.4, gauges=gauges)
    assert not tellers.look(60)


def test_a_leak_while_work_leaves_is_believed() -> None:
    tellers = Tellers()
    tellers.look(120)
    tellers.scale(1.5, gauges=("memory",))
    tellers.scale(0.5, gauges=("cpu", "connections"))
    assert not tellers.look(60)


@pytest.mark.parametrize("factor", [1.08, 0.92])
def test_gauges_that_stand_still_are_no_witnesses_of_a_small_change(factor: float) -> None:
    few = {name: USED[name] for name in ("cpu", "connections", "memory", "disk")}
    tellers = Tellers(used=few)
    tellers.look(120)
    tellers.scale(factor, gauges=("cpu", "connections"))
    assert not tellers.look(60)


@pytest.mark.parametrize("factor", [1.5, 0.5])
def test_load_that_moves_every_gauge_is_believed(factor: float) -> None:
    tellers = Tellers()
    tellers.look(120)
    tellers.scale(factor)
    tellers.rate_rps[ODD] = 100.0 * factor
    assert not tellers.look(60)


@pytest.mark.parametrize("factor", [1.5, 0.5])
def test_work_that_goes_the_other_way_explains_nothing(factor: float) -> None:
    tellers = Tellers()
    tellers.look(120)
    tellers.scale(factor)
    tellers.rate_rps[ODD] = 100.0 / factor
    assert tellers.look(15) == {ODD}


def test_one_resource_beside_load_is_too_few_witnesses() -> None:
    """A leak beside a rush may well be of the same factor."""
    tellers = Tellers()
    tellers.look(120)
    tellers.scale(1.3, gauges=("cpu", "connections", "memory"))
    assert not tellers.look(60)


def test_what_all_cells_say_is_believed() -> None:
    tellers = Tellers()
    tellers.look(120)
    for cell in CELLS:
        tellers.scale(1.3, cell=cell)
    assert not tellers.look(60)


def test_gauges_that_stand_still_again_are_believed_after_a_while() -> None:
    tellers = Tellers()
    tellers.look(120)
    tellers.scale(1.2)
    assert tellers.look(20) == {ODD}
    assert not tellers.look(900)
    assert tellers.said == [f"{ODD} gauges.doubted", f"{ODD} gauges.believed"]


@pytest.mark.parametrize("seed", range(5))
def test_the_first_minute_says_nothing(seed: int) -> None:
    tellers = Tellers(rng=np.random.default_rng(seed))
    tellers.scale(1.2)
    tellers.look(5)
    tellers.scale(1.0)
    assert not tellers.look(50)


def test_a_new_process_may_use_something_else() -> None:
    tellers = Tellers()
    tellers.look(120)
    tellers.scale(0.6)
    tellers.started_s[ODD] = 120.0
    assert not tellers.look(200)
