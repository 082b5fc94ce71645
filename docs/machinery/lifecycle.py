"""This module is the life of a cell as a table and a picture, drawn from `TRANSITIONS`.

The picture is laid out by hand: a phase that has no place in `PLACES` gets one below the others,
so a new phase shows at once and somebody gives it a better place later.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

from foreshard.planning.phases import TRANSITIONS, Phase

__all__ = ["lifecycle_svg", "lifecycle_table"]

HEAD = """<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img"
 class="lifecycle" aria-label="Phases of a cell; the table below says the same"><defs>
<marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7"
 orient="auto-start-reverse"><path d="M0 0L10 5L0 10z"/></marker></defs>"""
WIDTH, BOX_W, BOX_H = 880, 118, 40
PLACES: Mapping[str, tuple[int, int]] = {
    "active": (90, 60),
    "draining": (430, 60),
    "drained": (770, 60),
    "warming": (90, 400),
    "recycling": (770, 400),
    "quarantined": (430, 560),
}
# How far an arrow bows out to the right of its way, as a share of its length, and how far along
# its way it is labelled: in the middle of the picture too many cross.
BOW, LABELLED_AT = 0.13, 0.29


def lifecycle_table() -> str:
    """Which phase follows which, one row a transition, as Markdown."""
    rows = [f"| {a} | {trigger} | {b} |" for (a, trigger), b in TRANSITIONS.items()]
    return "\n".join(["| phase | trigger | next phase |", "|---|---|---|", *rows])


def lifecycle_svg() -> str:
    """The same as a picture in the colours of the page."""
    places = _places()
    height = max(y for _, y in places.values()) + 60
    arrows: dict[tuple[str, str], list[str]] = {}
    for (before, trigger), after in TRANSITIONS.items():
        arrows.setdefault((before.value, after.value), []).append(trigger.value)
    head = HEAD.format(width=WIDTH, height=height)
    ways = [_arrow(places[a], places[b], texts) for (a, b), texts in arrows.items()]
    boxes = [_box(name, place) for name, place in places.items()]
    return "".join([head, *ways, *boxes, "</svg>"])


def _places() -> Mapping[str, tuple[int, int]]:
    places = {p.value: PLACES[p.value] for p in Phase if p.value in PLACES}
    others = [p.value for p in Phase if p.value not in PLACES]
    below = 110 + max(y for _, y in places.values())
    return places | {name: (90 + 150 * i, below) for i, name in enumerate(others)}


def _box(name: str, place: tuple[int, int]) -> str:
    x, y = place
    return (
        f'<rect x="{x - BOX_W / 2}" y="{y - BOX_H / 2}" width="{BOX_W}" height="{BOX_H}" rx="8"/>'
        f'<text class="phase" x="{x}" y="{y + 5}">{escape(name)}</text>'
    )


def _arrow(start: tuple[int, int], end: tuple[int, int], texts: list[str]) -> str:
    if start == end:
        return _loop(start, texts)
    (x0, y0), (x1, y1) = start, end
    dx, dy = x1 - x0, y1 - y0
    length = math.hypot(dx, dy)
    # To the right of the way, so that there and back do not lie upon each other.
    mx, my = (x0 + x1) / 2 - BOW * dy, (y0 + y1) / 2 + BOW * dx
    ax, ay = _edge(start, (mx, my))
    bx, by = _edge(end, (mx, my))
    t = LABELLED_AT
    tx = (1 - t) ** 2 * ax + 2 * t * (1 - t) * mx + t**2 * bx
    ty = (1 - t) ** 2 * ay + 2 * t * (1 - t) * my + t**2 * by
    anchor = "middle" if abs(dx) > 0.4 * length else ("start" if dy < 0 else "end")
    if anchor != "middle":
        tx += 8 if anchor == "start" else -8
    label = _label(tx, ty, texts, anchor=anchor)
    return f'<path d="M{ax:.0f} {ay:.0f}Q{mx:.0f} {my:.0f} {bx:.0f} {by:.0f}"/>{label}'


def _loop(place: tuple[int, int], texts: list[str]) -> str:
    x, y = place[0] + BOX_W / 2, place[1]
    curve = f"M{x:.0f} {y - 10:.0f}c50 -22 50 42 0 20"
    return f'<path d="{curve}"/>{_label(x - 2, y + 44, texts, anchor="middle")}'


def _label(x: float, y: float, texts: list[str], *, anchor: str) -> str:
    top = y - 7.5 * (len(texts) - 1)
    lines = "".join(
        f'<tspan x="{x:.0f}" y="{top + 15 * i + 4:.0f}">{escape(text)}</tspan>'
        for i, text in enumerate(texts)
    )
    return f'<text class="trigger" text-anchor="{anchor}">{lines}</text>'


def _edge(box: tuple[int, int], towards: tuple[float, float]) -> tuple[float, float]:
    """Where the line from a box's centre leaves the box."""
    dx, dy = towards[0] - box[0], towards[1] - box[1]
    scale = min(
        BOX_W / 2 / abs(dx) if dx else math.inf,
        BOX_H / 2 / abs(dy) if dy else math.inf,
    )
    return box[0] + dx * scale, box[1] + dy * scale
