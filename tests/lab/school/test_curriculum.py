from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreshard.lab.scenario.fault import FaultLine, Kind, Shape
from foreshard.lab.scenario.scenario import Load, Scenario
from foreshard.lab.school.curriculum import WELL_BEFORE_S, Term, draw_faults
from foreshard.lab.school.days import MOST_CELLS, enrolled, term_for
from foreshard.lab.school.lesson import pupil
from foreshard.lab.service import Site
from foreshard.model.errors import InvalidValueError
from tests.lab.simulation.small import scenario_of

LESSON_S = 7_200.0
FLEET = scenario_of()
EXAM = FaultLine(kind=Kind.LEAK, cells=("eu-2",), at_s=20.0, grows_s=30.0)


def drawn(seed: int, scenario: Scenario = FLEET) -> tuple[FaultLine, ...]:
    return draw_faults(scenario, lasts_s=LESSON_S, chance=np.random.default_rng(seed))


def test_the_school_never_sees_the_exam() -> None:
    calm, exam = scenario_of(), replace(scenario_of(EXAM), duration_s=300.0, about="A leak.")
    assert pupil(calm) == pupil(exam)
    assert pupil(exam).faults == ()
    chance = np.random.default_rng(5), np.random.default_rng(5)
    told = [
        draw_faults(each, lasts_s=LESSON_S, chance=rng)
        for each, rng in zip((calm, exam), chance, strict=True)
    ]
    assert told[0] == told[1]
    assert EXAM not in told[1]


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), pace=st.sampled_from([1.0, 15.0]))
def test_a_lesson_begins_and_ends_well_and_a_third_is_ill_at_most(seed: int, pace: float) -> None:
    faults = [f for f in drawn(seed, scenario_of(pace=pace)) if not f.kind.is_of_demand]
    for fault in faults:
        assert fault.at_s >= WELL_BEFORE_S / pace
        assert fault.ends_s <= (LESSON_S - WELL_BEFORE_S) / pace
    for fault in faults:
        ill = [each for each in faults if each.at_s <= fault.at_s < each.ends_s]
        # The last one may hit its neighbours, too.
        assert sum(len(each.cells) for each in ill) <= 2 + 2 * len(fault.cells)


def test_what_is_drawn_is_of_every_kind_and_shape_and_some_of_it_is_harmless() -> None:
    lines = [line for seed in range(60) for line in drawn(seed)]
    kinds = Counter(line.kind for line in lines)
    assert {Kind.LEAK, Kind.CREEP, Kind.DISK_FILL, Kind.POOL, Kind.SLOW_DEPENDENCY} <= set(kinds)
    assert {Kind.LATENCY, Kind.ERRORS, Kind.CRASH, Kind.SURGE} <= set(kinds)
    leaks = [line for line in lines if line.kind is Kind.LEAK]
    assert {line.shape for line in leaks} >= {Shape.LINEAR, Shape.SAWTOOTH, Shape.LOAD}
    assert {line.magnitude < 1.0 for line in leaks} == {True, False}
    assert len({line.cells for line in lines}) > 6


def test_a_class_without_a_dependency_has_none_that_is_slow() -> None:
    alone = tuple(
        replace(offer, work=replace(offer.work, dependency="")) for offer in FLEET.offers
    )
    lines = [line for seed in range(30) for line in drawn(seed, replace(FLEET, offers=alone))]
    assert lines
    assert all(line.kind is not Kind.SLOW_DEPENDENCY for line in lines)


def test_a_surge_leaves_a_full_fleet_about_full() -> None:
    half = scenario_of(load=Load(utilisation=0.5))
    lines = [line for seed in range(60) for line in drawn(seed, half)]
    surges = [line.magnitude for line in lines if line.kind is Kind.SURGE]
    assert surges
    assert min(surges) > 1.0
    assert max(surges) <= 2.0


def test_large_fleets_send_some_cells_of_each_region_and_small_ones_learn_longer() -> None:
    sites = tuple(
        Site(name=f"{region}-{n}", region=region, zone=region)
        for n in range(50)
        for region in ("eu", "us")
    )
    large = enrolled(pupil(scenario_of(sites=sites, sizes={"eu-0": 2.0, "us-49": 2.0})))
    assert len(large.sites) == MOST_CELLS
    assert Counter(site.region for site in large.sites) == {"eu": 12, "us": 12}
    assert set(large.sizes) <= {site.name for site in large.sites}
    small = pupil(scenario_of())
    assert enrolled(small) is small
    assert term_for(6).lessons > term_for(20).lessons


def test_lessons_that_do_not_fit_into_the_days_are_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"more than 0\.5 days; give it more days"):
        Term(days=0.5, lessons=6)
    with pytest.raises(InvalidValueError, match="lessons is 0"):
        Term(lessons=0)
