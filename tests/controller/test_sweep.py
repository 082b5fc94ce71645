from __future__ import annotations

import gc
import weakref

import pytest

from foreshard.controller.sweep import Sweep


class Knot:
    """An object that holds itself."""

    def __init__(self) -> None:
        self.own = self


def tied() -> weakref.ref[Knot]:
    return weakref.ref(Knot())


def test_knots_are_found_after_a_turn_and_not_before() -> None:
    with Sweep().in_charge() as sweep:
        knot = tied()
        for _ in range(20_000):
            tied()
        assert knot() is not None
        sweep.after_turn()
        assert knot() is None


def test_an_old_knot_is_found_when_all_is_looked_at() -> None:
    with Sweep(all_every=3).in_charge() as sweep:
        held = Knot()
        knot = weakref.ref(held)
        sweep.after_turn()
        sweep.after_turn()
        del held
        assert knot() is not None
        sweep.after_turn()
        assert knot() is None


def test_afterwards_python_looks_by_itself_again() -> None:
    assert gc.isenabled()
    with Sweep().in_charge():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), Sweep().in_charge():
        divmod(1, 0)
    assert gc.isenabled()
