from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from foreshard.lab.backtest.bootstrap import draw_weights, interval
from foreshard.lab.backtest.curve import average_precision, count_up, roc_area

told = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9]), st.booleans()), min_size=1, max_size=60
)


def split(rows: list[tuple[float, bool]]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    return np.array([p for p, _ in rows]), np.array([y for _, y in rows])


@given(told)
def test_average_precision_is_its_definition(rows: list[tuple[float, bool]]) -> None:
    p, y = split(rows)
    if not y.any():
        assert np.isnan(average_precision(p, y))
        return
    expected, before = 0.0, 0.0
    for threshold in sorted(set(p.tolist()), reverse=True):
        raised = p >= threshold
        recall = float((y & raised).sum() / y.sum())
        expected += (recall - before) * float((y & raised).sum() / raised.sum())
        before = recall
    assert average_precision(p, y) == pytest.approx(expected)


@given(told)
def test_roc_is_the_chance_to_rank_a_pair_right(rows: list[tuple[float, bool]]) -> None:
    p, y = split(rows)
    if y.all() or not y.any():
        assert np.isnan(roc_area(p, y))
        return
    won = np.sign(p[y][:, None] - p[~y][None]) * 0.5 + 0.5
    assert roc_area(p, y) == pytest.approx(float(won.mean()))


@given(told, st.integers(1, 4))
def test_sums_by_unit_give_the_figures_of_the_whole(
    rows: list[tuple[float, bool]], units: int
) -> None:
    p, y = split(rows)
    unit = (np.arange(len(p)) % units).astype(np.int32)
    counts = count_up(p, y, unit, units)
    once = np.ones(units)
    assert counts.prevalence(once) == pytest.approx(float(y.mean()))
    if y.any():
        assert counts.precision_area(once) == pytest.approx(average_precision(p, y))
    spread = float(y.mean() * (1.0 - y.mean()))
    if spread > 0.0:
        error = float(((p - y) ** 2).mean())
        assert counts.brier_skill(once) == pytest.approx(1.0 - error / spread)


def test_a_unit_that_counts_twice_is_two_units() -> None:
    chance = np.random.default_rng(4)
    p, y = chance.random(300), chance.random(300) < 0.2
    unit = (np.arange(300) % 3).astype(np.int32)
    weighted = count_up(p, y, unit, 3)
    again = np.concatenate([np.arange(300), np.flatnonzero(unit == 1)])
    doubled = count_up(p[again], y[again], unit[again], 3)
    weight = np.array([1.0, 2.0, 1.0])
    for figure in ("prevalence", "brier_skill", "calibration_error"):
        one = getattr(weighted, figure)(weight)
        assert one == pytest.approx(getattr(doubled, figure)(np.ones(3)))


def test_what_comes_as_it_was_said_has_no_calibration_error() -> None:
    p = np.repeat([0.05, 0.25], 200)
    y = np.concatenate([np.arange(200) % 20 == 0, np.arange(200) % 4 == 0])
    unit = np.zeros(400, dtype=np.int32)
    counts = count_up(p, y, unit, 1)
    assert counts.calibration_error(np.ones(1)) == pytest.approx(0.0)
    wrong = count_up(p * 2.0, y, unit, 1)
    assert wrong.calibration_error(np.ones(1)) == pytest.approx(0.15)


def test_every_draw_counts_as_many_cells_as_there_are() -> None:
    weights = draw_weights(5, 1, seed=1)
    assert (weights.sum(axis=1) == 5.0).all()
    crossed = draw_weights(5, 7, seed=1)
    assert crossed.shape[1] == 35
    assert (crossed.sum(axis=1) == 35.0).all()


def test_the_same_seed_draws_the_same() -> None:
    assert np.array_equal(draw_weights(9, 2, seed=3), draw_weights(9, 2, seed=3))
    assert not np.array_equal(draw_weights(9, 2, seed=3), draw_weights(9, 2, seed=4))


def test_an_interval_of_a_mean_has_the_width_that_theory_gives() -> None:
    values = np.random.default_rng(2).normal(size=400)
    low, high = interval(
        draw_weights(400, 1, seed=1), lambda weight: float((weight * values).sum() / weight.sum())
    )
    assert high - low == pytest.approx(2 * 1.645 / 20.0, rel=0.15)


def test_blocks_of_time_widen_the_interval_where_cells_fail_together() -> None:
    days = np.random.default_rng(2).normal(size=30)
    values = np.tile(days, 20)

    def mean(weight: NDArray[np.float64]) -> float:
        return float((weight * values).sum() / weight.sum())

    crossed = interval(draw_weights(20, 30, seed=1), mean)
    by_cell = np.tile(days.mean(), 20)
    alone = interval(
        draw_weights(20, 1, seed=1), lambda weight: float((weight * by_cell).sum() / weight.sum())
    )
    assert crossed[1] - crossed[0] > 10.0 * (alone[1] - alone[0])


def test_an_interval_of_nothing_says_nothing() -> None:
    assert np.isnan(interval(draw_weights(3, 1, seed=1), lambda _: float("nan"))).all()
