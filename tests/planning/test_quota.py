from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.model.errors import InvalidValueError
from foreshard.model.weights import apportion
from foreshard.planning.quota import whole_slots

TOTAL = 4_096
NOTHING = np.zeros(64, dtype=np.int64)
# Few different ones: many quotas are whole, and many remainders are the same.
PLAIN = st.sampled_from([0.0, 1.0, 0.5, 0.25, 3.0, 1.0 / 3.0, 0.1, 0.7])
# One unit in the last place apart: no float can tell whose remainder is larger.
TWINS = st.sampled_from([x for v in (0.1, 0.3) for x in (v, np.nextafter(v, 1.0))])
# Sums of these overflow, or lose all of the smaller ones.
FAR = st.sampled_from([5e-324, 1e-300, 1.0, 1e300])


@given(
    st.one_of(*(st.lists(each, min_size=1, max_size=64) for each in (PLAIN, TWINS, FAR)))
    | st.lists(st.floats(0.0, 1.0), min_size=1, max_size=64),
    st.sampled_from([1, 64, TOTAL, 2**21]),
)
def test_slots_are_those_of_exact_fractions(shares: list[float], total: int) -> None:
    if not any(shares):
        return
    slots = whole_slots(np.array(shares), NOTHING[: len(shares)], total=total)
    # Names that sort like their places.
    exact = apportion({f"{i:02}": share for i, share in enumerate(shares)}, total)
    assert slots.tolist() == list(exact.values())


@given(st.lists(st.tuples(PLAIN | TWINS, st.integers(0, 200)), min_size=1, max_size=40))
def test_who_already_holds_more_comes_first(cells: list[tuple[float, int]]) -> None:
    shares, held = (np.array(column) for column in zip(*cells, strict=True))
    if not shares.any():
        return
    slots = whole_slots(shares, held, total=TOTAL)
    unit = sum(map(Fraction, shares.tolist()))
    quotas = [Fraction(share) * TOTAL / unit for share in shares.tolist()]
    counts = [int(quota) for quota in quotas]
    order = sorted(
        (i for i, quota in enumerate(quotas) if quota != counts[i]),
        key=lambda i: (held[i] <= counts[i], counts[i] - quotas[i], i),
    )
    for i in order[: TOTAL - sum(counts)]:
        counts[i] += 1
    assert slots.tolist() == counts


@pytest.mark.parametrize("shares", [[1.0, -0.5], [1.0, float("nan")], [float("inf")], [0.0, 0.0]])
def test_shares_that_cannot_be_are_refused(shares: list[float]) -> None:
    with pytest.raises(InvalidValueError, match="share"):
        whole_slots(np.array(shares), NOTHING[: len(shares)], total=TOTAL)
