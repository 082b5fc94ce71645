from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from foreshard.engine import Engine
from foreshard.model.plan import Plan
from foreshard.model.routing import WeightRow
from foreshard.model.telemetry import Health
from foreshard.planning.case import RELIEVED_RATIO
from foreshard.planning.guards import Admitted, Refused, vet
from foreshard.planning.phases import Why
from foreshard.planning.problem import Floats
from foreshard.planning.situation import Evacuation, Moved, Situation
from foreshard.testing import TRICKS, Adversary, bad_plan
from tests.engine.shop import BUDGET as SHOP_BUDGET
from tests.engine.shop import CLASSES, POLICY, Shop, fleet_of, request_class
from tests.planning.test_guards import BUDGET, CELLS, NOW_S, codes, fleet, judge, shifted

PLACES = tuple((name[:2], f"{name[:2]}{'ab'[int(name[-1]) % 2]}") for name in CELLS)
# A hundredth of a percent of all traffic is rounding.
DUST = 2e-3


@st.composite
def attacks(draw: st.DrawFn) -> tuple[Plan, Floats, Situation]:
    """A bad plan, what is live [F, C], and a fleet in trouble."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    eligible = (rng.random((3, 6)) < 0.8) | np.eye(3, 6, dtype=bool)
    eligible[:, 5] = True
    live = np.where(eligible, rng.dirichlet(np.full(6, 20.0), 3), 0.0)
    live /= live.sum(axis=1, keepdims=True)
    some = st.frozensets(st.sampled_from(CELLS), max_size=2)
    seed, old = draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from([0.0, 11.9]))
    situation = fleet(
        draw(st.sampled_from([0.3, 0.62, 0.8, 0.95])),
        eligible=eligible,
        places=PLACES,
        capacity=rng.uniform(2.0, 4.0, (6, 1)),
        health=dict.fromkeys(CELLS, Health.UP) | dict.fromkeys(draw(some), Health.DOWN),
        telemetry_age_s=dict.fromkeys(CELLS, 1.0) | dict.fromkeys(draw(some), 60.0),
        barred=draw(some),
        frozen=draw(st.sampled_from(["", "", "a freeze ends in 60 s"])),
        evacuating={
            cell: Evacuation(since_s=NOW_S - 30.0, why=Why.FORECAST, share_before=0.3)
            for cell in draw(st.frozensets(st.sampled_from(CELLS), max_size=1))
        },
        moved=(
            Moved(at_s=NOW_S - 5.0, ratio=draw(st.sampled_from([0.0, 0.5])), relieved=draw(some)),
            Moved(at_s=NOW_S - 600.0, ratio=old, chosen=old, relieved=draw(some)),
        ),
    )
    return bad_plan(draw(st.sampled_from(sorted(TRICKS))), live, situation, seed), live, situation


def lived(plan: Plan, live: Floats, situation: Situation) -> tuple[Floats, Floats]:
    """[F, C] what becomes live of a plan, and the base: live without dead and barred cells."""
    before = situation.plan_of(np.column_stack([live, np.zeros(3)]))
    verdict = vet(plan, before, situation, BUDGET)
    kept = verdict.plan if isinstance(verdict, Admitted) else verdict.nearest or before
    base = vet(before, before, situation, BUDGET)
    same = base.plan if isinstance(base, Admitted) else base.nearest or before
    return situation.shares_of(kept)[:, :-1], situation.shares_of(same)[:, :-1]


@settings(max_examples=200)
@given(attacks())
def test_no_bad_plan_passes(attack: tuple[Plan, Floats, Situation]) -> None:
    plan, live, situation = attack
    after, base = lived(plan, live, situation)
    # Sums, eligibility (residency, dead, barred).
    assert np.isfinite(after).all()
    assert (after >= -1e-9).all()
    assert (after.sum(axis=1) <= 1.0 + 1e-6).all()
    assert (after[~situation.permitted] == 0.0).all()
    # The ceiling.
    limit = np.maximum(BUDGET.ceiling, situation.utilisation(base))
    assert (situation.utilisation(after) <= limit + DUST).all()
    # Budgets of change, per tick, minute, hour and region.
    moved, chosen = _moved(situation, live, after), _moved(situation, live, after, base=base)
    distant = float(sum(m.chosen for m in situation.moved))
    recent = float(sum(m.ratio for m in situation.moved if NOW_S - m.at_s < 60.0))
    if moved > DUST:
        assert moved <= BUDGET.max_moved_per_tick + DUST
        assert moved + recent <= BUDGET.max_moved_per_minute + DUST
    if chosen > DUST:
        assert chosen + distant <= BUDGET.max_moved_per_hour + DUST
    # Cooldown and freeze.
    if situation.frozen:
        assert np.abs(after - base).max() <= 1e-6
    had, has = situation.traffic(base), situation.traffic(after)
    needy = _pressed(situation, base).any() or any(
        has[CELLS.index(cell)] < had[CELLS.index(cell)] for cell in situation.evacuating
    )
    for step in () if needy else situation.moved:
        for cell in step.relieved if NOW_S - step.at_s < BUDGET.cooldown_s else ():
            c = CELLS.index(cell)
            assert has[c] <= (1.0 + RELIEVED_RATIO) * had[c] + DUST
    # Silent cells get no more; when most are silent nothing moves.
    for c, cell in enumerate(CELLS):
        if situation.telemetry_age_s[cell] > BUDGET.stale_s and not _is_mobile(situation, cell):
            assert (after[:, c] <= base[:, c] + 1e-5).all()
    # Cells and zones.
    able = situation.permitted.sum(axis=1)
    serving, before = (after >= 0.0095).sum(axis=1), (base >= 0.0105).sum(axis=1)
    assert (serving >= np.minimum(np.minimum(BUDGET.min_cells, able), before)).all()


def _is_mobile(situation: Situation, cell: str) -> bool:
    return situation.health[cell] is Health.DOWN or cell in situation.barred


def _pressed(situation: Situation, base: Floats) -> NDArray[np.bool_]:
    return situation.utilisation(base) > BUDGET.rest_ceiling


def _moved(
    situation: Situation, live: Floats, after: Floats, *, base: Floats | None = None
) -> float:
    """Traffic that leaves cells which it could have stayed in; with a base, by choice."""
    lost = np.maximum(0.0, live - after)
    lost[:, [_is_mobile(situation, cell) for cell in CELLS]] = 0.0
    if base is not None:
        lost[:, _pressed(situation, base)] = 0.0
        lost[:, [cell in situation.evacuating for cell in CELLS]] = 0.0
    return float(situation.value @ np.where(situation.permitted, lost, 0.0).sum(axis=1))


@settings(max_examples=200)
@given(attacks())
def test_the_evacuation_of_a_dead_cell_always_passes(
    attack: tuple[Plan, Floats, Situation],
) -> None:
    plan, live, situation = attack
    after, _ = lived(plan, live, situation)
    for f in range(3):
        for c in np.flatnonzero(situation.dead):
            others = situation.eligible[f] & ~situation.dead
            others &= np.array([name not in situation.barred for name in CELLS])
            if others.any():
                assert after[f, c] == 0.0


def test_guard_region_budget_refuses_to_empty_a_region_at_once() -> None:
    away = np.full((3, 6), 1.0 / 6.0)
    away[:, :3] *= 0.45
    away[:, 3:] += (1.0 - away.sum(axis=1, keepdims=True)) / 3.0
    loose = replace(BUDGET, max_moved_per_tick=1.0, max_moved_per_minute=1.0, max_evacuations=3)
    there = fleet(0.3, places=PLACES)
    even = there.plan_of(np.column_stack([np.full((3, 6), 1 / 6), np.zeros(3)]))
    verdict = vet(there.plan_of(np.column_stack([away, np.zeros(3)])), even, there, loose)
    assert isinstance(verdict, Refused)
    assert "guard.region_budget" in {r.code for r in verdict.reasons}


def test_guard_min_zones_refuses_a_class_in_one_zone_of_its_region() -> None:
    there = fleet(0.3, places=PLACES)
    even = np.full((3, 6), 1 / 6)
    one = even.copy()
    one[1] = [0.5, 0.0, 0.5, 0.0, 0.0, 0.0]
    loose = replace(
        BUDGET, max_moved_per_tick=1.0, max_moved_per_minute=1.0, max_moved_per_region=1.0
    )

    def told(shares: Floats) -> Plan:
        return there.plan_of(np.column_stack([shares, np.zeros(3)]))

    verdict = vet(told(one), told(even), there, loose)
    assert isinstance(verdict, Refused)
    assert "guard.min_zones" in {r.code for r in verdict.reasons}
    near = even.copy()
    near[1] = [0.4, 0.3, 0.3, 0.0, 0.0, 0.0]
    verdict = vet(told(near), told(even), there, loose)
    codes = {r.code for r in verdict.reasons} if isinstance(verdict, Refused) else set()
    assert "guard.min_zones" not in codes


def test_guard_cooldown_refuses_to_give_back_what_was_just_taken() -> None:
    lately = (Moved(at_s=NOW_S - 4.0, ratio=0.1, relieved=frozenset({"eu-1"})),)
    back = np.full((3, 6), 1 / 6)
    back[:, 0] *= 1.2
    back[:, 1:] -= (back.sum(axis=1, keepdims=True) - 1.0) / 5.0
    for age_s, passes in ((4.0, False), (11.0, True)):
        moved = (replace(lately[0], at_s=NOW_S - age_s),)
        there = fleet(0.3, moved=moved)
        even = there.plan_of(np.column_stack([np.full((3, 6), 1 / 6), np.zeros(3)]))
        verdict = vet(there.plan_of(np.column_stack([back, np.zeros(3)])), even, there, BUDGET)
        assert isinstance(verdict, Admitted) is passes


def test_guard_change_freeze_refuses_every_choice_and_lets_the_dead_leave() -> None:
    even = np.full((3, 6), 1 / 6)
    some = even.copy()
    some[:, 0], some[:, 1] = 0.15, even[0, 1] + (even[0, 0] - 0.15)
    health = dict.fromkeys(CELLS, Health.UP) | {"us-3": Health.DOWN}
    there = fleet(0.3, frozen="a freeze ends in 60 s", health=health)
    verdict = vet(
        there.plan_of(np.column_stack([some, np.zeros(3)])),
        there.plan_of(np.column_stack([even, np.zeros(3)])),
        there,
        BUDGET,
    )
    assert isinstance(verdict, Refused)
    assert "guard.change_freeze" in {r.code for r in verdict.reasons}
    assert verdict.nearest is not None
    shares = there.shares_of(verdict.nearest)
    assert shares[:, 5].tolist() == [0.0, 0.0, 0.0]
    assert shares[:, 0] == pytest.approx(np.full(3, 0.2))


@settings(max_examples=6)
@given(st.integers(0, 2**32 - 1), st.data())
def test_an_engine_with_an_adversary_for_a_planner_does_no_harm(
    seed: int, data: st.DataObject
) -> None:
    names = ("eu-1", "eu-2", "eu-3", "us-1", "us-2", "us-3")
    home = request_class("report", regions=frozenset({"eu"}))
    stays = request_class("checkout", residency={"us": frozenset({"us"})})
    classes = (stays, CLASSES[1], home)
    fleet_ = fleet_of(names)
    engine = Engine(
        fleet=fleet_,
        classes=classes,
        origins=("eu", "us"),
        default_class="search",
        solver=Adversary(seed),
        policy=POLICY,
        budget=SHOP_BUDGET,
    )
    shop = Shop(
        engine=engine,
        fleet=fleet_,
        origins=("eu", "us"),
        rates={"checkout": 100.0, "search": 130.0, "report": 15.0},
    )
    shop.run(10)
    dead = data.draw(st.sampled_from(names))
    shop.down.add(dead)
    shop.run(4)
    for decision in shop.run(25):
        assert shop.state.table is not None
        for route in shop.state.table.classes:
            for origin, row in route.rows.items():
                named = row.weights if isinstance(row, WeightRow) else row.counts()
                for cell in set(named) - {""}:
                    assert route.request_class.allows(origin, fleet_.cell(cell).region)
                    assert cell != dead
        for reading in shop.observe().cells.values():
            gauges = getattr(getattr(reading.reading, "metrics", None), "gauges", {})
            assert all(g.utilisation < 1.0 for g in gauges.values())
        assert decision.plan is not None


def spent(load: float = 0.5, **changed: Any) -> Situation:  # noqa: ANN401 - any field
    """A fleet that has moved all it may in this hour, and just took work off us-1."""
    moved = (Moved(at_s=NOW_S - 5.0, ratio=0.0, chosen=12.0, relieved=frozenset({"us-1"})),)
    return fleet(load, places=PLACES, moved=moved, **changed)


def refused(shares: Floats, there: Situation) -> set[str]:
    return codes(judge(shares, there))


def test_an_evacuation_needs_no_budget_of_the_hour_and_waits_for_no_cooldown() -> None:
    begun = {"eu-1": Evacuation(since_s=NOW_S, why=Why.FORECAST, share_before=1 / 6)}
    shares = shifted(0, to=0.51)
    shares[:, 3] += shares[:, 4] / 2.0
    shares[:, 4] /= 2.0
    assert "guard.cooldown" in refused(shares, spent())
    assert "guard.change_budget" in refused(shifted(0, to=0.7), spent())
    assert refused(shifted(0, to=0.51), spent(evacuating=begun)) == set()
    assert "guard.cooldown" not in refused(shares, spent(evacuating=begun))


def test_a_crowded_cell_is_relieved_whatever_the_hour_has_moved() -> None:
    crowded = np.array([1.5, 3.0, 3.0, 3.0, 3.0, 3.0])[:, None]
    assert "guard.change_budget" in refused(shifted(0, to=0.7), spent(0.4))
    assert refused(shifted(0, to=0.7), spent(0.5, capacity=crowded)) == set()


def test_a_class_that_must_leave_a_cell_leaves_the_only_one_of_its_zone() -> None:
    places = (("eu", "a"), ("eu", "a"), ("eu", "b"), *PLACES[3:])
    eligible = np.ones((3, 6), dtype=bool)
    eligible[:, 3:] = False
    there = fleet(0.3, places=places, eligible=eligible)
    live = np.where(eligible, 1 / 3, 0.0)
    gone = live.copy()
    gone[0] = [0.45, 0.55, 0.0, 0.0, 0.0, 0.0]
    told = there.plan_of(np.column_stack([gone, np.zeros(3)]))
    before = there.plan_of(np.column_stack([live, np.zeros(3)]))
    name = there.flows[0].request_class
    for shunned, passes in ((frozenset(), False), (frozenset({(name, "eu-3")}), True)):
        verdict = vet(told, before, replace(there, shunned=shunned), BUDGET)
        assert ("guard.min_zones" not in codes(verdict)) is passes


def test_what_a_cell_may_not_have_back_yet_goes_to_others_and_holds_up_nobody() -> None:
    lately = (Moved(at_s=NOW_S - 4.0, ratio=0.1, relieved=frozenset({"us-1"})),)
    wanted = shifted(0, to=0.6)
    wanted[:, 3] += wanted[:, 4] * 0.3
    wanted[:, 4] *= 0.7
    verdict = judge(wanted, fleet(0.5, moved=lately))
    assert isinstance(verdict, Refused)
    assert codes(verdict) == {"guard.cooldown"}
    assert verdict.nearest is not None
    got = fleet().shares_of(verdict.nearest)[:, :-1]
    assert got[:, 0] == pytest.approx(wanted[:, 0] * got[:, 1] / wanted[:, 1], abs=0.03)
    assert (got[:, 0] < 0.8 / 6.0).all()
    assert (got[:, 3] <= 1.0 / 6.0 + 1e-9).all()


def test_a_plan_that_only_waits_for_a_cooldown_is_no_alarm() -> None:
    lately = (Moved(at_s=NOW_S - 4.0, ratio=0.1, relieved=frozenset({"eu-1"})),)
    back = np.full((3, 6), 0.95 / 6.0)
    back[:, 0] += 0.05
    verdict = judge(back, fleet(0.5, moved=lately))
    assert isinstance(verdict, Refused)
    assert not verdict.is_stuck
