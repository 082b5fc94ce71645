"""This module is when cyclic garbage is looked for: between two turns, never within one.

Python looks whenever enough objects were made, wherever it happens to be. A turn of a large fleet
makes a hundred thousand, almost none of them in cycles, so it looked through all there is once or
twice in every turn: a quarter of the time at 1,000 cells. Here it looks after each turn at what is
new, and seldom at all there is. What is in no cycle is given back at once, as ever.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

__all__ = ["Sweep"]

# Cycles that outlive a sweep are few (a stream that ended, an error that was kept): they may wait
# for some minutes, and looking at everything delays whoever asks for a route.
ALL_EVERY_TURNS = 300
NEW, ALL = 1, 2


class Sweep:
    """Looks for garbage when it is told to.

    Args:
        all_every: Turns from one look at all there is to the next.
    """

    def __init__(self, *, all_every: int = ALL_EVERY_TURNS) -> None:
        self._all_every = all_every
        self._turns = 0

    @contextmanager
    def in_charge(self) -> Iterator[Self]:
        """Within it, in the whole process, nobody else looks."""
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            yield self
        finally:
            if was_enabled:
                gc.enable()

    def after_turn(self) -> None:
        """Look for what the turn has left."""
        self._turns += 1
        gc.collect(ALL if self._turns % self._all_every == 0 else NEW)
