from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from foreshard.forecast.feature.blocks import hold
from foreshard.forecast.hazard.quiet import NEVER, next_onsets
from foreshard.forecast.history import History
from foreshard.forecast.onset import BreachRule, find_onsets


@given(
    st.lists(st.sampled_from([0.2, 0.9, 1.1, np.nan]), min_size=10, max_size=120),
    st.integers(1, 4),
    st.integers(0, 8),
    st.integers(0, 8),
)
@settings(deadline=None)
def test_one_gauge_has_the_onsets_that_the_fleet_has(
    series: list[float], sustain: int, gap: int, quiet: int
) -> None:
    value = np.array(series, dtype=np.float32)[None, None]
    history = History.of_gauges(value, cells=("a",), gauges=("g",), step_s=60.0)
    rule = BreachRule(sustain=sustain, merge_gap_s=60.0 * gap, quiet_s=60.0 * quiet)
    onsets = find_onsets(history, rule)
    following = np.empty(len(series), dtype=np.int32)
    is_free = np.empty(len(series), dtype=bool)
    held = hold(value[0], sustain)[0]
    count = next_onsets(held, 1.0, (sustain, gap, quiet), (following, is_free))
    assert count == len(onsets)
    for t in range(len(series)):
        later = onsets.begin[onsets.begin > t]
        assert following[t] == (later[0] if len(later) else NEVER)
    np.testing.assert_array_equal(is_free | onsets.blind[0], onsets.scored[0] | onsets.blind[0])
