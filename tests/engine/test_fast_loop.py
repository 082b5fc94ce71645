"""This module is the engine without any forecast: what it sees, it meets within seconds."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from foreshard.model.telemetry import Fresh
from tests.engine.shop import CELLS, RATES, Shop, engine_of, fleet_of

HOME = 1.0 / len(CELLS)


def shop(**changes: object) -> Shop:
    fleet = fleet_of()
    made = Shop(engine=engine_of(fleet), fleet=fleet, **changes)  # type: ignore[arg-type]
    made.run(15)
    return made


def shed(made: Shop, name: str) -> float:
    return made.share(name, "")


def scaled(times: float) -> dict[str, float]:
    return {name: times * rate for name, rate in RATES.items()}


def test_a_class_that_is_slow_in_one_cell_leaves_it_alone_and_comes_back() -> None:
    made = shop()
    made.latency_s["search", "eu-1"] = 1.5
    begun = len(made.decisions)
    made.run(8)
    assert made.share("search", "eu-1") <= 0.1 * HOME
    assert made.share("checkout", "eu-1") == pytest.approx(HOME, rel=0.05)
    assert ("eu-1", "class.limited") in made.codes(since=begun)
    assert shed(made, "search") == 0.0
    made.latency_s.clear()
    made.run(60)
    assert made.share("search", "eu-1") == pytest.approx(HOME, rel=0.1)
    assert ("eu-1", "class.unlimited") in made.codes(since=begun)


def test_a_class_that_is_slow_everywhere_is_moved_nowhere_and_not_refused() -> None:
    made = shop()
    for cell in CELLS:
        made.latency_s["search", cell] = 1.5
    made.run(20)
    assert [made.share("search", cell) for cell in CELLS] == pytest.approx([HOME] * 6, rel=0.05)
    assert shed(made, "search") == 0.0


def test_a_surge_is_met_by_shedding_within_two_looks_and_let_in_again_in_steps() -> None:
    made = shop()
    begun = len(made.decisions)
    made.rates = {**RATES, "report": 4.4 * RATES["report"]}
    made.run(2)
    assert 0.3 <= shed(made, "report") <= 0.9
    assert ("fleet", "shed.began") in made.codes(since=begun)
    made.run(10)
    made.rates = dict(RATES)
    seen = []
    for _ in range(30):
        made.tick()
        seen.append(shed(made, "report"))
    assert seen[-1] == 0.0
    assert (np.diff(seen) <= 1e-9).all(), "it only falls"
    assert np.abs(np.diff(seen)).max() <= 0.1 + 0.01
    assert ("fleet", "shed.ended") in made.codes(since=begun)


@pytest.mark.parametrize("times", [1.5, 2.0, 2.6, 4.0, 9.0])
def test_no_higher_class_loses_a_request_while_a_lower_one_has_some(times: float) -> None:
    made = shop()
    made.rates = scaled(times)
    made.run(40)
    ranks = [shed(made, name) for name in ("checkout", "search", "report")]
    for higher, lower in pairwise(ranks):
        assert higher <= 0.005 or lower >= 0.99


def test_a_lone_spike_in_the_counts_is_forgotten_as_fast_as_it_was_taken() -> None:
    made = shop()
    made.rates = {**RATES, "report": 10.0 * RATES["report"]}
    made.tick()
    made.rates = dict(RATES)
    made.run(15)
    assert shed(made, "report") == 0.0


def test_arrivals_that_nobody_could_have_served_or_held_are_not_believed() -> None:
    made = shop()
    made.claimed_rps = 1e9
    made.run(5)
    made.claimed_rps = None
    made.run(3)
    assert not [code for _, code in made.codes() if code.startswith("shed.")]
    assert shed(made, "report") == 0.0


def test_an_hour_at_the_ceiling_does_not_flap() -> None:
    made = shop(noise=np.random.default_rng(3))
    made.rates = scaled(0.86 / 0.62)
    made.run(60)
    turns, rising, last = 0, False, shed(made, "report")
    for _ in range(600):
        made.tick()
        now = shed(made, "report")
        if abs(now - last) > 0.02:
            turns += (now > last) != rising
            rising, last = now > last, now
    assert turns <= 20
    assert shed(made, "search") == 0.0
    assert shed(made, "checkout") == 0.0


def test_a_cell_whose_cpu_alone_grows_gets_less_work() -> None:
    made = shop()
    made.run(90)
    made.shows["eu-1"] = 1.5
    made.run(30)
    assert made.share("search", "eu-1") < 0.85 * HOME


def test_a_class_that_stays_slow_is_asked_ever_more_seldom_and_comes_back_all_the_same() -> None:
    made = shop()
    made.latency_s["search", "eu-1"] = 1.5
    made.run(20)
    early = made.share("search", "eu-1")
    made.run(280)
    assert 0.0 < made.share("search", "eu-1") <= 0.3 * early
    made.latency_s.clear()
    made.run(60)
    assert made.share("search", "eu-1") == pytest.approx(HOME, rel=0.1)


def busy(made: Shop, cell: str) -> float:
    reading = made.observe().cells[cell].reading
    assert isinstance(reading, Fresh)
    return reading.metrics.gauges["cpu"].utilisation


def test_work_makes_way_for_one_key_and_then_all_stays_where_it_is() -> None:
    made = shop()
    made.hot["checkout", "eu-1"] = 0.7
    assert busy(made, "eu-1") > 1.0
    made.run(30)
    assert busy(made, "eu-1") < 0.9
    assert max(busy(made, cell) for cell in CELLS) < 0.95
    begun = len(made.decisions)
    made.run(60)
    assert not made.acts(since=begun)
    assert shed(made, "report") == 0.0
    made.hot.clear()
    made.run(90)
    assert made.share("search", "eu-1") == pytest.approx(HOME, rel=0.15)


def test_the_work_that_a_key_brings_is_not_counted_twice() -> None:
    """What one cell gets beyond its share the others get less."""
    made = shop()
    made.rates = scaled(1.35)
    made.run(20)
    made.hot["checkout", "eu-1"] = 0.25
    made.run(40)
    assert shed(made, "report") == 0.0
    assert shed(made, "checkout") == 0.0
