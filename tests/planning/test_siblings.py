from __future__ import annotations

import math
from statistics import median

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from foreshard.planning.siblings import median_of_others

values = st.one_of(st.just(math.nan), st.sampled_from([0.0, 0.5, 1.0]), st.floats(-1e9, 1e9))


@given(st.lists(st.tuples(values, st.booleans()), max_size=12))
def test_what_siblings_show_is_the_median_of_the_others(cells: list[tuple[float, bool]]) -> None:
    shown = median_of_others(
        np.array([value for value, _ in cells], dtype=np.float64),
        np.array([counts for _, counts in cells], dtype=np.bool_),
    )
    for c, told in enumerate(shown.tolist()):
        others = [v for o, (v, counts) in enumerate(cells) if o != c and counts]
        others = [v for v in others if not math.isnan(v)]
        assert told == median(others) if others else math.isnan(told)
