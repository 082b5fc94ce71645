"""Rows that walk through trees together arrive where LightGBM says, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreshard.forecast.hazard.forest import Forest, grow
from foreshard.forecast.hazard.walk import Walk
from foreshard.model.errors import ForecastError

WIDTH = 9
# More than two threads are worth, and no whole number of blocks.
MANY = 20_301


def rows(seed: int, many: int) -> np.ndarray:
    """Levels, of which some columns know gaps and some do not; whole numbers; what is endless."""
    rng = np.random.default_rng(seed)
    table = rng.normal(0.0, 1.0, (many, WIDTH)).astype(np.float32)
    table[:, 4:6] = rng.integers(-2, 3, (many, 2))
    table[:, 3:7][rng.random((many, 4)) < 0.2] = np.nan
    table[rng.random((many, WIDTH)) < 0.01] = np.inf
    table[rng.random((many, WIDTH)) < 0.01] = -np.inf
    return table


@pytest.fixture(scope="module")
def forest() -> Forest:
    table = rows(0, 4_000)
    score = np.nan_to_num(table, nan=-1.0, posinf=2.0, neginf=-2.0)
    came_true = score[:, 0] + score[:, 3] * score[:, 4] + np.abs(score[:, 1]) > 1.0
    return grow(table, came_true, np.ones(len(table), dtype=np.float32), seed=0, rounds=30)


@given(seed=st.integers(0, 2**32), many=st.sampled_from([0, 1, 255, 256, 700, MANY]))
@settings(max_examples=12, deadline=None)
def test_rows_arrive_where_lightgbm_says(forest: Forest, seed: int, many: int) -> None:
    table = rows(seed, many)
    # Where nothing was missing in training, something may be now; and what is at a threshold.
    table[::7, 0] = np.nan
    at = forest.walk.threshold[np.arange(many) % forest.walk.threshold.size]
    table[np.arange(many), np.arange(many) % WIDTH] = at
    said = np.asarray(forest.trees.predict(table)) if many else np.zeros(0)
    assert np.array_equal(forest.predict(table), said)


def test_columns_may_stand_anywhere_in_the_table(forest: Forest) -> None:
    table, which = rows(3, 500), np.random.default_rng(0).permutation(20)[:WIDTH]
    wide = np.full((500, 20), np.nan, dtype=np.float32)
    wide[:, which] = table
    assert np.array_equal(forest.predict(wide, which), forest.predict(table))


def test_a_tree_of_one_leaf_says_the_same_of_all() -> None:
    table = np.ones((300, 2), dtype=np.float32)
    came_true = np.arange(300) % 3 == 0
    alike = grow(table, came_true, np.ones(300, dtype=np.float32), seed=0, rounds=2)
    assert np.array_equal(alike.predict(table), np.asarray(alike.trees.predict(table)))


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("num_cat=0", "num_cat=1"),
        ("is_linear=0", "is_linear=1"),
        ("decision_type=", "decision_type=1 "),
        ("left_child=", "left_child=0 "),
        ("left_child=", "left_child=99 "),
        ("split_feature=", "split_feature=-5 "),
        ("leaf_value=", "leaf_values="),
    ],
)
def test_trees_of_another_kind_are_refused(forest: Forest, was: str, now: str) -> None:
    with pytest.raises(ForecastError, match="train the model anew"):
        Walk.of(forest.text.replace(was, now))
