"""This module is the pictures of a run: harm of every policy, and each cell's share and risk.

Geometry is SVG that stretches with the window; words are HTML beside it. All strips of one kind
have one scale, so that heights compare.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from foreshard.lab.report.curve import Point, area, line, steps
from foreshard.lab.report.markup import Html, tag
from foreshard.lab.report.scale import Scale, clock, nice_ticks, time_ticks
from foreshard.lab.report.wording import count, percent, spaced

__all__ = ["cell_strip", "harm_strip", "rounded_up", "share_top", "time_axis"]

Tale = Mapping[str, Any]
# Marks on the time axis: as many as have room on a telephone.
MARKS = 9
# A share that is drawn to the brim looks cut off.
ROOM = 1.15


def harm_strip(tale: Tale, *, top: float, is_own: bool) -> Html:
    """Weighted bad requests a second of one policy.

    Args:
        tale: Of the run.
        top: Of the scale.
        is_own: Whether this is the run that is explained.
    """
    scale = _time(tale)
    points: list[Point] = [
        (scale.at(float(second)), min(1.0, value / top))
        for second, value in enumerate(tale["bad_per_s"])
    ]
    corners = steps(points, 1.0)
    kind = "fill own" if is_own else "fill other"
    worst = max(tale["bad_per_s"], default=0.0)
    told = f"{percent(tale['score']['bad_ratio'])} bad, at worst {count(worst)} a second"
    return _strip(
        tale["policy"],
        told,
        [*_bands(tale), _path(kind, area(corners, [(x, 0.0) for x, _ in corners]))],
        top=count(top),
    )


def cell_strip(tale: Tale, cell: int, *, top: float) -> Html:
    """Share of one cell, and what was foreseen of it.

    Args:
        tale: Of the run.
        cell: Position among its cells.
        top: Of the scale of shares.
    """
    scale, name = _time(tale), tale["cells"][cell]
    share = tale["share"]
    points: list[Point] = [
        (scale.at(float(at_s)), min(1.0, row[cell] / top))
        for at_s, row in zip(share["at_s"], share["share"], strict=True)
    ]
    corners = steps(points, 1.0)
    layers = [
        *_bands(tale, name),
        _path("fill share", area(corners, [(x, 0.0) for x, _ in corners])),
    ]
    risk = tale["risk"]
    if risk is not None:
        foreseen: list[Point | None] = [
            None if row[cell] is None else (scale.at(at_s), row[cell])
            for at_s, row in zip(risk["at_s"], risk["p"], strict=True)
        ]
        layers.append(_path("line risk", line(foreseen)))
    layers += [
        tag("line", class_=f"life {life['what']}", x1=x, x2=x, y1=0, y2=100)
        for life in tale["lives"]
        if life["cell"] == name
        for x in (1000.0 * scale.at(life["at_s"]),)
    ]
    kinds = sorted({spaced(f["kind"]) for f in tale["faults"] if name in f["cells"]})
    return _strip(name, ", ".join(kinds), layers, top=percent(top))


def share_top(tale: Tale) -> float:
    """The top of the scale of all cells' shares."""
    most = max((max(row, default=0.0) for row in tale["share"]["share"]), default=0.0)
    return min(1.0, max(ROOM * most, 1e-3))


def time_axis(tale: Tale) -> Html:
    """Moments under a stack of strips."""
    scale, whole = _time(tale), float(tale["duration_s"])
    return tag(
        "div",
        tag("span", "", class_="name"),
        tag(
            "div",
            *(
                tag("span", clock(at_s, of_s=whole), style=f"left:{100.0 * scale.at(at_s):.2f}%")
                for at_s in time_ticks(whole, most=MARKS)
            ),
            class_="marks",
        ),
        class_="strip axis",
    )


def _bands(tale: Tale, cell: str = "") -> Iterable[Html]:
    """When faults are on: those of a cell, or all."""
    scale = _time(tale)
    for fault in tale["faults"]:
        if cell and cell not in fault["cells"]:
            continue
        ends_s = tale["duration_s"] if fault["ends_s"] is None else fault["ends_s"]
        left = scale.at(fault["at_s"])
        # What is over at once is still there to be seen.
        width = max(0.004, scale.at(ends_s) - left)
        yield tag("rect", class_="fault", x=1000.0 * left, y=0, width=1000.0 * width, height=100)
    if tale["warm_up_s"] > 0.0:
        width = 1000.0 * scale.at(tale["warm_up_s"])
        yield tag("rect", class_="warm-up", x=0, y=0, width=width, height=100)


def _strip(name: str, told: str, layers: Sequence[str], *, top: str) -> Html:
    svg = tag(
        "svg",
        tag("title", f"{name}: {told}"),
        *layers,
        viewBox="0 0 1000 100",
        preserveAspectRatio="none",
        role="img",
    )
    return tag(
        "div",
        tag("span", tag("b", name), " ", tag("small", told), class_="name"),
        tag("div", svg, tag("small", top, class_="top-mark"), class_="plot"),
        class_="strip",
    )


def _path(kind: str, d: str) -> Html:
    return tag("path", class_=kind, d=d, vector_effect="non-scaling-stroke")


def _time(tale: Tale) -> Scale:
    return Scale(low=0.0, high=float(tale["duration_s"]))


def rounded_up(value: float) -> float:
    """The end of an axis that holds a value."""
    ticks = nice_ticks(max(value, 1.0), most=4)
    step = ticks[1] - ticks[0]
    return float(step * -(-max(value, 1.0) // step))
