"""This module is curves as SVG paths, in a box of 1000 by 100 that the page stretches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

__all__ = ["HEIGHT", "WIDTH", "Point", "area", "line", "steps"]

WIDTH = 1000.0
HEIGHT = 100.0

# Both in [0, 1]: from the left, from below.
Point = tuple[float, float]


def steps(points: Sequence[Point], until: float) -> list[Point]:
    """Corners of a value that holds until the next, and the last one until a place."""
    corners: list[Point] = []
    ends = [*(x for x, _ in points[1:]), until]
    for (x, y), end in zip(points, ends, strict=False):
        corners += [(x, y), (max(x, end), y)]
    return _thin(corners)


def line(points: Iterable[Point | None]) -> str:
    """A path through the points, with a gap at each None."""
    return "".join(
        "M" + "L".join(_place(p) for p in _thin([p for p in run if p is not None]))
        for is_there, run in groupby(points, key=lambda p: p is not None)
        if is_there
    )


def area(upper: Sequence[Point], lower: Sequence[Point]) -> str:
    """A closed path between two curves."""
    if not upper:
        return ""
    outline = [*_thin(list(upper)), *reversed(_thin(list(lower)))]
    return "M" + "L".join(map(_place, outline)) + "Z"


def _thin(points: list[Point]) -> list[Point]:
    """Without the points that lie on a level stretch: most of a quiet run is one."""
    return [
        p
        for i, p in enumerate(points)
        if i in (0, len(points) - 1) or not points[i - 1][1] == p[1] == points[i + 1][1]
    ]


def _place(point: Point) -> str:
    x, y = point
    return f"{_short(x * WIDTH)} {_short(HEIGHT - y * HEIGHT)}"


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
