from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from foreshard.app.lab.cast import core_for, policies, policy_named, policy_names
from foreshard.app.trying import ABLATIONS, settings_for
from foreshard.lab.policy.ablation import DeclaredEngine, SheddingNothing
from foreshard.lab.scenario.scenario import SHOP, Family, Scenario
from foreshard.model.errors import LabError
from foreshard.model.workload import Flow
from foreshard.planning.exact import ExactSolver
from foreshard.planning.problem import Problem

SCENARIO = Scenario(
    name="small", family=Family.TRAP, about="A. B.", duration_s=60.0, warm_up_s=1.0
)


def problem(demand_rps: float) -> Problem:
    return Problem(
        cells=("a", "b"),
        resources=("cpu",),
        flows=(Flow("eu", "report"),),
        demand_rps=np.array([demand_rps]),
        needs=np.ones((1, 1)),
        capacity=np.full((2, 1), 100.0),
        eligible=np.ones((1, 2), dtype=bool),
        weight=np.ones(1),
        priority=np.full(1, 2),
        keyed=np.zeros(1, dtype=bool),
        reference=np.full((1, 2), 0.5),
    )


def test_every_policy_has_the_name_it_is_asked_for_by() -> None:
    for name in policies():
        assert policy_named(name).name == name


def test_names_are_put_in_the_order_of_the_tables_and_unknown_ones_refused() -> None:
    assert policy_names(["oracle", "static", "oracle"]) == ("static", "oracle")
    with pytest.raises(LabError, match="'luck' is unknown"):
        policy_names(["luck"])


def test_small_fleets_are_followed_request_by_request_and_large_ones_in_amounts() -> None:
    large = replace(
        SCENARIO, sites=tuple(replace(SCENARIO.sites[0], name=f"c{i}") for i in range(51))
    )
    assert core_for(SCENARIO) == "requests"
    assert core_for(large) == "fluid"
    assert core_for(large, "requests") == "requests"


@pytest.mark.parametrize("name", ABLATIONS)
def test_each_ablation_makes_an_engine_that_lacks_one_thing(name: str) -> None:
    altered, settings = ABLATIONS[name], settings_for(SCENARIO)
    shipped, engine = replace(altered, thresholds={}, budget={}), altered.engine(settings)
    assert engine is not shipped.engine(settings)
    assert altered.lacks
    assert (
        bool(altered.thresholds)
        or bool(altered.budget)
        or altered.make is DeclaredEngine
        or not altered.is_told_needs
        or isinstance(altered.solver(settings), SheddingNothing)
    )


def test_without_shedding_everything_is_served_whatever_comes_of_it() -> None:
    shipped, altered = ExactSolver(), SheddingNothing(solver=ExactSolver())
    over = problem(400.0)
    assert shipped.solve(over).shed[0] > 0.1
    found = altered.solve(over)
    assert found.shed[0] == 0.0
    assert found.shares.sum() == pytest.approx(1.0)
    assert found.utilisation.max() == pytest.approx(2.0)
    calm = problem(80.0)
    np.testing.assert_allclose(altered.solve(calm).shares, shipped.solve(calm).shares)


def test_what_is_declared_is_believed_whatever_was_learned() -> None:
    settings = settings_for(SCENARIO)
    engine = ABLATIONS["foreshard-declared"].engine(settings)
    assert isinstance(engine, DeclaredEngine)
    assert len(SHOP) == len(settings.classes)
