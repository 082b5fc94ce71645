from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.lab import service
from foreshard.lab.oracle import burden_of, capacity_cpu_s
from foreshard.lab.policy.bound import BIN_S, Burden, least_harm
from foreshard.lab.story import story
from foreshard.lab.timeline import Lives
from foreshard.lab.traffic import arrivals
from foreshard.model.errors import LabError
from foreshard.model.workload import Priority, RequestClass

PER_S = round(1.0 / BIN_S)


def a_class(name: str, priority: Priority, *, weight: float, objective_s: float) -> RequestClass:
    return RequestClass(
        name=name, priority=priority, weight=weight, objective_s=objective_s, timeout_s=10.0
    )


VITAL = a_class("vital", Priority.CRITICAL, weight=10.0, objective_s=0.2)
EXTRA = a_class("extra", Priority.SHEDDABLE, weight=1.0, objective_s=0.2)


def a_burden(
    capacity: float, work: Sequence[Sequence[float]], *classes: RequestClass, cost_s: float = 0.1
) -> Burden:
    """Capacity in cpus, and work in cpu seconds a second by second and class; then a pause."""
    spread = np.repeat(np.array([*work, [0.0] * len(classes)]), PER_S, axis=0) / PER_S
    return Burden(
        capacity_s=np.full(len(spread), capacity / PER_S),
        work_s=spread,
        requests=spread.sum(axis=0) / cost_s,
        classes=classes,
    )


def test_what_fits_does_no_harm() -> None:
    harm = least_harm(a_burden(2.0, [[1.0, 0.9]] * 3, VITAL, EXTRA))
    assert harm.ordered.tolist() == [0.0] * 4
    assert harm.bound.tolist() == [0.0] * 4


def test_what_does_not_fit_is_given_up_from_the_least_important_class() -> None:
    harm = least_harm(a_burden(1.0, [[0.8, 0.0], [0.8, 0.7], [0.8, 0.0]], VITAL, EXTRA))
    # Half a cpu second too much is five requests of weight 1. Two bins' patience carries .2 of
    # it into the next second, which has just that much room.
    assert harm.ordered.sum() == pytest.approx(5.0 - 2.0)
    assert harm.bound.sum() == pytest.approx(harm.ordered.sum())


def test_a_burst_is_done_late_but_in_time() -> None:
    work = np.zeros((PER_S, 1))
    work[0] = 3 * 0.1
    patient = a_class("patient", Priority.NORMAL, weight=1.0, objective_s=0.2)
    burst = Burden(
        capacity_s=np.full(PER_S, 0.1),
        work_s=work,
        requests=np.array([3.0]),
        classes=[patient],
    )
    assert least_harm(burst).ordered.sum() == pytest.approx(0.0, abs=1e-9)
    work[0] = 4 * 0.1
    assert least_harm(burst).ordered.sum() == pytest.approx(0.75, abs=1e-9)


def test_the_contract_can_cost_more_than_the_bound() -> None:
    # The unimportant class has the dearer work: the bound gives up the important one.
    heavy = a_class("heavy", Priority.CRITICAL, weight=1.0, objective_s=0.2)
    light = a_class("light", Priority.SHEDDABLE, weight=5.0, objective_s=0.2)
    harm = least_harm(a_burden(1.0, [[1.0, 0.5]] * 4, heavy, light))
    assert harm.ordered.sum() == pytest.approx(5.0 * harm.bound.sum(), rel=0.05)


@given(
    st.lists(st.lists(st.floats(0.0, 2.0), min_size=2, max_size=2), min_size=1, max_size=4),
    st.floats(0.0, 3.0),
)
def test_the_bound_is_never_above_the_contract_nor_below_what_cannot_fit(
    work: list[list[float]], capacity: float
) -> None:
    burden = a_burden(capacity, work, VITAL, EXTRA)
    harm = least_harm(burden)
    assert harm.bound.sum() <= harm.ordered.sum() + 1e-6
    # After the last second of work two bins, their patience, are left to do it in.
    excess_s = burden.work_s.sum() - capacity * (len(work) + 2 * BIN_S)
    cheapest = min(w for w in burden.harm_per_cpu_s if w > 0.0) if excess_s > 0.0 else 0.0
    assert harm.bound.sum() >= cheapest * excess_s - 1e-6
    # All that was asked is the most that can be bad.
    weight = np.array([VITAL.weight, EXTRA.weight])
    assert harm.ordered.sum() <= weight @ burden.requests + 1e-6


@given(
    st.lists(st.lists(st.floats(0.0, 2.0), min_size=2, max_size=2), min_size=1, max_size=4),
    st.floats(0.1, 2.0),
)
def test_more_capacity_never_does_more_harm(work: list[list[float]], capacity: float) -> None:
    less = least_harm(a_burden(capacity, work, VITAL, EXTRA))
    more = least_harm(a_burden(1.1 * capacity, work, VITAL, EXTRA))
    assert more.ordered.sum() <= less.ordered.sum() + 1e-6


def test_capacity_follows_the_faults_and_the_deaths() -> None:
    told = story("zone")
    cpus = capacity_cpu_s(told, None) / BIN_S
    whole = len(service.SITES) * service.CELL_CPUS
    assert cpus[0] == pytest.approx(whole)
    assert cpus[round(60.0 / BIN_S)] == pytest.approx(whole * (1.0 + 0.12) / 2.0)
    assert cpus[-1] == pytest.approx(whole)
    up = np.ones((2, len(service.SITES)), dtype=np.bool_)
    up[1, 4] = False
    dead = capacity_cpu_s(told, Lives(t_s=np.array([0.0, 5.0]), up=up)) / BIN_S
    assert dead[round(4.0 / BIN_S)] == pytest.approx(whole)
    assert dead[round(6.0 / BIN_S)] == pytest.approx(whole - service.CELL_CPUS)


def test_the_burden_of_a_run_is_its_load() -> None:
    told = story("quiet", 240.0)
    burden = burden_of(told, arrivals(told.demand(), seed=1), lives=None)
    assert burden.work_s.sum() / burden.capacity_s.sum() == pytest.approx(0.62, abs=0.01)
    harm = least_harm(burden)
    assert harm.ordered.sum() == 0.0


def test_a_burden_that_does_not_fit_together_is_refused() -> None:
    with pytest.raises(LabError, match="shape"):
        Burden(capacity_s=np.ones(3), work_s=np.ones((3, 2)), requests=np.ones(2), classes=[VITAL])
