from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from foreshard.engine import Engine
from foreshard.planning.descent.solver import DescentSolver
from foreshard.planning.problem import Problem
from foreshard.planning.solver import Solution
from tests.engine.shop import BUDGET, CLASSES, POLICY, Shop, calm, fleet_of


@dataclass
class Watched:
    """Plans by prices, and remembers what it was asked and what it answered."""

    asked: list[Problem] = field(default_factory=list)
    told: list[Solution] = field(default_factory=list)

    def solve(self, problem: Problem) -> Solution:
        self.asked.append(problem)
        self.told.append(DescentSolver().solve(problem))
        return self.told[-1]


def ran(ticks: int) -> tuple[Watched, Shop]:
    fleet, solver = fleet_of(), Watched()
    engine = Engine(
        fleet=fleet,
        classes=CLASSES,
        origins=("eu",),
        default_class=CLASSES[0].name,
        solver=solver,
        policy=POLICY,
        budget=BUDGET,
    )
    made = Shop(engine=engine, fleet=fleet)
    made.run(ticks, calm(0.0))
    return solver, made


def test_the_prices_of_a_plan_are_what_the_next_one_begins_at() -> None:
    solver, _ = ran(20)
    assert len(solver.asked) > 2
    assert solver.asked[0].prices is None
    for before, now in zip(solver.told, solver.asked[1:], strict=False):
        assert before.prices is not None
        assert now.prices is not None
        assert np.array_equal(now.prices, before.prices)


def test_kept_prices_give_the_same_plans_again() -> None:
    one, other = ran(20)[0], ran(20)[0]
    for first, second in zip(one.told, other.told, strict=True):
        assert np.array_equal(first.shares, second.shares)
