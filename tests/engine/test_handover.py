from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreshard.engine.estate import Estate
from foreshard.engine.muster import Muster, muster_of
from foreshard.engine.question import pose
from foreshard.model.handover import Answer, Notice, Step
from foreshard.model.plan import Act
from foreshard.model.routing import SlotRow
from foreshard.model.telemetry import CellReading, Health, Missing, Outlet
from foreshard.planning.exact import ExactSolver
from foreshard.planning.handover import Handover, HandoverPhase
from foreshard.planning.phases import CellState, Phase, Why
from foreshard.planning.problem import Problem
from foreshard.planning.slots import counts_of
from tests.engine.data_shop import REPLICAS, DataShop, Saying, classes_of, data_shop, holders
from tests.engine.envoy_model import Fleetwide, Pick
from tests.engine.shop import (
    BUDGET,
    CELLS,
    POLICY,
    RATES,
    START_S,
    calm,
    engine_of,
    fleet_of,
    leaking,
    maintenance,
)

LEAK = {"eu_1": leaking()}


def leak(shop: DataShop, ticks: int) -> None:
    shop.run(ticks, calm(shop.now_s, CELLS, **LEAK))


def posed(shop: DataShop) -> Problem:
    """What the planner would be asked now."""
    return pose(
        shop.state,
        shop.engine._profiler.estimate(shop.state.workload),
        shop.observe(),
        shop.engine._ground,
        policy=POLICY,
        budget=BUDGET,
    )


def slowly(ticks: int) -> Saying:
    def answer(notice: Notice, times: int) -> Answer:
        if notice.step is not Step.PREPARE:
            return Answer.DONE
        return Answer.READY if times >= ticks else Answer.PENDING

    return answer


def test_traffic_waits_for_the_data_and_the_rest_is_planned_around_it() -> None:
    shop = data_shop(answer=slowly(4))
    leak(shop, 4)
    asked = shop.steps(Step.PREPARE)
    assert asked
    assert {n.source for n in asked} == {"eu-1"}
    assert {n.target for n in asked} <= set(REPLICAS["eu-1"])
    assert shop.share("checkout", "eu-1") == pytest.approx(1 / 6, abs=0.001), "data is not there"
    assert shop.share("search", "eu-1") == pytest.approx(1 / 12, abs=0.01), "search left at once"
    leak(shop, 12)
    assert shop.share("checkout", "eu-1") == 0.0
    moved = {n.handover for n in shop.steps(Step.MOVED)}
    assert moved == {n.handover for n in shop.steps(Step.PREPARE)}
    assert not shop.steps(Step.FAILED)


def test_half_is_asked_for_before_the_whole() -> None:
    shop = data_shop(answer=slowly(100))
    leak(shop, 4)
    asked = sum(n.length for n in shop.steps(Step.PREPARE))
    assert asked == pytest.approx(4096 / 12, abs=2)


def test_what_fails_is_tried_elsewhere_and_the_path_cools_down() -> None:
    def answer(notice: Notice, times: int) -> Answer:
        if notice.step is not Step.PREPARE:
            return Answer.DONE
        return Answer.FAILED if notice.target == "eu-2" else Answer.READY

    shop = data_shop(answer=answer)
    leak(shop, 20)
    assert shop.share("checkout", "eu-1") == 0.0
    assert shop.share("checkout", "us-1") == pytest.approx(2 / 6, abs=0.01)
    failed = [n for n in shop.steps(Step.FAILED) if n.target == "eu-2"]
    assert failed
    assert all(n.because == "the service says: said" for n in failed)
    begun = {n.handover.rsplit("/", 1)[1] for n in shop.steps(Step.PREPARE) if n.target == "eu-2"}
    assert len(begun) == 1, "asked once, then left alone"


def test_a_service_that_never_answers_costs_the_timeout_and_loses_nothing() -> None:
    shop = data_shop(answer=lambda _, __: Answer.PENDING)
    leak(shop, 25)
    assert shop.share("checkout", "eu-1") == pytest.approx(1 / 6, abs=0.001)
    assert {n.because for n in shop.steps(Step.FAILED)} >= {"not ready within 5 s"}
    assert ("eu-1", "handover.failed") in shop.codes()
    assert "cell.recycled" not in {code for _, code in shop.codes()}, "it still has work"


def test_a_dead_owner_is_not_asked_and_its_slots_go_to_declared_replicas_at_once() -> None:
    shop = data_shop()
    shop.down.add("eu-3")
    shop.run(2)
    assert shop.share("checkout", "eu-3") == 0.0
    assert shop.share("checkout", "eu-1") + shop.share("checkout", "us-2") == pytest.approx(0.5)
    shop.run(2)
    assert {n.because for n in shop.steps(Step.MOVED)} == {"eu-3 is dead"}
    assert not shop.steps(Step.PREPARE)


def keys_at(shop: DataShop, cell: str, *, dead: bool) -> Mapping[int, int]:
    """Where Envoy sends keys whose slot the live table gives to a cell, by key."""
    assert shop.state.table is not None
    route, place = shop.state.table.classes[0], CELLS.index(cell)
    pick = Pick(0, route, "eu", list(CELLS), random.Random(1))
    never = [float("inf")] * len(CELLS)
    alive = Fleetwide(died_s=list(never), open=[[0] * len(CELLS)])
    found = {key: pick.first(key, alive, 100.0) for key in range(3_000)}
    hit = Fleetwide(died_s=list(never), open=[[0] * len(CELLS)])
    if dead:
        hit.died_s[place] = 0.0
    return {key: pick.first(key, hit, 100.0) for key, at in found.items() if at == place}


@pytest.mark.parametrize("handover_s", [5.0, None])
def test_a_dead_owners_keys_stay_where_the_balancer_has_sent_them(
    handover_s: float | None,
) -> None:
    shop = data_shop(handover_s=handover_s)
    sent = keys_at(shop, "eu-3", dead=True)
    shop.down.add("eu-3")
    shop.run(2)
    heir = CELLS.index("eu-1")
    assert sent
    assert set(sent.values()) == {heir}
    kept = keys_at(shop, "eu-1", dead=False)
    assert set(sent) <= set(kept), "no key moves twice"


def test_balancers_are_told_who_stands_in_for_whom_as_soon_as_it_changes() -> None:
    shop = data_shop()
    assert shop.state.table is not None
    assert shop.state.table.classes[0].backups["eu-3"] == ("eu-1",)
    shop.down.add("eu-1")
    shop.run(2)
    assert shop.state.table.classes[0].backups["eu-3"] == ("us-2",)
    shop.down.add("eu-3")
    shop.run(2)
    assert set(np.flatnonzero(counts_of(holders(shop.state.table), 6)).tolist()) == {1, 3, 4, 5}
    shop.down.clear()
    shop.started |= {"eu-1": shop.now_s, "eu-3": shop.now_s}
    shop.run(40)
    assert shop.phase("eu-1") == "active"
    assert shop.state.table.classes[0].backups["eu-3"] == ("eu-1",)


def test_a_dead_owner_without_a_live_replica_keeps_its_slots() -> None:
    shop = data_shop()
    shop.down |= {"us-2", "us-3"}
    shop.run(4)
    assert shop.share("search", "us-2") == 0.0
    assert shop.share("checkout", "us-2") == pytest.approx(1 / 6, abs=0.001)
    # us-3 has us-1, us-2 only had us-3.
    assert shop.share("checkout", "us-3") == 0.0
    assert shop.state.table is not None
    assert shop.state.table.classes[0].backups["us-2"] == ("us-3",)
    assert ("us-2", "handover.stuck") in shop.codes()
    assert ("us-3", "handover.stuck") not in shop.codes()


def test_an_owner_that_dies_while_it_hands_over_does_not_wait_for_ready() -> None:
    shop = data_shop(answer=slowly(100))
    leak(shop, 4)
    assert shop.steps(Step.PREPARE)
    shop.down.add("eu-1")
    shop.run(3)
    assert shop.share("checkout", "eu-1") == 0.0
    asked = {n.handover for n in shop.steps(Step.PREPARE)}
    ended = {n.handover for n in (*shop.steps(Step.MOVED), *shop.steps(Step.FAILED))}
    assert asked <= ended


def test_a_live_owner_is_not_restarted_before_its_data_has_left() -> None:
    shop = data_shop(handover_s=300.0, answer=slowly(25))
    shop.rates = {"checkout": 2.0, "search": 50.0, "report": 2.0}
    shop.run(10)
    restarted = []
    for _ in range(60):
        held = int((holders(shop.state.table) == 0).sum())
        decision = shop.tick(calm(shop.now_s, CELLS, **LEAK))
        restarted += [(r.cell, held) for r in decision.recycle]
    assert restarted[0] == ("eu-1", 0), "asked of whom, while it held how many slots"
    assert not [n for n in shop.steps(Step.MOVED) if n.because]


def test_a_cell_that_we_restart_is_dead_only_if_it_does_not_come_back() -> None:
    down = {"a": CellReading(health=Health.DOWN, reading=Missing("refused"))}

    def dead(at_s: float, **changes: Any) -> bool:  # noqa: ANN401 - any field
        cell = replace(CellState(phase=Phase.RECYCLING, why=Why.FORECAST, restarts=1), **changes)
        return bool(muster_of({"a": cell}, down, now_s=at_s, restart_s=20.0).dead)

    assert not dead(19.0)
    assert dead(20.0)
    assert dead(1.0, restarts=2), "asked again"
    assert dead(1.0, why=Why.DOWN)
    assert dead(1.0, phase=Phase.DRAINED, why=Why.MAINTENANCE)


def test_a_target_that_falls_ill_is_given_up() -> None:
    shop = data_shop(answer=slowly(100))
    leak(shop, 4)
    assert {n.target for n in shop.steps(Step.PREPARE)} == {"eu-2", "us-1"}
    shop.down.add("us-1")
    leak(shop, 2)
    gone = {n.because for n in shop.steps(Step.FAILED) if n.target == "us-1"}
    assert gone == {"us-1 no longer takes work"}


def test_without_a_hook_slots_move_at_once_but_to_replicas_only() -> None:
    shop = data_shop(handover_s=None)
    shop.ready = _Everything()
    leak(shop, 12)
    assert shop.share("checkout", "eu-1") == 0.0
    assert not shop.told


class _Everything(dict[tuple[int, str, str], float]):
    def __contains__(self, key: object) -> bool:
        return True


def test_a_restart_resumes_what_was_under_way() -> None:
    shop = data_shop(answer=slowly(3))
    leak(shop, 4)
    asked = {n.handover for n in shop.steps(Step.PREPARE)}
    assert asked
    shop.restart()
    assert {h.id for h in shop.state.handovers} == asked
    leak(shop, 12)
    assert asked <= {n.handover for n in shop.steps(Step.MOVED)}


def test_a_restart_learns_from_the_live_table_that_traffic_had_followed() -> None:
    shop = data_shop(answer=slowly(2))
    leak(shop, 4)
    old = shop.engine.memory(shop.state)
    leak(shop, 2)
    assert shop.share("checkout", "eu-1") < 0.1
    state = shop.engine.begin(shop.state.table, old, now_s=shop.now_s)
    assert {h.phase for h in state.handovers} == {HandoverPhase.MOVED}
    forgetful = shop.engine.begin(shop.state.table, {}, now_s=shop.now_s)
    assert (holders(forgetful.table) == holders(shop.state.table)).all()


def test_a_table_that_is_refused_moves_nothing_and_is_tried_again() -> None:
    shop = data_shop()
    leak(shop, 3)
    shop.refused = True
    leak(shop, 3)
    assert not shop.steps(Step.MOVED)
    shop.refused = False
    leak(shop, 8)
    assert shop.share("checkout", "eu-1") == 0.0


def test_nothing_fails_while_a_table_that_moves_it_may_be_live() -> None:
    """The answer to the table was lost: balancers may send traffic to the new cell."""
    shop = data_shop()
    leak(shop, 3)
    asked = {n.handover for n in shop.steps(Step.PREPARE)}
    assert asked
    before = shop.state.table
    shop.refused = True
    leak(shop, 1)
    sent = shop.decisions[-1].routing
    assert isinstance(sent, Act)
    assert (holders(sent.table) != holders(before)).any()
    leak(shop, 20)
    assert not shop.steps(Step.FAILED)
    assert {n.handover for n in shop.steps(Step.PREPARE)} == asked, "nor is more asked for"
    shop.state = shop.engine.adopt(shop.state, sent.table)
    shop.refused = False
    leak(shop, 2)
    followed = {n.handover for n in shop.steps(Step.MOVED)}
    assert followed == asked
    assert not shop.steps(Step.FAILED)


def test_what_was_not_live_after_all_has_failed_if_its_time_is_up() -> None:
    shop = data_shop()
    leak(shop, 3)
    before = shop.state.table
    shop.refused, shop.outlet = True, Outlet.UNKNOWN
    leak(shop, 20)
    assert not shop.steps(Step.FAILED)
    shop.state = shop.engine.adopt(shop.state, before)
    shop.refused, shop.outlet = False, Outlet.OPEN
    leak(shop, 1)
    assert not shop.steps(Step.MOVED), "the service was free to drop the copy by now"
    because = {n.because for n in shop.steps(Step.FAILED)}
    assert because == {"ready, but traffic could not follow within 5 s"}


def test_a_service_copies_nothing_while_tables_are_refused() -> None:
    shop = data_shop()
    leak(shop, 3)
    asked = len(shop.steps(Step.PREPARE))
    shop.refused = True
    shop.outlet = Outlet.SHUT
    leak(shop, 100)
    assert len(shop.steps(Step.PREPARE)) == asked
    assert ("eu-1", "handover.waits") in shop.codes()
    failed = {n.because for n in shop.steps(Step.FAILED)}
    assert failed == {"ready, but traffic could not follow within 5 s"}, (
        "it is known that it did not"
    )
    shop.refused, shop.outlet = False, Outlet.OPEN
    leak(shop, 10)
    assert shop.share("checkout", "eu-1") == 0.0


def test_maintenance_is_announced_to_the_data_too() -> None:
    shop = data_shop(answer=slowly(2))
    at_s = shop.now_s - START_S
    shop.events.append(maintenance("eu-2", known_s=at_s, starts_s=at_s + 25.0, ends_s=at_s + 60.0))
    shop.run(24)
    assert shop.share("checkout", "eu-2") == 0.0


@pytest.mark.parametrize("load", [0.62, 0.72, 0.8, 0.9])
def test_maintenance_moves_data_however_busy_the_rest_is(load: float) -> None:
    shop = data_shop(answer=slowly(2))
    shop.rates = {name: rate * load / 0.62 for name, rate in RATES.items()}
    shop.run(20)
    at_s = shop.now_s - START_S
    shop.events.append(maintenance("eu-2", known_s=at_s, starts_s=at_s + 30.0, ends_s=at_s + 60.0))
    for _ in range(29):
        before = shop.share("checkout", "eu-2")
        shop.tick()
        data = int((holders(shop.state.table) == 1).sum())
        if before > 0.0 and data:
            assert shop.share("checkout", "eu-2") > 0.0, "what it holds, it serves"
    assert not (holders(shop.state.table) == 1).any(), "slots left at the window"
    assert ("eu-2", "maintenance.late") not in shop.codes(since=len(shop.decisions) - 5)


def test_data_leaves_for_maintenance_though_its_replicas_are_full() -> None:
    """As much as the plan has room for goes by the plan; the rest goes all the same, and stays."""
    estate = Estate(fleet_of(), classes_of()[0])
    owners = np.arange(4_096) * 6 // 4_096
    wanted = counts_of(owners, 6)
    wanted[1], wanted[3] = 0, wanted[3] + wanted[1]
    muster = Muster(now_s=10.0, fit=frozenset(CELLS) - {"eu-2"}, leaving=frozenset({"eu-2"}))
    closed = replace(muster, fit=frozenset({"eu-3"}))
    apart = estate.wished((), owners, wanted, muster)
    parts = estate.wished((), owners, wanted, closed)
    for found in (apart, parts):
        assert sum(p.length for p in found if p.source == 1) == (owners == 1).sum()
    open_ones = tuple(
        Handover(
            id=f"h-{p.first}",
            request_class="checkout",
            first=p.first,
            length=p.length,
            slot_count=4_096,
            source=CELLS[p.source],
            target=CELLS[p.target],
            since_s=10.0,
            patience_s=5.0,
        )
        for p in parts
    )
    assert not list(estate.superfluous(open_ones, owners, wanted, closed))
    assert not estate.wished(open_ones, owners, wanted, closed)
    back = replace(closed, leaving=frozenset())
    assert list(estate.superfluous(open_ones, owners, counts_of(owners, 6), back))


def test_a_cell_that_holds_data_when_its_window_begins_is_told_of() -> None:
    shop = data_shop(answer=lambda _, __: Answer.PENDING)
    at_s = shop.now_s - START_S
    shop.events.append(maintenance("eu-2", known_s=at_s, starts_s=at_s + 30.0, ends_s=at_s + 60.0))
    shop.run(18)
    assert ("eu-2", "maintenance.late") not in shop.codes(), "half of it may stay for now"
    shop.run(14)
    late = [
        r.text
        for d in shop.decisions
        for r in d.routing.because
        if (r.subject, r.code) == ("eu-2", "maintenance.late")
    ]
    assert "holds 683 slots of checkout: their data has not moved" in late[0]
    assert "has begun" in late[-1]


def test_both_regions_send_a_key_to_the_same_cell() -> None:
    shop = data_shop(origins=("eu", "us"))
    leak(shop, 15)
    assert shop.state.table is not None
    rows = shop.state.table.classes[0].rows
    assert rows["eu"] == rows["us"]
    assert shop.share("checkout", "eu-1") == 0.0


def test_a_class_that_begins_to_own_data_keeps_its_slots_where_they_are() -> None:
    fleet = fleet_of()
    before = DataShop(engine=engine_of(fleet), fleet=fleet)
    for _ in range(3):
        super(DataShop, before).tick()
    live = before.state.table
    engine = engine_of(fleet, classes=classes_of())
    shop = DataShop(engine=engine, fleet=fleet, live=live)
    for _ in range(12):
        super(DataShop, shop).tick()
    assert live is not None
    assert shop.state.table is not None
    assert shop.state.table.classes[0].rows == live.classes[0].rows
    assert shop.state.table.classes[0].holders == live.classes[0].rows["eu"]


def test_a_recovered_cell_gets_data_back_once_and_not_on_every_step_of_its_climb() -> None:
    shop = data_shop()
    leak(shop, 12)
    assert shop.share("checkout", "eu-1") == 0.0
    begun = len(shop.steps(Step.PREPARE))
    shop.run(4, calm(shop.now_s))
    shop.started["eu-1"] = shop.now_s
    shop.run(60, calm(shop.now_s))
    assert shop.phase("eu-1") == "active"
    assert shop.share("checkout", "eu-1") == pytest.approx(1 / 12, abs=0.01)
    asked = {n.handover.rsplit("/", 1)[1] for n in shop.steps(Step.PREPARE)[begun:]}
    assert len(asked) == 1, "in one go"


def test_shedding_keeps_the_data_where_it_is() -> None:
    shop = data_shop()
    before = holders(shop.state.table)
    shop.rates = {"checkout": 2_000.0, "search": 0.0, "report": 0.0}
    shop.run(10)
    assert shop.state.table is not None
    row = shop.state.table.classes[0].rows["eu"]
    assert isinstance(row, SlotRow)
    assert "" in row.counts()
    assert (holders(shop.state.table) == before).all()
    shop.rates = {"checkout": 180.0, "search": 225.0, "report": 45.0}
    shop.run(30)
    assert (holders(shop.state.table) == before).all()


def test_a_small_imbalance_moves_a_free_class_and_no_data() -> None:
    shop = data_shop()
    before = holders(shop.state.table)
    problem = posed(shop)
    capacity = problem.capacity.copy()
    capacity[0] *= 0.8
    uneven = replace(problem, capacity=capacity, reference=problem.reference)
    _, solution, state, _ = shop.engine._custodian.solve(uneven, shop.state, ExactSolver())
    assert problem.previous is not None
    work = solution.shares - problem.previous
    assert np.abs(work[0]).max() < 1e-6, "data stays"
    assert work[1:, 0].min() < -0.01, "free classes lighten the cell"
    assert not state.handovers
    assert (holders(shop.state.table) == before).all()


def test_a_free_class_alone_would_have_moved_keys_without_data() -> None:
    """The same imbalance, were checkouts only keyed: what the price of moving data changes."""
    shop = data_shop()
    problem = posed(shop)
    away = np.array(problem.previous)
    away[0, 0], away[0, 1] = away[0, 0] - 0.02, away[0, 1] + 0.02
    cheap = replace(problem, previous=away, move_cost=np.array([3.0, 1.0, 1.0]))
    back = ExactSolver().solve(cheap).shares[0]
    assert back == pytest.approx(problem.reference[0], abs=1e-6)


def _refusing(notice: Notice, times: int) -> Answer:
    return Answer.FAILED if notice.step is Step.PREPARE else Answer.DONE


chaos = st.lists(
    st.tuples(
        st.sampled_from(["calm", "leak", "kill", "heal", "freeze", "restart", "refuse"]),
        st.sampled_from(CELLS),
        st.integers(1, 8),
        st.sampled_from([0, 2, 100, -1]),
    ),
    min_size=2,
    max_size=7,
)


# Hundreds of ticks, each planned twice: seconds when the machine is idle.
@pytest.mark.timeout(240)
@settings(max_examples=15, deadline=None)
@given(chaos, st.sampled_from([5.0, None]))
def test_whatever_happens_traffic_follows_data_to_replicas_and_moves_once(
    story: list[tuple[str, str, int, int]], handover_s: float | None
) -> None:
    """The shop watches: a slot that precedes its data, strays or bounces fails the test."""
    shop = data_shop(handover_s=handover_s)
    if handover_s is None:
        shop.ready = _Everything()
    for what, cell, ticks, pace in story:
        shop.answer = slowly(pace) if pace >= 0 else _refusing
        forecast = calm(shop.now_s)
        shop.refused = what == "refuse"
        if what == "leak":
            forecast = calm(shop.now_s, CELLS, **{cell.replace("-", "_"): leaking()})
        elif what == "kill":
            shop.down.add(cell)
        elif what == "heal":
            shop.down.clear()
            shop.started[cell] = shop.now_s
        elif what == "restart":
            shop.restart()
        shop.run(ticks, forecast)
    open_ids = {h.id for h in shop.state.handovers if h.is_open}
    told = {key for key, step in shop.told if step is Step.PREPARE}
    ended = {key for key, step in shop.told if step is not Step.PREPARE}
    kept = {h.id for h in shop.state.handovers}
    assert told <= open_ids | ended | kept, "nobody is left waiting for the last word"


def test_the_same_inputs_give_the_same_notices() -> None:
    one, other = data_shop(answer=slowly(2)), data_shop(answer=slowly(2))
    for shop in (one, other):
        leak(shop, 12)
    assert one.told == other.told
    acts = [d for d in one.decisions if isinstance(d.routing, Act)]
    assert acts == [d for d in other.decisions if isinstance(d.routing, Act)]


def test_a_class_without_data_costs_no_second_plan() -> None:
    shop = data_shop()
    plain = engine_of(fleet_of())
    problem = posed(shop)
    same, _, _, reasons = plain._custodian.solve(problem, shop.state, ExactSolver())
    assert same is problem
    assert not reasons
