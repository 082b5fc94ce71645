import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from foreshard.forecast import trail

Values = NDArray[np.float32]

with_gaps = arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.integers(1, 40)),
    elements=st.one_of(st.just(np.float32(np.nan)), st.floats(-2.0, 2.0, width=32)),
)


def naive(x: Values, samples: int, what: str) -> Values:
    found = np.full(x.shape, np.nan)
    for r, t in np.ndindex(x.shape):
        stretch = x[r, max(t - samples + 1, 0) : t + 1].astype(np.float64)
        k = np.flatnonzero(~np.isnan(stretch))
        seen = stretch[k]
        if what == "slope":
            found[r, t] = np.polyfit(k, seen, 1)[0] if len(k) >= 3 else np.nan
        elif len(k):
            found[r, t] = getattr(np, what)(seen)
    return found.astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(with_gaps, st.integers(1, 50), st.integers(1, 40))
def test_statistics_are_those_of_the_samples_heard(x: Values, samples: int, last: int) -> None:
    last = min(last, x.shape[1])
    for name, what in (("most", "max"), ("least", "min"), ("mean", "mean"), ("spread", "std")):
        statistic, wanted = getattr(trail, f"trailing_{name}"), naive(x, samples, what)
        found = statistic(x, samples)
        assert np.allclose(found, wanted, atol=1e-5, equal_nan=True), name
        found = statistic(x, samples, last=last)
        assert np.allclose(found, wanted[:, -last:], atol=1e-5, equal_nan=True), name


@settings(max_examples=30, deadline=None)
@given(with_gaps, st.integers(3, 20))
def test_a_slope_is_that_of_the_least_squares_line(x: Values, samples: int) -> None:
    found = trail.trailing_slope(x, samples)
    assert np.allclose(found, naive(x, samples, "slope"), atol=1e-4, equal_nan=True)


@given(with_gaps)
def test_a_value_is_carried_until_the_next_and_its_age_told(x: Values) -> None:
    value, age = trail.carried(x)
    for r, t in np.ndindex(x.shape):
        heard = np.flatnonzero(~np.isnan(x[r, : t + 1]))
        if len(heard):
            assert value[r, t] == x[r, heard[-1]]
            assert age[r, t] == t - heard[-1]
        else:
            assert np.isnan(value[r, t])
            assert age[r, t] >= x.shape[1]
