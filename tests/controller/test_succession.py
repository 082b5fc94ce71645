"""Classes that change in flight: another engine takes over between two turns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from foreshard.controller.loop import Loop
from foreshard.controller.succession import Heir, Sight
from foreshard.controller.world import World
from foreshard.engine import Engine, EngineState
from foreshard.engine.inheritance import inherited
from foreshard.engine.rehearsal import Rehearsal, Served, rehearse
from foreshard.forecast.demand import quantile_rps
from foreshard.model.routing import WeightRow
from foreshard.model.workload import Match, RequestClass
from foreshard.profile.needs import costs
from tests.controller.test_loop import Stage
from tests.engine.shop import CLASSES, RATES, engine_of, fleet_of, request_class

ORDERS = replace(
    request_class("search"), name="orders", match=Match(path_template="/search/orders/{id}")
)
MORE = (CLASSES[0], ORDERS, *CLASSES[1:])


class Changes:
    """A `Succession` that a test speaks through."""

    def __init__(self) -> None:
        self.next: Heir | None = None
        self.seen: list[Sight] = []

    def due(self) -> Heir | None:
        """What the test has put there, once."""
        heir, self.next = self.next, None
        return heir

    def see(self, sight: Sight) -> None:
        """Keep it."""
        self.seen.append(sight)


class ChangingStage(Stage):
    """A stage whose classes may change."""

    def __init__(self) -> None:
        super().__init__()
        self.changes = Changes()
        world: World = replace(self.loop._world, succession=self.changes)
        self.loop = Loop(self.engine, fleet_of(), world, foresight=None, tick_s=1.0)

    def change(self, *classes: RequestClass) -> Engine:
        """Another engine for other classes, from the next turn on."""
        engine = engine_of(fleet_of(), classes=classes)
        self.changes.next = Heir(
            version=1, engine=engine, classes=classes, default_class=classes[0].name
        )
        return engine


def state_of(stage: ChangingStage) -> EngineState:
    return stage.changes.seen[-1].state


async def test_a_new_class_is_live_at_the_next_turn_and_the_others_stay_where_they_are() -> None:
    stage = ChangingStage()
    await stage.turn(20)
    before = stage.live
    assert before is not None
    stage.change(*MORE)
    await stage.turn()
    after = stage.live
    assert after is not None
    names = [route.request_class.name for route in after.classes]
    assert names == ["checkout", "orders", "search", "report"]
    kept = {r.request_class.name: r.rows for r in before.classes}
    for route in after.classes:
        if route.request_class.name != "orders":
            assert route.rows == kept[route.request_class.name]
    assert after.version == before.version + 1


async def test_what_was_learned_of_the_classes_that_stay_is_kept() -> None:
    stage = ChangingStage()
    await stage.turn(30)
    former, was = stage.engine, state_of(stage)
    heir = engine_of(fleet_of(), classes=MORE)
    state = inherited(was, former=former, heir=heir, now_s=stage.clock.now_s())
    assert state.workload.is_trusted
    known = dict(zip(former.estimator.names, costs(was.workload.needs), strict=True))
    for name, cost in zip(heir.estimator.names, costs(state.workload.needs), strict=True):
        if name in known:
            assert np.allclose(cost, known[name], rtol=1e-6)
    before = dict(
        zip(
            former.estimator.flows,
            quantile_rps(was.workload.demand, ahead_s=5.0, deviations=0.0),
            strict=True,
        )
    )
    after = quantile_rps(state.workload.demand, ahead_s=5.0, deviations=0.0)
    for flow, rate in zip(heir.estimator.flows, after, strict=True):
        if flow in before:
            assert rate == before[flow]
        else:
            assert np.isnan(rate)


async def test_a_class_that_only_changed_its_objective_forgets_nothing() -> None:
    stage = ChangingStage()
    await stage.turn(20)
    tighter = (replace(CLASSES[0], objective_s=0.2), *CLASSES[1:])
    heir = engine_of(fleet_of(), classes=tighter)
    was = state_of(stage)
    state = inherited(was, former=stage.engine, heir=heir, now_s=stage.clock.now_s())
    assert state.workload.needs is was.workload.needs
    assert state.workload.serving.objective_s[0] == 0.2


async def test_a_cell_that_is_out_stays_out_when_classes_change() -> None:
    stage = ChangingStage()
    await stage.turn(20)
    stage.serve(down=("us-2",))
    await stage.turn(3)
    phases = {name: cell.phase for name, cell in state_of(stage).cells.items()}
    assert phases["us-2"] != phases["us-1"]
    stage.change(*MORE)
    await stage.turn()
    assert {name: cell.phase for name, cell in state_of(stage).cells.items()} == phases
    orders = next(r for r in stage.live.classes if r.request_class.name == "orders")
    for row in orders.rows.values():
        assert isinstance(row, WeightRow)
        assert "us-2" not in row.weights


async def test_a_class_that_is_gone_leaves_the_table() -> None:
    stage = ChangingStage()
    await stage.turn(20)
    stage.change(*CLASSES[:2])
    await stage.turn()
    assert stage.live is not None
    assert [r.request_class.name for r in stage.live.classes] == ["checkout", "search"]


def tried(stage: ChangingStage, *classes: RequestClass, taken_ratio: float = 0.0) -> Rehearsal:
    sight = stage.changes.seen[-1]
    now = Served(engine=stage.engine, classes=CLASSES, default_class=CLASSES[0].name)
    heir = engine_of(fleet_of(), classes=classes)
    then = Served(engine=heir, classes=classes, default_class=classes[0].name)
    return rehearse(
        now, then, sight.state, sight.observation, sight.forecast, taken_ratio=taken_ratio
    )


async def test_a_change_that_changes_nothing_moves_nothing() -> None:
    stage = ChangingStage()
    await stage.turn(20)
    done = tried(stage, *CLASSES)
    assert done.moved_ratio == 0.0
    assert done.demand_rps == pytest.approx(sum(RATES.values()))


async def test_a_class_that_is_kept_to_half_of_the_cells_moves_half_of_its_traffic() -> None:
    stage = ChangingStage()
    await stage.turn(20)
    kept = replace(CLASSES[2], cells=frozenset({"eu-1", "eu-2", "eu-3"}))
    done = tried(stage, *CLASSES[:2], kept)
    report = next(each for each in done.moves if each.flow.request_class == "report")
    assert set(report.after) <= kept.cells
    assert report.moved_ratio == pytest.approx(0.5, abs=0.05)
    assert done.moved_ratio >= report.moved_ratio * RATES["report"] / done.demand_rps - 1e-9
    assert state_of(stage).table == stage.live, "a rehearsal has no effects"


async def test_what_a_new_class_takes_is_bounded_by_what_is_there_now() -> None:
    stage = ChangingStage()
    await stage.turn(20)
    done = tried(stage, *MORE, taken_ratio=0.25)
    assert done.at_most_rps == {"orders": pytest.approx(RATES["search"])}
    orders = next(each for each in done.moves if each.flow.request_class == "orders")
    assert orders.demand_rps == pytest.approx(0.25 * RATES["search"])
    assert sum(each.demand_rps for each in done.moves) == pytest.approx(done.demand_rps)


async def test_the_requests_of_a_class_that_goes_are_counted_where_they_then_are() -> None:
    stage = ChangingStage()
    await stage.turn(20)
    wide = replace(CLASSES[0], match=Match())
    done = tried(stage, wide, CLASSES[1])
    assert {each.flow.request_class for each in done.moves} == {"checkout", "search"}
    checkout = next(each for each in done.moves if each.flow.request_class == "checkout")
    assert checkout.demand_rps == pytest.approx(RATES["checkout"] + RATES["report"])
