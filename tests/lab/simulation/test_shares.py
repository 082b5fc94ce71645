from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from foreshard.lab.simulation.shares import SharesLog

SHAPE = (2, 2, 4)
states = st.lists(
    arrays(np.float64, SHAPE, elements=st.sampled_from([0.0, 0.25, 0.5, 1.0])), max_size=6
)


@given(states)
def test_what_was_noted_is_what_held_from_then_on(noted: list[np.ndarray]) -> None:
    log = SharesLog(2, 3, 2)
    for second, state in enumerate(noted):
        log.note(float(second), state)
    shares = log.shares()
    assert (shares.at(-0.5) == 0.0).all()
    for second, state in enumerate(noted):
        assert (shares.at(second) == state).all()
        assert (shares.at(second + 0.9) == state).all()
    moments, rows = shares.rows()
    for moment, row in zip(moments.tolist(), rows, strict=True):
        assert (row == noted[int(moment)]).all()


@given(states)
def test_only_changes_are_kept(noted: list[np.ndarray]) -> None:
    log = SharesLog(2, 3, 2)
    for second, state in enumerate(noted):
        log.note(float(second), state)
    before = [np.zeros(SHAPE), *noted]
    changed = sum(int((a != b).sum()) for a, b in zip(before, noted, strict=False))
    assert len(log.shares().share) == changed
