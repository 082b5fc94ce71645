from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from foreshard.engine import EngineState
from foreshard.model.events import EventKind, SystemEvent
from foreshard.model.plan import Act, Hold
from foreshard.model.telemetry import Health, Observation
from foreshard.planning.shunning import Stage
from tests.engine.shop import (
    BUDGET,
    CELLS,
    CLASSES,
    POLICY,
    RATES,
    START_S,
    Shop,
    calm,
    engine_of,
    fleet_of,
    leaking,
    maintenance,
    request_class,
    slow_class,
)

SETTLED = 12


def shop(**changes: Any) -> Shop:  # noqa: ANN401 - any field
    fleet = fleet_of()
    return Shop(engine=engine_of(fleet), fleet=fleet, **changes)


def settled(**changes: Any) -> Shop:  # noqa: ANN401 - any field
    made = shop(**changes)
    made.run(SETTLED, calm(0.0))
    return made


def shares(made: Shop, name: str) -> list[float]:
    return [round(made.share(name, cell), 3) for cell in CELLS]


@pytest.mark.parametrize("seed", [0, 3])
def test_a_quiet_fleet_with_poisson_noise_is_left_alone(seed: int) -> None:
    quiet = shop(noise=np.random.default_rng(seed))
    quiet.run(301, calm(0.0))
    assert len(quiet.acts()) == 1
    assert quiet.codes(since=SETTLED) == []


def test_the_first_plan_serves_every_class_from_every_cell_and_says_so() -> None:
    first = shop()
    decision = first.tick()
    assert isinstance(decision.routing, Act)
    assert [r.code for r in decision.routing.because] == ["plan.first"]
    assert shares(first, "checkout") == [0.167] * 6


def test_a_leaking_cell_is_emptied_in_two_strides_restarted_and_returns_slowly() -> None:
    leak = settled()
    leak.run(3, calm(0.0, eu_2=leaking()))
    assert leak.phase("eu-2") == "draining"
    assert leak.share("checkout", "eu-2") == pytest.approx(1 / 12, abs=1e-3)
    halved_s = leak.acts()[-1].now_s
    while leak.phase("eu-2") == "draining":
        assert leak.share("checkout", "eu-2") > 0.0
        leak.tick(calm(0.0, eu_2=leaking()))
    assert leak.now_s - halved_s == 4.0
    assert leak.phase("eu-2") == "drained"
    assert leak.share("checkout", "eu-2") == 0.0
    assert leak.share("search", "eu-2") == 0.0
    asked = [c for d in leak.run(2, calm(0.0, eu_2=leaking())) for c in d.recycle]
    assert [c.cell for c in asked] == ["eu-2"]
    leak.started["eu-2"] = leak.now_s + 3.0
    climb = []
    for _ in range(20):
        leak.tick(calm(0.0))
        climb.append(leak.share("checkout", "eu-2"))
    assert climb == sorted(climb)
    assert len(set(climb)) >= 4
    assert climb[-1] == pytest.approx(1 / 6, abs=1e-3)
    assert leak.phase("eu-2") == "active"


def test_an_urgent_leak_is_evacuated_sooner() -> None:
    waited_s = []
    for p_short in (0.1, 0.95):
        leak = settled()
        while leak.phase("eu-2") != "drained":
            leak.tick(calm(0.0, eu_2=leaking(p_short=p_short)))
        waited_s.append(leak.now_s - START_S)
    assert waited_s[1] < waited_s[0]


def test_a_leaking_cell_that_was_cleared_climbs_from_half_and_never_falls_first() -> None:
    false = settled()
    false.run(4, calm(0.0, eu_2=leaking()))
    climb = []
    for _ in range(20):
        false.tick(calm(0.0))
        climb.append(false.share("checkout", "eu-2"))
    assert climb == sorted(climb)
    assert climb[0] == pytest.approx(1 / 12, abs=1e-3)
    assert climb[-1] == pytest.approx(1 / 6, abs=1e-3)
    assert false.phase("eu-2") == "active"


def test_a_forecast_that_is_old_moves_nothing() -> None:
    stale = settled()
    old = replace(calm(0.0, eu_2=leaking()), made_at_s=stale.now_s)
    stale.now_s += 10.0
    for _ in range(20):
        stale.now_s += 1.0
        stale.state, decision = stale.engine.step(stale.state, stale.observe(), old)
        assert isinstance(decision.routing, Hold)


def test_only_one_cell_is_evacuated_on_a_forecast_at_a_time() -> None:
    two = settled()
    two.run(8, calm(0.0, eu_2=leaking(), us_1=leaking()))
    assert [two.phase("eu-2"), two.phase("us-1")] == ["drained", "active"]
    assert ("us-1", "guard.one_evacuation") in two.codes()


def test_with_a_budget_of_no_evacuation_no_forecast_empties_a_cell() -> None:
    fleet = fleet_of()
    timid = Shop(engine=engine_of(fleet, budget=replace(BUDGET, max_evacuations=0)), fleet=fleet)
    timid.run(SETTLED, calm(0.0))
    timid.run(15, calm(0.0, eu_1=leaking()))
    assert timid.phase("eu-1") == "active"
    assert timid.share("search", "eu-1") == pytest.approx(1 / 6, abs=0.01)


def test_a_crowded_fleet_keeps_the_work_of_a_doubted_cell() -> None:
    full = settled(rates={name: rate * 0.88 / 0.62 for name, rate in RATES.items()})
    full.run(8, calm(0.0, eu_2=leaking()))
    assert full.phase("eu-2") == "active"
    assert full.share("checkout", "eu-2") == pytest.approx(1 / 6, abs=0.01)
    assert ("eu-2", "guard.rest_ceiling") in full.codes()


def test_a_cell_that_kept_half_in_a_crowded_fleet_is_cleared_when_the_evidence_is_gone() -> None:
    full = settled(rates={name: rate * 0.75 / 0.62 for name, rate in RATES.items()})
    full.run(10, calm(0.0, eu_2=leaking()))
    assert full.phase("eu-2") == "drained"
    assert full.share("search", "eu-2") > 0.02
    full.run(30, calm(0.0))
    assert full.phase("eu-2") == "active"
    assert full.share("search", "eu-2") == pytest.approx(1 / 6, abs=0.01)


def test_many_doubted_cells_at_once_are_not_believed() -> None:
    mad = settled()
    mad.run(10, calm(0.0, eu_1=leaking(), eu_2=leaking(), us_1=leaking()))
    assert {mad.phase(cell) for cell in CELLS} == {"active"}
    assert ("fleet", "guard.panic") in mad.codes()
    assert len(mad.acts()) == 1


def test_a_forecast_that_is_distrusted_moves_no_class_and_renews_no_shift() -> None:
    fleet = fleet_of()
    mad = Shop(engine=engine_of(fleet, policy=replace(POLICY, expire_s=10.0)), fleet=fleet)
    mad.run(SETTLED, calm(0.0))
    mad.run(3, calm(0.0, eu_1=leaking()))
    assert mad.phase("eu-1") == "draining"
    doom = calm(0.0, eu_1=leaking(), eu_2=leaking(), us_1=leaking(), us_2=slow_class("search"))
    mad.run(10, doom)
    assert mad.share("search", "us-2") == pytest.approx(1 / 6, abs=0.04)
    assert ("eu-1", "cell.expired") in mad.codes()
    assert mad.phase("eu-1") in {"warming", "active"}


def test_one_of_two_cells_that_leaks_is_believed_and_relieved() -> None:
    fleet = fleet_of(CELLS[:2])
    pair = Shop(engine=engine_of(fleet), fleet=fleet, rates={n: r / 5 for n, r in RATES.items()})
    pair.run(SETTLED, calm(0.0, CELLS[:2]))
    pair.run(15, calm(0.0, CELLS[:2], eu_1=leaking()))
    assert ("fleet", "guard.panic") not in pair.codes()
    # The least number of cells is kept: a trace stays.
    assert 0.0 <= pair.share("search", "eu-1") <= 0.02
    both = calm(0.0, CELLS[:2], eu_1=leaking(), eu_2=leaking())
    pair.run(5, both)
    assert pair.share("search", "eu-2") >= 0.98


def test_a_slow_dependency_moves_search_alone_and_lets_it_back() -> None:
    slow = settled()
    slow.latency_s["search", "eu-1"] = 0.7
    slow.run(6, calm(0.0, eu_1=slow_class("search")))
    assert slow.share("search", "eu-1") == 0.0
    assert slow.share("checkout", "eu-1") == pytest.approx(1 / 6, abs=5e-3)
    assert slow.share("report", "eu-1") == pytest.approx(1 / 6, abs=0.1)
    assert slow.phase("eu-1") == "active"
    assert ("eu-1", "class.shunned") in slow.codes()
    slow.run(8, calm(0.0))
    assert 0.0 < slow.share("search", "eu-1") < 0.01
    del slow.latency_s["search", "eu-1"]
    slow.run(30, calm(0.0))
    assert slow.share("search", "eu-1") == pytest.approx(1 / 6, abs=0.01)
    assert slow.state.shuns == {}


def test_a_class_that_is_still_slow_stays_away() -> None:
    slow = settled()
    slow.latency_s["search", "eu-1"] = 0.7
    slow.run(6, calm(0.0, eu_1=slow_class("search")))
    slow.run(60, calm(0.0))
    assert slow.state.shuns["search", "eu-1"].stage is Stage.AWAY
    assert slow.share("search", "eu-1") < 0.01


def test_a_class_leaves_no_cell_on_a_forecast_while_the_fleet_is_crowded() -> None:
    full = settled(rates={name: 1.42 * rate for name, rate in RATES.items()})
    full.run(10, calm(0.0, eu_1=slow_class("search")))
    assert full.share("search", "eu-1") == pytest.approx(1 / 6, abs=0.03)
    assert ("eu-1", "guard.rest_ceiling") in full.codes()
    full.rates = RATES
    full.run(10, calm(0.0, eu_1=slow_class("search")))
    assert ("eu-1", "class.shunned") in full.codes()


def test_a_doubt_about_a_class_nobody_knows_is_ignored() -> None:
    odd = settled()
    odd.run(6, calm(0.0, eu_1=slow_class("search"), eu_2=slow_class("video")))
    assert set(odd.state.shuns) == {("search", "eu-1")}


def test_a_dead_cell_leaves_in_the_same_tick() -> None:
    crash = settled()
    crash.down = {"us-2"}
    decision = crash.tick(calm(0.0))
    assert isinstance(decision.routing, Act)
    assert [crash.share(name, "us-2") for name in RATES] == [0.0, 0.0, 0.0]
    assert [(r.subject, r.code) for r in decision.routing.because] == [("us-2", "cell.died")]


def test_a_dead_cell_leaves_before_anything_is_known() -> None:
    crash = shop()
    crash.tick()
    crash.down = {"us-2"}
    crash.tick()
    assert shares(crash, "checkout") == [0.2, 0.2, 0.2, 0.2, 0.0, 0.2]


def test_a_dead_cell_leaves_while_the_balancers_are_silent() -> None:
    crash = settled()
    crash.deaf = True
    crash.down = {"us-2"}
    crash.tick()
    assert crash.share("checkout", "us-2") == 0.0
    assert ("fleet", "telemetry.stale") in crash.codes(since=SETTLED)


def test_a_dead_cell_that_came_back_by_itself_returns_slowly() -> None:
    crash = settled()
    crash.down = {"us-2"}
    crash.run(4, calm(0.0))
    crash.down = set()
    crash.run(2, calm(0.0))
    assert crash.share("checkout", "us-2") == 0.0
    crash.run(1, calm(0.0))
    assert 0.0 < crash.share("checkout", "us-2") < 0.05
    crash.run(14, calm(0.0))
    assert crash.phase("us-2") == "active"


def test_one_of_two_cells_that_dies_leaves() -> None:
    fleet = fleet_of(("eu-1", "us-1"))
    pair = Shop(engine=engine_of(fleet), fleet=fleet, rates={n: r / 5 for n, r in RATES.items()})
    pair.run(SETTLED)
    pair.down = {"eu-1"}
    pair.tick()
    assert pair.share("checkout", "us-1") == 1.0


@pytest.mark.parametrize("held", ["refused", "frozen", "blind"])
def test_a_cell_that_comes_back_while_no_plan_gets_out_climbs_all_the_same(held: str) -> None:
    back = settled()
    back.down.add("eu-1")
    back.run(3, calm(0.0))
    back.down.clear()
    back.refused, back.deaf = held == "refused", held == "blind"
    if held == "frozen":
        freeze = maintenance("eu-1", known_s=0.0, starts_s=15.0, ends_s=90.0)
        back.events.append(replace(freeze, kind=EventKind.FREEZE))
    back.run(30, calm(0.0))
    assert back.share("search", "eu-1") == 0.0
    back.refused, back.deaf = False, False
    back.events.clear()
    seen = [back.share("search", "eu-1") for _ in range(3) if back.run(1, calm(0.0))]
    assert 0.0 < max(seen) <= 0.1 / 6 + 0.01
    back.run(20, calm(0.0))
    assert back.share("search", "eu-1") == pytest.approx(1 / 6, abs=0.01)


def test_a_cell_that_never_comes_back_is_restarted_so_often_and_then_left_to_a_person() -> None:
    crash = settled()
    crash.down = {"us-2"}
    asked = [c.cell for d in crash.run(100, calm(0.0)) for c in d.recycle]
    assert asked == ["us-2"] * 3
    assert crash.phase("us-2") == "quarantined"
    assert crash.share("checkout", "us-2") == 0.0


def test_all_cells_dead_is_not_believed_and_nothing_moves() -> None:
    blind = settled()
    table = blind.state.table
    blind.down = set(CELLS)
    blind.run(30, calm(0.0))
    assert blind.state.table is table
    assert ("fleet", "guard.panic") in blind.codes()
    assert {blind.phase(cell) for cell in CELLS} == {"active"}


@dataclass
class Slandered(Shop):
    """A shop in which health checks fail of cells that serve."""

    lied: set[str] = field(default_factory=set)

    def observe(self) -> Observation:
        seen = super().observe()
        ill = {n: replace(seen.cells[n], health=Health.DOWN) for n in self.lied}
        return replace(seen, cells={**seen.cells, **ill})


@pytest.mark.parametrize("at_a_time", [1, 3, 6])
def test_a_health_check_that_fails_everywhere_one_by_one_empties_no_serving_fleet(
    at_a_time: int,
) -> None:
    fleet = fleet_of()
    served = Slandered(engine=engine_of(fleet), fleet=fleet)
    served.run(SETTLED, calm(0.0))
    for first in range(0, len(CELLS), at_a_time):
        served.lied.update(CELLS[first : first + at_a_time])
        served.run(1)
    served.run(40)
    serving = [cell for cell in CELLS if served.share("search", cell) > 0.1]
    assert len(serving) >= 4
    assert ("fleet", "guard.panic") in served.codes()
    # One that fails what it is asked is dead all the same.
    served.down.add(serving[0])
    served.run(3)
    assert served.share("search", serving[0]) == 0.0


def test_a_cell_that_is_silent_and_fails_is_taken_for_dead_after_a_while() -> None:
    hung = settled()
    hung.silent = {"us-2"}
    hung.failed = {(name, "us-2"): 0.8 for name in RATES}
    hung.run(4)
    assert hung.phase("us-2") == "active"
    hung.run(2)
    assert hung.phase("us-2") == "recycling"
    assert hung.share("checkout", "us-2") == 0.0


def test_a_cell_that_is_silent_but_serves_is_left_alone() -> None:
    mute = settled()
    mute.silent = {"us-2"}
    mute.run(30)
    assert mute.phase("us-2") == "active"
    assert len(mute.acts()) == 1


def test_maintenance_drains_ahead_in_two_strides_and_the_cell_returns_after_it() -> None:
    planned = settled()
    planned.events.append(maintenance("eu-3", known_s=13.0, starts_s=40.0, ends_s=50.0))
    planned.run(13, calm(0.0))
    assert planned.phase("eu-3") == "active"
    planned.run(1, calm(0.0))
    assert planned.share("checkout", "eu-3") == pytest.approx(1 / 12, abs=1e-3)
    planned.run(4, calm(0.0))
    assert planned.share("checkout", "eu-3") == 0.0
    assert planned.now_s <= START_S + 40.0 - 10.0
    planned.run(10, calm(0.0))
    planned.down = {"eu-3"}
    planned.run(9, calm(0.0))
    assert planned.phase("eu-3") == "drained"
    planned.down = set()
    planned.run(2, calm(0.0))
    assert planned.share("checkout", "eu-3") == 0.0
    planned.run(14, calm(0.0))
    assert planned.phase("eu-3") == "active"
    assert planned.share("checkout", "eu-3") == pytest.approx(1 / 6, abs=1e-3)
    assert not [c for d in planned.decisions for c in d.recycle]


def test_maintenance_of_every_cell_at_once_leaves_no_class_without_a_cell() -> None:
    planned = settled()
    planned.events += [maintenance(c, known_s=13.0, starts_s=20.0, ends_s=60.0) for c in CELLS]
    planned.run(30, calm(0.0))
    assert sum(planned.share("checkout", cell) for cell in CELLS) == pytest.approx(1.0)


def test_a_window_of_all_cells_is_said_and_the_dead_leave_all_the_same() -> None:
    planned = settled()
    window = maintenance("eu-1", known_s=13.0, starts_s=20.0, ends_s=60.0)
    planned.events.append(replace(window, cells=frozenset()))
    planned.run(10)
    assert {planned.phase(cell) for cell in CELLS} == {"active"}
    assert ("eu-1", "maintenance.kept") in planned.codes()
    planned.down.add("eu-2")
    planned.run(2)
    assert planned.share("checkout", "eu-2") == 0.0


def test_of_cells_in_maintenance_the_dead_leave_also_where_nobody_else_may_serve() -> None:
    fleet = fleet_of()
    stays = {"eu": frozenset({"eu"})}
    own = [replace(c, residency=stays) for c in CLASSES]
    planned = Shop(
        engine=engine_of(fleet, classes=own),
        fleet=fleet,
        rates={name: rate / 3.0 for name, rate in RATES.items()},
    )
    planned.run(SETTLED)
    planned.events += [maintenance(c, known_s=13.0, starts_s=20.0, ends_s=90.0) for c in CELLS[:3]]
    planned.run(16)
    planned.down.add("eu-2")
    planned.run(3)
    assert [planned.phase(cell) for cell in CELLS[:3]] == ["drained"] * 3
    assert planned.share("checkout", "eu-2") == 0.0
    assert planned.share("checkout", "eu-1") > 0.3


def test_silent_balancers_hold_the_plan_and_it_is_said() -> None:
    deaf = settled()
    table = deaf.state.table
    deaf.deaf = True
    for decision in deaf.run(20):
        assert isinstance(decision.routing, Hold)
        assert [r.code for r in decision.routing.because] == ["telemetry.stale"]
    assert deaf.state.table is table


def test_silent_cells_hold_the_plan_and_it_is_said() -> None:
    mute = settled()
    mute.silent = set(CELLS[:4])
    decision = mute.tick(calm(0.0))
    assert isinstance(decision.routing, Hold)
    assert [r.code for r in decision.routing.because] == ["telemetry.stale"]


def test_a_rejected_table_leaves_the_live_one_and_is_tried_again() -> None:
    stubborn = settled()
    table, plan = stubborn.state.table, stubborn.state.plan
    stubborn.refused = True
    stubborn.down = {"us-2"}
    stubborn.run(3, calm(0.0))
    assert (stubborn.state.table, stubborn.state.plan) == (table, plan)
    assert stubborn.state.pending is None
    assert stubborn.state.moved == ()
    versions = [d.routing.table.version for d in stubborn.decisions if isinstance(d.routing, Act)]
    assert versions == sorted(set(versions))
    stubborn.refused = False
    stubborn.tick(calm(0.0))
    assert stubborn.share("checkout", "us-2") == 0.0


def test_adopting_a_live_table_changes_nothing() -> None:
    before = settled(noise=np.random.default_rng(1))
    after = shop(
        live=before.state.table,
        remembered=before.engine.memory(before.state),
        noise=np.random.default_rng(3),
    )
    after.run(40, calm(0.0))
    assert after.acts() == []
    assert after.state.table is before.state.table


def test_a_restart_in_the_middle_of_an_evacuation_goes_on_with_it() -> None:
    before = settled()
    before.run(4, calm(0.0, eu_2=leaking()))
    assert before.phase("eu-2") == "draining"
    after = shop(
        live=before.state.table,
        remembered=before.engine.memory(before.state),
        now_s=before.now_s + 2.0,
    )
    assert after.phase("eu-2") == "draining"
    after.run(12, calm(0.0, eu_2=leaking()))
    assert after.share("checkout", "eu-2") == 0.0


def test_a_cell_that_is_gone_from_the_configuration_leaves_the_adopted_plan() -> None:
    before = settled()
    fleet = fleet_of(CELLS[:5])
    after = Shop(engine=engine_of(fleet), fleet=fleet, live=before.state.table)
    after.run(SETTLED, calm(0.0, CELLS[:5]))
    assert after.share("checkout", "us-3") == 0.0
    assert after.share("checkout", "us-2") == pytest.approx(0.2, abs=1e-3)


def test_a_cell_that_is_new_in_the_configuration_proves_itself_before_it_serves() -> None:
    five = fleet_of(CELLS[:5])
    before = Shop(engine=engine_of(five), fleet=five)
    before.run(SETTLED)
    after = shop(live=before.state.table)
    assert after.phase("us-3") == "recycling"
    after.run(30, calm(0.0))
    assert after.share("checkout", "us-3") == pytest.approx(1 / 6, abs=0.01)


def test_a_class_that_is_new_in_the_configuration_is_served_at_once() -> None:
    fleet = fleet_of()
    before = Shop(engine=engine_of(fleet, classes=CLASSES[:2]), fleet=fleet)
    before.rates = {"checkout": 100.0, "search": 100.0}
    before.run(SETTLED)
    after = shop(live=before.state.table)
    after.tick()
    assert shares(after, "report") == [0.167] * 6


def test_politeness_never_sheds_what_a_cell_in_service_could_answer() -> None:
    fleet = fleet_of()
    classes = [request_class("checkout", regions=frozenset({"eu"})), *CLASSES[1:]]
    bound = Shop(
        engine=engine_of(fleet, classes=classes),
        fleet=fleet,
        rates={"checkout": 60.0, "search": 100.0, "report": 20.0},
    )
    bound.run(SETTLED, calm(0.0))
    bound.down = {"eu-1", "eu-2"}
    bound.run(3, calm(0.0))
    bound.run(6, calm(0.0, eu_3=leaking()))
    assert bound.share("checkout", "") == 0.0
    bound.down = set()
    for _ in range(20):
        bound.tick(calm(0.0))
        assert bound.share("checkout", "") == 0.0


@pytest.mark.parametrize("load", [1.3, 2.0])
def test_under_overload_report_is_shed_before_search_and_checkout_not_at_all(load: float) -> None:
    flood = shop(rates={name: rate * load / 0.62 for name, rate in RATES.items()})
    flood.run(30, calm(0.0))
    assert flood.share("checkout", "") == 0.0
    # At 1.3 nothing else need go: reports are a third of the work.
    assert flood.share("report", "") > 0.8
    assert flood.share("search", "") < flood.share("report", "")


def test_an_act_by_which_cells_leave_says_why() -> None:
    leak = settled()
    leak.run(10, calm(0.0, eu_2=leaking()))
    assert all(d.routing.because for d in leak.acts())


def test_what_moved_is_remembered_over_a_step_that_only_removes_the_dead() -> None:
    leak = settled()
    leak.run(4, calm(0.0, eu_2=leaking()))
    moved = leak.state.moved
    assert moved
    leak.deaf = True
    leak.down = {"us-2"}
    leak.run(1)
    assert leak.share("checkout", "us-2") == 0.0
    assert leak.state.moved == moved


def test_settling_without_anything_pending_changes_nothing() -> None:
    quiet = settled()
    assert quiet.engine.settle(quiet.state, applied=True) is quiet.state


def test_the_memory_of_the_engine_is_what_it_begins_with() -> None:
    leak = settled()
    leak.run(4, calm(0.0, eu_2=leaking()))
    kept = leak.engine.memory(leak.state)
    again: EngineState = leak.engine.begin(leak.state.table, kept, now_s=leak.now_s)
    assert leak.engine.memory(again) == kept


def test_half_a_fleet_that_dies_leaves_and_the_rest_serves() -> None:
    lost = settled()
    lost.down = {"us-1", "us-2", "us-3"}
    lost.tick(calm(0.0))
    assert shares(lost, "checkout") == [0.333, 0.333, 0.333, 0.0, 0.0, 0.0]


def test_a_forecast_that_stops_coming_is_said() -> None:
    stale = settled()
    old = replace(calm(0.0), made_at_s=stale.now_s)
    stale.now_s += 8.0
    _, decision = stale.engine.step(stale.state, stale.observe(), old)
    assert [r.code for r in decision.routing.because] == ["forecast.stale"]


def test_a_change_freeze_keeps_forecasts_from_acting_and_not_the_dead_from_leaving() -> None:
    frozen = settled()
    frozen.events.append(
        SystemEvent(
            id="holiday",
            kind=EventKind.FREEZE,
            cells=frozenset(),
            known_at_s=START_S,
            starts_at_s=START_S,
            ends_at_s=START_S + 500.0,
        )
    )
    frozen.run(10, calm(0.0, eu_2=leaking()))
    assert frozen.phase("eu-2") == "active"
    frozen.down = {"us-2"}
    frozen.tick(calm(0.0))
    assert frozen.share("checkout", "us-2") == 0.0
