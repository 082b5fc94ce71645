"""This module is news of many cells, told in few lines.

A fleet that goes silent as one must not fill the log with a line a cell, nor one that flaps: a
few names are told one by one, more as a number with the first names, once a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

__all__ = ["FEW", "Reminder", "Tidings", "first_names"]

# So many lines in a minute can still be read.
FEW = 10
WINDOW_S = 60.0


class Reminder:
    """What is wrong turn after turn is said when it changes, and again each minute."""

    def __init__(self) -> None:
        self._said = ""
        self._again_s = float("-inf")

    def is_due(self, what: str, now_s: float) -> bool:
        """Whether to say it now."""
        if what == self._said and now_s < self._again_s:
            return False
        self._said, self._again_s = what, now_s + WINDOW_S
        return True

    def end(self) -> None:
        """It is well again: whatever comes next is news."""
        self._said = ""


class Tidings:
    """News of one kind; what is not told yet waits for its line.

    Args:
        one: Tells of one cell: its name, and why.
        many: Tells of many: why, by name.
    """

    def __init__(
        self, one: Callable[[str, str], None], many: Callable[[Mapping[str, str]], None]
    ) -> None:
        self._one = one
        self._many = many
        self._waiting: dict[str, str] = {}
        self._since_s = float("-inf")
        self._lines = 0
        self._is_grouped = False

    def add(self, cell: str, because: str = "") -> None:
        """Take note."""
        self._waiting[cell] = because

    def drop(self, cell: str) -> bool:
        """Forget what is no longer so; returns whether it was still untold."""
        return self._waiting.pop(cell, None) is not None

    def tell(self, now_s: float) -> None:
        """Say what may be said now: at most `FEW` lines and one for many in a minute."""
        if now_s >= self._since_s + WINDOW_S:
            self._since_s, self._lines, self._is_grouped = now_s, 0, False
        if not self._waiting:
            return
        if self._lines + len(self._waiting) <= FEW:
            for cell, because in self._waiting.items():
                self._one(cell, because)
            self._lines += len(self._waiting)
        elif not self._is_grouped:
            self._many(self._waiting)
            self._is_grouped = True
        else:
            return
        self._waiting = {}


def first_names(names: Mapping[str, object]) -> list[str]:
    """The first few, for a line about many."""
    return sorted(names)[:FEW]
