from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.lab.report.scale import Scale, clock, nice_ticks, time_ticks
from foreshard.model.errors import LabError


@given(st.floats(1e-6, 1e12), st.integers(2, 12))
def test_ticks_are_even_few_and_within(high: float, most: int) -> None:
    ticks = nice_ticks(high, most=most)
    assert ticks[0] == 0.0
    assert 2 <= len(ticks) <= most
    assert ticks[-1] <= high * (1.0 + 1e-6)
    gaps = [b - a for a, b in pairwise(ticks)]
    assert gaps == pytest.approx([gaps[0]] * len(gaps), rel=1e-6)


@given(st.floats(1e-6, 1e12), st.integers(4, 12))
def test_ticks_fill_most_of_the_axis(high: float, most: int) -> None:
    assert nice_ticks(high, most=most)[-1] > high / 2.0


@given(st.floats(1.0, 86_400.0), st.integers(2, 12))
def test_moments_start_at_nought_and_do_not_pass_the_end(duration_s: float, most: int) -> None:
    ticks = time_ticks(duration_s, most=most)
    assert ticks[0] == 0.0
    assert ticks[-1] <= duration_s + 1e-6
    assert len(ticks) <= most


@given(st.floats(-1e6, 1e6))
def test_nothing_is_placed_beyond_the_ends(value: float) -> None:
    assert 0.0 <= Scale(low=-3.0, high=240.0).at(value) <= 1.0


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.0), (1.0, 0.0), (0.0, float("inf"))])
def test_an_axis_without_length_is_refused(low: float, high: float) -> None:
    with pytest.raises(LabError, match="must rise"):
        Scale(low=low, high=high)


@pytest.mark.parametrize("high", [0.0, -1.0, float("nan"), float("inf")])
def test_ticks_of_nothing_are_refused(high: float) -> None:
    with pytest.raises(LabError, match="must be > 0"):
        nice_ticks(high, most=4)
    with pytest.raises(LabError, match="must be > 0"):
        time_ticks(high, most=4)


def test_hours_are_written_as_hours() -> None:
    assert clock(5_400.0, of_s=7_200.0) == "1:30:00"
