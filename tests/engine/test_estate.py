"""The slots of one class: who holds them, and who is to."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from foreshard.engine.estate import Estate
from foreshard.planning.seating import Ints
from foreshard.planning.slots import counts_of
from tests.engine.data_shop import classes_of
from tests.engine.shop import CELLS, fleet_of

ESTATE = Estate(fleet_of(), classes_of()[0])
SLOTS = 4_096


def spread() -> Ints:
    return np.arange(SLOTS) * len(CELLS) // SLOTS


@settings(deadline=None)
@given(st.floats(0.01, 1.0))
def test_what_is_shed_is_no_reason_to_move_the_slots_of_the_rest(served: float) -> None:
    owners = spread()
    even = np.full(len(CELLS), served / len(CELLS))
    assert (ESTATE.wanted(even, owners) == counts_of(owners, len(CELLS))).all()
    uneven = served * np.array([0.0, 0.2, 0.2, 0.2, 0.2, 0.2])
    wanted = ESTATE.wanted(uneven, owners)
    assert wanted.sum() == SLOTS
    assert wanted[0] == 0


def test_a_class_that_is_shed_whole_moves_nothing() -> None:
    owners = spread()
    trace = np.array([1e-3, 0.0, 0.0, 0.0, 0.0, 0.0])
    assert (ESTATE.wanted(trace, owners) == counts_of(owners, len(CELLS))).all()
