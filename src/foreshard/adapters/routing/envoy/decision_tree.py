"""This module is the short way to the classes that may match a path, where there are many.

A start of a path takes an interval of all texts in their order: `/search` takes from `/search` up
to `/searci`. So a path is looked for among the ends of the intervals, by halves, and only the
classes whose interval it lies in are asked, in their order. What says nothing of the path is
asked everywhere.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["FEW", "Fork", "Leaf", "decision_tree", "questions"]

# So few are asked sooner in turn than they are told apart, and are written in fewer words.
FEW = 6
LAST = "\U0010ffff"
# Between these stand no characters.
BEFORE_GAP, AFTER_GAP = "\ud7ff", "\ue000"


@dataclass(frozen=True, slots=True)
class Leaf:
    """The numbers of all that may match, rising, and of few that do not."""

    may_match: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Fork:
    """A path that comes before `bound` goes one way, all others the other."""

    bound: str
    before: Fork | Leaf
    after: Fork | Leaf


def decision_tree(starts: Sequence[str]) -> Fork | Leaf:
    """The tree over starts of paths; "" = any path.

    Args:
        starts: By number.
    """
    begins: dict[str, list[int]] = {}
    ends: dict[str, list[int]] = {}
    for number, start in enumerate(starts):
        begins.setdefault(start, []).append(number)
        if (end := _end(start)) is not None:
            ends.setdefault(end, []).append(number)
    active: list[int] = []
    bounds: list[str] = []
    segments: list[tuple[int, ...]] = []
    for at in sorted({"", *begins, *ends}):
        for number in ends.get(at, ()):
            active.remove(number)
        for number in begins.get(at, ()):
            insort(active, number)
        now = tuple(active)
        if not segments:
            segments.append(now)
        elif segments[-1] != now:
            bounds.append(at)
            segments.append(now)
    return _grown(bounds, segments)


def questions(tree: Fork | Leaf) -> int:
    """How many are asked of a path at most: at forks, and of those that may match."""
    if isinstance(tree, Leaf):
        return len(tree.may_match)
    return 1 + max(questions(tree.before), questions(tree.after))


def _grown(bounds: Sequence[str], segments: Sequence[tuple[int, ...]]) -> Fork | Leaf:
    together = sorted(set().union(*segments))
    if not bounds or len(together) <= FEW:
        return Leaf(tuple(together))
    middle = len(bounds) // 2
    return Fork(
        bounds[middle],
        _grown(bounds[:middle], segments[: middle + 1]),
        _grown(bounds[middle + 1 :], segments[middle + 1 :]),
    )


def _end(start: str) -> str | None:
    """The first text after all that begin so; None = there is none."""
    head = start.rstrip(LAST)
    if not head:
        return None
    last = head[-1]
    return head[:-1] + (AFTER_GAP if last == BEFORE_GAP else chr(ord(last) + 1))
