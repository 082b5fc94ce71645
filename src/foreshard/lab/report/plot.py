"""This module is what all pictures have in common: a box over time with its axes and labels.

The box is SVG that stretches with the window; every word is HTML at a ratio of the box, so that
words keep their size on a telephone and on a wall.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from foreshard.lab.report.curve import HEIGHT, WIDTH
from foreshard.lab.report.figures import Report
from foreshard.lab.report.markup import Html, join, tag
from foreshard.lab.report.packing import NARROW_PX, WIDE_PX, Label, lanes
from foreshard.lab.report.scale import Scale, clock, time_ticks

__all__ = ["Axis", "Box", "column", "over", "packed", "stroke", "time_axis", "upright"]

# Moments written under a picture; every second one is left out on a narrow page.
MOST_MOMENTS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """What is written beside a box: ratios from below, each with its words."""

    ticks: Sequence[tuple[float, str]]
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A picture.

    Attributes:
        kind: Class of the box in the style sheet, which sets its height.
        axis: To its left.
        title: What it shows; told to those who cannot see it.
        description: What is to be seen in it, in a sentence.
    """

    kind: str
    axis: Axis
    title: str
    description: str

    def html(self, layers: Sequence[str], labels: Sequence[str] = ()) -> Html:
        """The picture.

        Args:
            layers: SVG, the lowest first; the grid lies under them.
            labels: HTML over it.
        """
        grid = [
            tag("path", class_="grid", d=f"M0 {y:g}H{WIDTH:g}")
            for y in (HEIGHT - HEIGHT * at for at, _ in self.axis.ticks)
        ]
        picture = tag(
            "svg",
            tag("title", self.title),
            tag("desc", self.description),
            *layers[:1],
            *grid,
            *layers[1:],
            viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}",
            preserveAspectRatio="none",
            role="img",
            aria_label=f"{self.title}. {self.description}",
        )
        return tag(
            "div",
            tag(
                "div",
                *(
                    tag("span", words, class_="tick", style=f"bottom:{100.0 * at:.2f}%")
                    for at, words in self.axis.ticks
                ),
                class_="y",
                aria_hidden="true",
            ),
            tag(
                "div", picture, *labels, tag("i", class_="hair", aria_hidden="true"), class_="box"
            ),
            class_=f"plot {self.kind}",
        )


def over(report: Report) -> Scale:
    """The axis of time."""
    return Scale(low=0.0, high=report.duration_s)


def time_axis(report: Report) -> Html:
    """Moments, to stand under a box."""
    scale = over(report)
    ticks = time_ticks(report.duration_s, most=MOST_MOMENTS)
    last = len(ticks) - 1

    def place(i: int, at: float) -> Html:
        kinds = ["tick", *(["minor"] if i % 2 else []), *(["first"] if i == 0 else [])]
        if i == last and at > 0.97:
            kinds.append("last")
        return tag(
            "span",
            clock(ticks[i], of_s=report.duration_s),
            class_=" ".join(kinds),
            style=f"left:{100.0 * at:.2f}%",
        )

    return tag(
        "div",
        *(place(i, scale.at(t)) for i, t in enumerate(ticks)),
        class_="x",
        aria_hidden="true",
    )


def column(kind: str, start: float, end: float) -> Html:
    """A stretch of time over the whole height."""
    left, right = sorted((start * WIDTH, end * WIDTH))
    return tag(
        "rect", class_=kind, x=round(left, 1), y=0.0, width=round(right - left, 1), height=HEIGHT
    )


def upright(kind: str, at: float) -> Html:
    """A moment."""
    return tag("path", class_=kind, d=f"M{at * WIDTH:.1f} 0V{HEIGHT:g}")


def stroke(kind: str, path: str) -> Html:
    """A curve; nothing where there is none."""
    return tag("path", class_=kind, d=path) if path else join(())


def packed(kind: str, labels: Sequence[tuple[Label, Label, Html]]) -> Html:
    """Labels in lanes above each other.

    Args:
        kind: Class of the strip.
        labels: In order of time: how wide it is on a narrow page, on a wide one, and what it is;
            its outermost element must be made for `style`.
    """
    narrow = lanes([small for small, _, _ in labels], NARROW_PX)
    wide = lanes([large for _, large, _ in labels], WIDE_PX)
    placed = (
        tag(
            "span",
            shown,
            class_="place centred" if large.centred else "place",
            style=(
                f"--at:{100.0 * large.at:.2f}%;--n:{n};--w:{w};"
                f"--nx:{small.width_px:.0f}px;--wx:{large.width_px:.0f}px"
            ),
        )
        for (small, large, shown), n, w in zip(labels, narrow, wide, strict=True)
    )
    count = f"--n:{max(narrow, default=-1) + 1};--w:{max(wide, default=-1) + 1}"
    return tag("div", *placed, class_=f"lanes {kind}", style=count)
