from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreshard.planning.descent import bill, plain_interior
from foreshard.planning.descent.elimination import factorise, solve, workbench_for
from foreshard.planning.descent.interior import begin_inside, central, filled
from foreshard.planning.descent.market import LOWER, UPPER, Curves, Market, market_of
from foreshard.planning.descent.pieces import Pieces, pieces_of
from foreshard.planning.descent.pressing import predict, press
from foreshard.planning.descent.proving import lower_bound
from foreshard.planning.descent.solver import DescentSolver
from foreshard.planning.edges import edges_of
from foreshard.planning.formulation import Prices
from foreshard.planning.instance import Size, after, instance
from foreshard.planning.problem import Floats, Problem
from tests.planning.samples import problems


def cut(problem: Problem) -> tuple[Market, Curves, Pieces]:
    market, curves = market_of(edges_of(problem), Prices())
    return market, curves, pieces_of(market, curves, np.inf)


def constant(market: Market) -> float:
    """What a plan costs before any piece is filled."""
    lower = np.ascontiguousarray(market.terms[:, LOWER])
    return float(bill.own_cost(market, lower, market.least_shed))


@settings(derandomize=True, max_examples=60, deadline=None)
@given(problems(), st.integers(0, 2**31))
def test_pieces_cost_what_the_market_says(problem: Problem, seed: int) -> None:
    market, curves, pieces = cut(problem)
    lower, upper = market.terms[:, LOWER], market.terms[:, UPPER]
    part = np.random.default_rng(seed).uniform(0.0, 1.0, lower.size)
    shares = lower + part * (upper - lower)
    total = np.add.reduceat(shares - lower, market.start[:-1])
    most = 1.0 - market.least_shed - np.add.reduceat(lower, market.start[:-1])
    fit = np.minimum(1.0, np.maximum(0.0, most) / np.maximum(total, 1e-12))
    flow = np.repeat(np.arange(market.scale.size), np.diff(market.start))
    shares = lower + (shares - lower) * fit[flow]
    shed = np.maximum(market.least_shed, 1.0 - np.add.reduceat(shares, market.start[:-1]))
    load = bill.load_of(market, shares)
    amount = np.concatenate([market.scale[flow] * shares, market.scale * shed, load.ravel()])
    ours = plain_interior.split_cost(pieces, amount) + constant(market)
    assert ours == pytest.approx(bill.objective(market, curves, shares, shed), rel=1e-5, abs=1e-4)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(problems(), st.integers(0, 2**31))
def test_prices_step_as_one_dense_system_says(problem: Problem, seed: int) -> None:
    market, _, pieces = cut(problem)
    rng = np.random.default_rng(seed)
    has_pieces = np.diff(pieces.start) > 0
    flex = 10.0 ** rng.uniform(-3.0, 0.0, pieces.base.size) * has_pieces
    bench = workbench_for(market)
    held = has_pieces[-market.unit.size :].reshape(market.unit.shape)
    p, q = rng.normal(size=market.scale.size), rng.normal(size=market.unit.shape) * held
    factorise(market, flex, bench)
    solve(market, p, q, bench)
    level, price = plain_interior.solved(market, pieces, flex, p, q)
    firm = plain_interior.rows(market, pieces)[: p.size] @ flex > 0.0
    assert np.allclose(bench.level[firm], level[firm], rtol=1e-6, atol=1e-6)
    assert np.allclose(bench.price, price, rtol=1e-6, atol=1e-6)


@settings(derandomize=True, max_examples=15, deadline=None)
@given(problems(), st.floats(0.1, 100.0))
def test_a_step_is_the_one_of_all_equations_together(problem: Problem, spread: float) -> None:
    if problem.demand_rps.max() == 0.0:
        return
    market, curves = market_of(edges_of(problem), Prices())
    pieces = pieces_of(market, curves, 1e3)
    at = begin_inside(market, pieces, np.ones(market.unit.shape), spread)
    step = predict(market, pieces, at, workbench_for(market))
    theirs = plain_interior.stepped(market, pieces, at)
    assert np.allclose(step, theirs, rtol=1e-4, atol=1e-6 * np.abs(theirs).max())


@given(st.floats(0.0, 1e9), st.floats(1e-9, 10.0), st.floats(1e-9, 1e3))
def test_a_central_piece_balances_its_cost(cost: float, width: float, centre: float) -> None:
    fill = central(cost, width, centre)
    assert 0.0 < fill <= 0.5 * width * (1.0 + 1e-9)
    balance = centre / fill - centre / (width - fill)
    assert balance == pytest.approx(cost, rel=1e-6, abs=1e-6 * centre / fill)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(problems())
def test_what_it_ends_at_is_proven_and_adds_up(problem: Problem) -> None:
    """Where nobody must shed; what prices of ten tiers do to it is not asked of it."""
    market, curves, pieces = cut(problem)
    found = DescentSolver().split(edges_of(problem))
    if found.shed.max() > 0.0 or found.prices.max() > 1e4:
        return
    at = begin_inside(market, pieces, np.maximum(found.prices, 0.0), 30.0)
    press(market, pieces, at, workbench_for(market), 1e-4, constant(market), 100)
    amount = filled(pieces, at.fill)
    lacking: Floats = plain_interior.rows(market, pieces) @ amount
    assert np.allclose(lacking[: market.scale.size], market.scale, rtol=1e-5)
    bound = lower_bound(market, curves, np.maximum(at.price, 0.0))
    assert bill.gap_ratio(market, curves, found.objective, bound) <= found.gap_ratio + 2e-3


def test_a_surge_that_fills_the_fleet_is_planned_to_a_proven_part_in_a_hundred() -> None:
    edges = instance(Size(cells=100, classes=20), seed=4)
    live = DescentSolver().split(edges)
    found = DescentSolver().split(after(edges, "surge", live.shares, seed=104), live.prices)
    assert found.gap_ratio <= 0.01
    # Sound cells ask what harm in the others costs, and not what comfort does.
    assert np.quantile(found.prices[:, 0], 0.5) > 100.0
    again = DescentSolver().split(after(edges, "surge", live.shares, seed=104), live.prices)
    assert np.array_equal(again.shares, found.shares)
    assert np.array_equal(again.prices, found.prices)


def test_kept_prices_serve_although_load_began_or_ceased_to_matter() -> None:
    edges = instance(Size(cells=100, classes=20), seed=4)
    live = DescentSolver().split(edges)
    later = after(edges, "surge", live.shares, seed=104)
    kept = DescentSolver().split(later, live.prices).prices
    for other in (kept[:, :-1], np.column_stack([kept, kept[:, 0]]), kept[:5]):
        assert DescentSolver().split(later, np.ascontiguousarray(other)).gap_ratio <= 0.01
