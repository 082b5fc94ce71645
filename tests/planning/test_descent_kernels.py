from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreshard.planning.descent import bill, plain
from foreshard.planning.descent.beginning import begin
from foreshard.planning.descent.filling import COLUMNS
from foreshard.planning.descent.market import Curves, Market, market_of
from foreshard.planning.descent.overload import softened
from foreshard.planning.descent.quoting import DOWN, PRICE, ROOM_DOWN, ROOM_UP, UP, quote_all
from foreshard.planning.descent.visiting import State, sweep, visit
from foreshard.planning.edges import edges_of
from foreshard.planning.formulation import Prices
from foreshard.planning.problem import Floats, Problem
from tests.planning.samples import problems

Market_ = tuple[Market, Curves, State]


def opened(problem: Problem) -> Market_:
    """A compiled problem, and a state to descend from."""
    edges = edges_of(problem)
    market, curves = market_of(edges, Prices())
    shares, shed = begin(market, edges.priority, curves.limit)
    load = bill.load_of(market, shares)
    quotes = np.empty((*load.shape, 5))
    quote_all(load, curves, quotes)
    return market, curves, (shares, shed, load, quotes)


def cost(market: Market, curves: Curves, shares: Floats, shed: Floats) -> float:
    load = plain.load_of(market, shares)
    return plain.own_cost(market, shares, shed) + plain.cells_cost(load, curves)


def test_numpy_is_the_reference_of_every_figure_on_the_bill() -> None:
    @settings(max_examples=40, deadline=None)
    @given(problems(), st.integers(0, 2**31))
    def check(problem: Problem, seed: int) -> None:
        market, curves, (shares, shed, load, quotes) = opened(problem)
        prices = quotes[:, :, PRICE] * np.random.default_rng(seed).uniform(0.5, 1.5, load.shape)
        assert np.allclose(bill.load_of(market, shares), plain.load_of(market, shares))
        assert np.allclose(quotes[:, :, PRICE], plain.price_at(load, curves), rtol=1e-6)
        for ours, theirs in (
            (bill.own_cost(market, shares, shed), plain.own_cost(market, shares, shed)),
            (bill.cells_cost(load, curves), plain.cells_cost(load, curves)),
            (bill.conjugate(prices, curves), plain.conjugate(prices, curves)),
            (
                bill.bound_gap(market, shares, shed, prices),
                plain.bound_gap(market, shares, shed, prices),
            ),
        ):
            assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-6)

    check()


@settings(max_examples=60, deadline=None)
@given(problems())
def test_a_quote_is_good_up_to_the_next_kink(problem: Problem) -> None:
    _, curves, (_, _, load, quotes) = opened(problem)
    for part in (0.3, 0.9):
        up = np.minimum(quotes[:, :, ROOM_UP], 1.0) * part
        down = np.minimum(quotes[:, :, ROOM_DOWN], load) * part
        more = quotes[:, :, PRICE] + quotes[:, :, UP] * up
        less = quotes[:, :, PRICE] - quotes[:, :, DOWN] * down
        assert np.allclose(more, plain.price_at(load + up, curves), rtol=1e-4, atol=1e-3)
        assert np.allclose(less, plain.price_at(load - down, curves), rtol=1e-4, atol=1e-3)


@settings(max_examples=8, deadline=None)
@given(problems(), st.integers(0, 100))
def test_visits_lead_to_the_best_split_of_a_flow(problem: Problem, which: int) -> None:
    market, curves, state = opened(problem)
    f = which % market.scale.size
    best, shed = plain.best_split(market, curves, f, state[0], state[2])
    there, refused = state[0].copy(), state[1].copy()
    there[market.start[f] : market.start[f + 1]] = best
    refused[f] = shed
    most = int(np.diff(market.start).max())
    desk = (np.empty((most, COLUMNS)), np.empty(most))
    for _ in range(20):
        visit(market, curves, f, state, 1e-9, desk)
    ours = cost(market, curves, state[0], state[1])
    assert ours <= cost(market, curves, there, refused) * (1.0 + 1e-6) + 1e-5


@settings(max_examples=60, deadline=None)
@given(problems())
def test_the_objective_never_rises_and_limits_are_never_passed(problem: Problem) -> None:
    market, curves, state = opened(problem)
    before = bill.objective(market, curves, state[0], state[1])
    forced = np.maximum(curves.limit, bill.load_of(market, market.lower))
    for _ in range(4):
        sweep(market, curves, state, 2e-5)
        after = bill.objective(market, curves, state[0], state[1])
        assert after <= before * (1.0 + 1e-9) + 1e-6
        assert (state[2] <= forced * (1.0 + 1e-9)).all()
        assert np.allclose(state[2], bill.load_of(market, state[0]), rtol=1e-9, atol=1e-12)
        before = after


@settings(max_examples=40, deadline=None)
@given(problems(), st.integers(0, 2**31))
def test_no_split_costs_less_than_the_bound(problem: Problem, seed: int) -> None:
    market, curves, state = opened(problem)
    sweep(market, curves, state, 2e-5)
    bound = bill.lower_bound(
        market, curves, state[0], state[1], np.ascontiguousarray(state[3][:, :, PRICE])
    )
    rng = np.random.default_rng(seed)
    for _ in range(10):
        other = np.clip(rng.dirichlet(np.ones(market.home.size)) * 5.0, market.lower, market.upper)
        total = np.add.reduceat(other, market.start[:-1])
        if (total > 1.0 - market.least_shed).any():
            continue
        assert bill.objective(market, curves, other, 1.0 - total) >= bound - 1e-6 * abs(bound)


@settings(max_examples=40, deadline=None)
@given(problems(), st.floats(0.01, 100.0))
def test_a_softened_curve_asks_the_learned_price_where_the_true_one_does(
    problem: Problem, stiffness: float
) -> None:
    _, curves, (_, _, load, quotes) = opened(problem)
    learned = np.ascontiguousarray(quotes[:, :, PRICE])
    soft = softened(curves, learned, np.full(load.shape, stiffness) / np.maximum(load, 1e-6))
    asked = np.empty(quotes.shape)
    quote_all(load, soft, asked)
    assert np.allclose(asked[:, :, PRICE], learned, rtol=1e-4, atol=1e-4)
