"""This module is where labels on one line are put so that no two touch: in lanes.

Widths are estimates of what a browser will draw, on the generous side; the browser test measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["NARROW_PX", "WIDE_PX", "Label", "lanes", "text_px"]

# The least width of a picture on a telephone (320 px less margins and axis), and that from
# which the page gives labels their full words (the container query in page.css).
NARROW_PX = 250.0
WIDE_PX = 860.0
# Between two labels.
GAP_PX = 3.0
# Of the 11 px face; wide letters and those of other scripts need up to a whole em.
_LETTER_PX, _WIDE_LETTER_PX = 6.7, 11.5
_WIDE = frozenset("mwMW@%&")


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A label at a ratio of the width, moved inwards as far as it must be.

    Attributes:
        at: Ratio of the width.
        width_px: Its own.
        centred: Its middle stands there; else its beginning.
    """

    at: float
    width_px: float
    centred: bool = False

    def span_px(self, room_px: float) -> tuple[float, float]:
        """From and to, kept within the room where it fits at all."""
        wanted = self.at * room_px - (0.5 * self.width_px if self.centred else 0.0)
        start = max(0.0, min(wanted, room_px - self.width_px))
        return start, start + self.width_px


def text_px(text: str) -> float:
    """About how wide a text of 11 px is."""
    return sum(
        _WIDE_LETTER_PX if ord(letter) > 0x2FF or letter in _WIDE else _LETTER_PX
        for letter in text
    )


def lanes(labels: Sequence[Label], room_px: float) -> list[int]:
    """The lane of each label, 0 first: the lowest in which it touches no other.

    Wider rooms only move labels apart, so what fits here fits there.
    """
    taken: list[list[tuple[float, float]]] = []
    found = []
    for label in labels:
        start, end = label.span_px(room_px)
        lane = 0
        while lane < len(taken) and any(
            start < other_end + GAP_PX and other_start < end + GAP_PX
            for other_start, other_end in taken[lane]
        ):
            lane += 1
        if lane == len(taken):
            taken.append([])
        taken[lane].append((start, end))
        found.append(lane)
    return found
