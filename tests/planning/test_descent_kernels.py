from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreshard.planning.descent import bill, plain
from foreshard.planning.descent.beginning import begin, repaired
from foreshard.planning.descent.filling import COLUMNS, HIGH, LOW, waterfill
from foreshard.planning.descent.hurting import harm_prices
from foreshard.planning.descent.market import LOWER, UPPER, Curves, Market, market_of
from foreshard.planning.descent.opening import State, desk_for
from foreshard.planning.descent.proving import flows_bound, lower_bound
from foreshard.planning.descent.quoting import DOWN, PRICE, ROOM_DOWN, ROOM_UP, UP, quote_all
from foreshard.planning.descent.visiting import sweep, visit
from foreshard.planning.edges import edges_of
from foreshard.planning.formulation import Prices
from foreshard.planning.problem import Floats, LoadRisk, Problem
from foreshard.planning.risk import segments_of
from tests.planning.samples import problems

Market_ = tuple[Market, Curves, State]


def opened(problem: Problem) -> Market_:
    """A compiled problem, and a state to descend from."""
    edges = edges_of(problem)
    market, curves = market_of(edges, Prices())
    shares, shed = begin(market, curves.limit)
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
            (flows_bound(market, prices), plain.flows_bound(market, prices)),
        ):
            assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-6)

    check()


def steps(seed: int, count: int) -> tuple[Floats, Floats]:
    """Shares [n] and edges [n, 14] of a flow that may step: steep, flat, boxed, with kinks."""
    rng = np.random.default_rng(seed)
    x = rng.dirichlet(np.ones(count)) * rng.uniform(0.3, 1.0)
    edges = np.empty((count, COLUMNS))
    price = 10.0 ** rng.uniform(-2.0, 10.0)
    tiers = price * rng.choice([1.0, 1.0, 30.0], count)
    edges[:, 0] = edges[:, 1] = tiers + rng.normal(0.0, 1e-3, count)
    edges[:, 1] += rng.choice([0.0, 0.01, 3.0], count)
    edges[:, 2:4] = 10.0 ** rng.uniform(-11.0, 2.0, (2, count)).T
    edges[:, LOW] = x * rng.choice([0.0, 0.9, 1.0], count)
    edges[:, HIGH] = x + rng.choice([0.0, 1e-3, 0.2, 1.0], count)
    away = rng.uniform(0.0, 0.1, (count, 2)).cumsum(axis=1)
    jumps = 10.0 ** rng.uniform(-3.0, 3.0, (4, count))
    edges[:, 6], edges[:, 8] = x + away[:, 0], x + away[:, 1]
    edges[:, 10], edges[:, 12] = x - away[:, 0], x - away[:, 1]
    edges[:, 7], edges[:, 9], edges[:, 11], edges[:, 13] = jumps
    return x, edges


# The same examples every time.
@settings(derandomize=True, max_examples=400, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(1, 9),
    st.sampled_from([0.0, 1e-6, 0.1]),
    st.floats(0.0, 1.0),
)
def test_water_is_filled_as_numpy_does_to_one_price(
    seed: int, count: int, refused: float, guess: float
) -> None:
    x, edges = steps(seed, count)
    low = float(edges[:, 1].min())
    bracket = (low, max(40.0 * abs(low), 1.0))
    total = float(plain.response(low, x, edges).sum()) + refused
    filled = np.empty(count)
    first = bracket[0] + guess**8 * (bracket[1] - bracket[0])
    waterfill(x, edges, bracket, total, 1e-9, first, filled)
    theirs, level = plain.waterfill(x, edges, bracket, total)
    assert filled.sum() == pytest.approx(theirs.sum(), abs=1e-9)
    assert (filled >= edges[:, LOW]).all()
    assert (filled <= edges[:, HIGH]).all()
    # Shares may differ where their prices do not.
    near = 1e-6 * max(1.0, abs(level))
    assert (filled >= plain.response(level - near, x, edges) - 1e-9).all()
    assert (filled <= plain.response(level + near, x, edges) + 1e-9).all()


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
    desk = desk_for(market)
    for _ in range(20):
        visit(market, curves, f, state, 1e-9, 0.0, desk)
    ours = cost(market, curves, state[0], state[1])
    assert ours <= cost(market, curves, there, refused) * (1.0 + 1e-6) + 1e-5


# The same problems every time; one in 300 shows it where the search for a level ends badly.
@settings(derandomize=True, max_examples=800, deadline=None)
@given(problems())
def test_the_objective_never_rises_and_limits_are_never_passed(problem: Problem) -> None:
    market, curves, state = opened(problem)
    before = bill.objective(market, curves, state[0], state[1])
    forced = np.maximum(
        curves.limit, bill.load_of(market, np.ascontiguousarray(market.terms[:, LOWER]))
    )
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
    bound = lower_bound(market, curves, np.ascontiguousarray(state[3][:, :, PRICE]))
    rng = np.random.default_rng(seed)
    lower, upper = market.terms[:, LOWER], market.terms[:, UPPER]
    for _ in range(10):
        other = np.clip(rng.dirichlet(np.ones(lower.size)) * 5.0, lower, upper)
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
    flex = np.maximum(load, 1e-6) / stiffness
    asked = np.empty(quotes.shape)
    quote_all(load, curves._replace(learned=learned, flex=flex), asked)
    assert np.allclose(asked[:, :, PRICE], learned, rtol=1e-4, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(problems(), st.floats(0.0, 100.0), st.floats(0.2, 3.0))
def test_a_softened_curve_is_the_true_one_with_its_kinks_moved(
    problem: Problem, give: float, part: float
) -> None:
    _, curves, (_, _, load, quotes) = opened(problem)
    learned = np.ascontiguousarray(quotes[:, :, PRICE])
    flex = give * np.maximum(load, 1e-6)
    moved = curves.at + (curves.price - learned[:, :, None]) * flex[:, :, None]
    hard = curves._replace(at=moved, tail=curves.tail / (1.0 + curves.tail * flex))
    asked = np.empty(quotes.shape)
    quote_all(part * load, curves._replace(learned=learned, flex=flex), asked)
    expected = plain.price_at(part * load, hard)
    assert np.allclose(asked[:, :, PRICE], expected, rtol=1e-6, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(problems(), st.integers(0, 2**31))
def test_repair_is_what_numpy_says_and_feasible(problem: Problem, seed: int) -> None:
    market, curves, (shares, _, _, _) = opened(problem)
    wanted = np.random.default_rng(seed).uniform(0.0, 1.0, shares.size)
    ours, refused = repaired(market, curves.limit, wanted)
    theirs, shed = plain.repaired(market, curves.limit, wanted)
    assert np.allclose(ours, theirs, rtol=0.0, atol=1e-12)
    assert np.allclose(refused, shed, rtol=0.0, atol=1e-12)
    held = bill.load_of(market, np.ascontiguousarray(market.terms[:, LOWER]))
    used = bill.load_of(market, ours)
    assert (used <= np.maximum(curves.limit, held) * (1.0 + 1e-9)).all()


@settings(max_examples=100, deadline=None)
@given(st.integers(3, 12), st.integers(4, 14), st.integers(0, 2**31))
def test_harm_is_priced_as_numpy_does_cell_by_cell(points: int, kinks: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    kinks += kinks % 2
    loads = np.concatenate([[0.0], np.cumsum(rng.uniform(0.1, 0.5, points - 1))])
    excess = np.maximum.accumulate(rng.random((4, points)) ** 3, axis=1)
    excess[0] = 0.0
    at, price = harm_prices(loads, excess, kinks)
    risk = LoadRisk(loads=loads, p=excess, present_work=np.ones(4))
    assert not np.isfinite(at[0]).any()
    for cell, segments in segments_of(risk, excess).items():
        widths, slopes = np.array(segments).T
        theirs, levels = plain.harm_price(widths, slopes, kinks)
        assert np.allclose(at[cell], theirs)
        assert np.allclose(price[cell], levels)
