from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from foreshard.adapters.store.decision_json import decode, encode
from foreshard.model.errors import InvalidValueError
from foreshard.model.plan import Decision, Intent
from foreshard.model.topology import Fleet
from foreshard.model.workload import Priority, RequestClass
from foreshard.planning.brief import Ground
from foreshard.planning.holdout import Withheld, withhold
from foreshard.planning.judgement import Doubt, Judgement
from foreshard.planning.phases import CellState, Phase
from foreshard.planning.policy import Policy
from foreshard.planning.shunning import Shun, Stage
from tests.engine.shop import (
    CELLS,
    CLASSES,
    POLICY,
    Shop,
    calm,
    engine_of,
    fleet_of,
    leaking,
    slow_class,
)

HALF = replace(POLICY, holdout_ratio=0.5)
ACTIVE = dict.fromkeys(CELLS, CellState())


def shop(policy: Policy) -> Shop:
    fleet = fleet_of()
    made = Shop(engine=engine_of(fleet, policy=policy), fleet=fleet)
    made.run(12, calm(0.0))
    return made


def doubt(cell: str, gauge: str = "memory", p: float = 0.9) -> Doubt:
    return Doubt(cell=cell, gauge=gauge, p_short=0.1, p_long=p, span=None, text="")


def judged(
    request_class: str = "",
    *,
    now_s: float = 0.0,
    seed: int = 0,
    classes: tuple[RequestClass, ...] = CLASSES,
    cells: Mapping[str, CellState] = ACTIVE,
    shuns: Mapping[tuple[str, str], Shun] | None = None,
    p: float = 0.9,
) -> Withheld:
    """Of the doubts about all cells, or about one class in all cells."""
    fleet: Fleet = fleet_of()
    doubts = {cell: doubt(cell, p=p) for cell in CELLS}
    return withhold(
        Judgement(
            cells={} if request_class else doubts,
            classes={(request_class, c): d for c, d in doubts.items()} if request_class else {},
        ),
        cells=cells,
        shuns=shuns or {},
        ground=Ground(
            fleet=fleet, classes={c.name: c for c in classes}, flows=(), resources=("cpu",)
        ),
        policy=replace(HALF, holdout_seed=seed),
        now_s=now_s,
    )


def test_nothing_is_withheld_unless_it_is_asked_for() -> None:
    slow = shop(POLICY)
    slow.run(6, calm(0.0, eu_1=slow_class("report")))
    intents = [intent for decision in slow.decisions for intent in decision.intents]
    assert {(i.cell, i.request_class) for i in intents} == {("eu-1", "report")}
    assert all(i.propensity == 1.0 and i.acted for i in intents)
    assert ("eu-1", "holdout.withheld") not in slow.codes()


def test_about_the_part_asked_for_is_withheld_and_its_propensity_is_told() -> None:
    intents = [i for seed in range(200) for i in judged("report", seed=seed).intents]
    assert {i.propensity for i in intents} == {0.5}
    withheld = sum(not i.acted for i in intents) / len(intents)
    assert withheld == pytest.approx(0.5, abs=0.05)


def test_what_is_withheld_is_not_acted_upon_and_the_rest_is() -> None:
    found = judged("report")
    acted = {("report", i.cell) for i in found.intents if i.acted}
    assert set(found.judgement.classes) == acted
    assert 0 < len(acted) < len(CELLS)
    assert {r.subject for r in found.reasons} == set(CELLS) - {c for _, c in acted}


def test_critical_requests_never_pay() -> None:
    for seed in range(50):
        of_class = judged("checkout", seed=seed)
        # Every cell serves checkout, so no cell is left to fail.
        of_cells = judged(seed=seed)
        assert all(i.acted and i.propensity == 1.0 for i in of_class.intents + of_cells.intents)
        assert len(of_cells.judgement.cells) == len(CELLS)


def test_a_cell_without_critical_requests_may_be_withheld() -> None:
    plain = tuple(c for c in CLASSES if c.priority is not Priority.CRITICAL)
    found = [judged(seed=seed, classes=plain) for seed in range(20)]
    assert any(len(each.judgement.cells) < len(CELLS) for each in found)


def test_the_coin_lies_for_an_hour_and_is_thrown_anew() -> None:
    def fallen(now_s: float) -> list[bool]:
        return [i.acted for i in judged("report", now_s=now_s).intents]

    assert fallen(0.0) == fallen(3599.0)
    assert any(fallen(0.0) != fallen(3600.0 * hour) for hour in range(1, 5))


def test_whoever_is_being_relieved_is_not_left_half_way() -> None:
    draining = dict.fromkeys(CELLS, CellState(phase=Phase.DRAINING))
    assert judged(cells=draining).intents == ()
    away = Shun(stage=Stage.AWAY, since_s=0.0, seen_s=0.0, evidence="")
    found = judged("report", shuns={("report", cell): away for cell in CELLS})
    assert found.intents == ()
    assert len(found.judgement.classes) == len(CELLS)


def test_a_doubt_too_weak_to_act_upon_is_no_intent() -> None:
    assert judged(p=0.3).intents == ()


def test_the_engine_leaves_a_withheld_class_where_it_is_and_says_so() -> None:
    names = {"eu-1": "eu_1", "eu-2": "eu_2", "us-1": "us_1"}
    seed = next(
        s
        for s in range(100)
        if not judged("report", seed=s, now_s=shop(POLICY).now_s).intents[0].acted
    )
    cell = CELLS[0]
    slow = shop(replace(HALF, holdout_seed=seed))
    slow.run(6, calm(0.0, **{names[cell]: slow_class("report")}))
    assert (cell, "holdout.withheld") in slow.codes()
    assert ("report", cell) not in slow.state.shuns
    intent = slow.decisions[-1].intents[0]
    assert (intent.acted, intent.propensity) == (False, 0.5)


def test_a_leaking_cell_that_serves_critical_requests_is_left_all_the_same() -> None:
    leak = shop(HALF)
    leak.run(30, calm(0.0, eu_1=leaking()))
    assert leak.phase("eu-1") != "active"
    assert leak.decisions[12].intents[0] == Intent(
        cell="eu-1",
        request_class="",
        p=leak.decisions[12].intents[0].p,
        propensity=1.0,
        acted=True,
    )


def test_intents_are_recorded_with_the_decision() -> None:
    slow = shop(HALF)
    slow.run(1, calm(0.0, eu_1=slow_class("report")))
    decision = slow.decisions[-1]
    assert decision.intents
    read = decode(Decision, json.loads(json.dumps(encode(decision))))
    assert read.intents == decision.intents


def test_withholding_more_than_half_is_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"holdout_ratio is 0\.6"):
        replace(POLICY, holdout_ratio=0.6)
    with pytest.raises(InvalidValueError, match=r"propensity is 0\.0"):
        Intent(cell="a", request_class="", p=0.9, propensity=0.0, acted=False)
