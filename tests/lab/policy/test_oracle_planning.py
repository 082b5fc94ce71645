from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreshard.lab import service
from foreshard.lab.policy.crowd import crowded
from foreshard.lab.policy.oracle import SHED_UTILISATION, Oracle, drafted, posed
from foreshard.lab.policy.outlook import FULLEST, Outlook, fullness, outlook_of
from foreshard.lab.policy.program import Draft, even_slots
from foreshard.lab.policy.restarts import Nurse, is_curable
from foreshard.lab.scenario.fault import FaultLine, Kind, Recovery, Shape
from foreshard.lab.scenario.scenario import SHOP, Family, Load, Scenario
from foreshard.lab.simulation.effects import Effects, Floats, calm
from foreshard.lab.simulation.foresight import Foresight
from foreshard.lab.simulation.weather import Weather
from foreshard.model.errors import LabError
from foreshard.planning.exact import ExactSolver
from tests.lab.policy.stages import CHECKOUT, REPORT, SEARCH, shop
from tests.lab.policy.test_peer import Props

CPU_S = np.array([offer.work.cpu_s for offer in SHOP])
WELL = calm(6, 3, 1, connections=service.CONNECTIONS)


def asked(load: float) -> Floats:
    return service.offered_rps(load) * np.array([list(service.MIX.values())])


def outlook(*coming: Effects, load: float = 0.62) -> Outlook:
    return outlook_of(shop(), SHOP, coming, asked(load), service_cv=0.5)


def planned(*coming: Effects, load: float = 0.62) -> Draft:
    setting, demand = shop(), asked(load)
    problem = posed(setting, CPU_S, CPU_S + 0.01, outlook(*coming, load=load), demand)
    solution = ExactSolver().solve(problem)
    assert solution.has_plan
    return drafted(setting, solution.shares.reshape(setting.shape), demand, even_slots(setting))


def slowed(speeds: dict[int, float]) -> Effects:
    speed = np.ones(6)
    for cell, value in speeds.items():
        speed[cell] = value
    return replace(WELL, speed=speed)


def waiting(k: int, cells: list[int], seconds: float) -> Effects:
    wait_s = np.zeros((6, 3))
    wait_s[cells, k] = seconds
    return replace(WELL, wait_s=wait_s)


def test_more_and_faster_cpus_may_be_fuller_and_keyed_work_needs_more_room() -> None:
    fill = outlook(WELL).cpu / 3.0
    assert fill.tolist() == pytest.approx([FULLEST] * 6)
    cpus = np.array([3.0, 6.0, 60.0, 0.3])
    filled = fullness(cpus, 0.025, np.full(4, 0.3), tail=5.5)
    assert filled[0] == pytest.approx(0.85, abs=0.01)
    assert filled[0] < fullness(cpus, 0.025, np.full(4, 0.3), tail=1.5)[0]
    assert filled[0] < filled[1] < filled[2] == FULLEST
    assert filled[3] == 0.0, "a request takes too long for any queue"


def test_in_quiet_the_plan_is_even_and_nothing_is_shed() -> None:
    draft = planned(WELL)
    assert draft.share[0, SEARCH].tolist() == pytest.approx([1 / 6] * 6)
    assert draft.slots == even_slots(shop())
    assert draft.shed is not None
    assert draft.shed.max() == 0.0


def test_the_worst_of_the_coming_seconds_counts() -> None:
    dead = replace(WELL, is_up=np.array([True, False, True, True, True, True]))
    draft = planned(WELL, WELL, dead)
    assert draft.share[0, :, 1].tolist() == [0.0, 0.0, 0.0]
    assert "eu-2" not in draft.slots[CHECKOUT].counts()


def test_only_the_class_that_would_be_late_leaves() -> None:
    draft = planned(waiting(SEARCH, [0, 4], 1.5))
    assert draft.share[0, SEARCH, [0, 4]].tolist() == [0.0, 0.0]
    assert draft.share[0, REPORT, 0] > 0.1
    assert draft.slots[CHECKOUT].counts()["eu-1"] > 500


def test_what_does_not_fit_is_shed_and_no_more() -> None:
    zone = slowed({0: 0.12, 1: 0.12, 2: 0.12})
    draft = planned(zone)
    assert draft.shed is not None
    assert draft.shed[0, CHECKOUT] == 0.0
    assert draft.shed[0, SEARCH] == 0.0
    need = float(asked(0.62)[0] @ CPU_S)
    room = float(outlook(zone).cpu.sum())
    lacking = (need - room) / float(asked(0.62)[0, REPORT] * CPU_S[REPORT])
    assert draft.shed[0, REPORT] == pytest.approx(lacking, abs=0.02)


def test_a_cell_that_fails_requests_gets_none_of_those_that_others_can_serve() -> None:
    error_ratio = np.zeros((6, 3))
    error_ratio[3] = 0.3
    assert planned(replace(WELL, error_ratio=error_ratio)).share[0, SEARCH, 3] == 0.0


def test_a_cell_with_few_connections_gets_what_they_can_hold() -> None:
    few = WELL.connections.copy()
    few[2] = 2.0
    draft = planned(replace(WELL, connections=few))
    held = draft.share[0, :, 2] * asked(0.62)[0] * (CPU_S + 0.01)
    assert held.sum() <= 0.7 * 2.0


def test_when_nobody_can_serve_in_time_everybody_tries() -> None:
    draft = planned(waiting(SEARCH, list(range(6)), 2.0))
    assert draft.share[0, SEARCH].sum() == pytest.approx(1.0)


@given(st.lists(st.sampled_from([0.3, 0.6, 1.0]), min_size=6, max_size=6))
@settings(max_examples=25, deadline=None)
def test_cells_that_are_alike_may_be_planned_as_one(speeds: list[float]) -> None:
    setting, demand = shop(), asked(0.62)
    found = outlook(slowed(dict(enumerate(speeds))))
    crowd = crowded(setting, found)
    apart, together = (
        ExactSolver().solve(posed(where, CPU_S, CPU_S + 0.01, what, demand))
        for where, what in ((setting, found), (crowd.setting, crowd.outlook))
    )
    assert together.shed == pytest.approx(apart.shed, abs=0.01)
    shares = crowd.spread(together.shares.reshape(crowd.setting.shape))
    assert shares.sum(axis=2)[0] == pytest.approx(1.0 - together.shed, abs=1e-6)
    used = (shares[0] * demand[0, :, None] * CPU_S[:, None]).sum(axis=0)
    assert (used <= found.cpu / SHED_UTILISATION * 0.98 + 1e-6).all()
    alike = {(group, round(u / 3.0, 6)) for group, u in zip(crowd.group, used, strict=True)}
    assert len(alike) == len(set(crowd.group.tolist()))


def line(kind: Kind, **more: object) -> FaultLine:
    fields = {"cells": ("eu-1",), "at_s": 20.0, "grows_s": 20.0, "magnitude": 0.3}
    return FaultLine(kind=kind, **{**fields, **more})  # type: ignore[arg-type] # any field


def a_scenario(*faults: FaultLine, load: float = 0.62) -> Scenario:
    return Scenario(
        name="sample",
        family=Family.PREDICTABLE,
        about="Something happens.",
        duration_s=200.0,
        load=Load(utilisation=load, swing_ratio=0.0),
        faults=faults,
    )


def restarted(scenario: Scenario, *, until_s: float = 150.0) -> list[tuple[float, str]]:
    """When a nurse restarts whom."""
    weather = Weather(scenario, seed=1)
    truth, nurse, found = Foresight(weather), Nurse(scenario, shop()), []
    for now_s in np.arange(0.0, until_s):
        load = scenario.load.utilisation
        weather.at(float(now_s), np.tile(asked(load).sum(axis=0) / 6.0, (6, 1)))
        for cell in nurse.visit(truth, asked(load), now_s=float(now_s)):
            found.append((float(now_s), cell))
            weather.restart(cell, float(now_s))
    return found


def test_a_creeping_cell_is_restarted_once_and_early() -> None:
    (moment, cell), *more = restarted(a_scenario(line(Kind.CREEP)))
    assert cell == "eu-1"
    assert moment < 32.0
    assert not more


def test_what_a_restart_does_not_cure_is_not_restarted() -> None:
    assert not restarted(a_scenario(line(Kind.THROTTLE)))


def test_a_lone_leak_is_left_to_die_by_itself_and_twins_are_parted() -> None:
    assert not restarted(a_scenario(line(Kind.LEAK, magnitude=1.0, grows_s=60.0)))
    twins = line(Kind.LEAK, magnitude=1.0, grows_s=60.0, cells=("eu-1", "eu-2"))
    found = restarted(a_scenario(twins))
    assert len(found) == 1
    assert found[0][0] < 80.0


def test_a_leak_whose_end_depends_on_load_is_not_waited_for() -> None:
    leak = line(Kind.LEAK, magnitude=1.0, grows_s=60.0, shape=Shape.LOAD)
    assert [cell for _, cell in restarted(a_scenario(leak))] == ["eu-1"]


def test_no_restart_where_the_others_cannot_carry_the_work() -> None:
    assert not restarted(a_scenario(line(Kind.CREEP), load=0.9))


def test_a_cure_is_for_what_began_and_lives_in_the_process() -> None:
    creep = line(Kind.CREEP)
    assert not is_curable(creep, "eu-1", now_s=10.0)
    assert is_curable(creep, "eu-1", now_s=21.0)
    assert not is_curable(creep, "eu-2", now_s=21.0)
    assert is_curable(line(Kind.ERRORS, recovery=Recovery.RESTART), "eu-1", now_s=21.0)
    assert not is_curable(line(Kind.ERRORS), "eu-1", now_s=21.0)


async def test_an_oracle_that_is_told_nothing_refuses() -> None:
    with pytest.raises(LabError, match="schedule"):
        await Oracle().steer(Props().stage(None), asyncio.Event())
