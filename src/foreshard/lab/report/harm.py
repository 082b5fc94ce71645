"""This module is the picture of harm: bad requests a second, one side up, the other one down.

Both have one scale, so that lengths compare.
"""

from __future__ import annotations

from foreshard.lab.report.curve import Point, area, line, steps
from foreshard.lab.report.figures import Fault, Report
from foreshard.lab.report.markup import Html, tag
from foreshard.lab.report.packing import Label, text_px
from foreshard.lab.report.plot import Axis, Box, column, over, packed, stroke, time_axis, upright
from foreshard.lab.report.scale import nice_ticks
from foreshard.lab.report.wording import count, seconds, spaced
from foreshard.lab.scores import FORESHARD, REACTIVE

__all__ = ["harm_picture", "letter"]

# The smaller side keeps so much of the height that its name fits.
LEAST_RATIO = 0.24
BADGE_PX = 22.0


def letter(index: int) -> str:
    """The short name of a fault: A to Z, then A2 and so on."""
    again, at = divmod(index, 26)
    return chr(ord("A") + at) + (str(again + 1) if again else "")


def harm_picture(report: Report) -> Html:
    """Weighted bad requests a second of both sides, with the faults."""
    up, down = (max(report.bad_per_s.get(side, ()), default=0.0) for side in (REACTIVE, FORESHARD))
    up, down = (max(v, LEAST_RATIO * max(up, down), 1.0) for v in (up, down))
    zero, whole = down / (up + down), up + down
    scale = over(report)

    def towards(side: str, sign: float) -> str:
        points: list[Point] = [
            (scale.at(s), zero + sign * value / whole)
            for s, value in enumerate(report.bad_per_s.get(side, ()))
        ]
        corners = steps(points, scale.at(report.ran_s))
        return area(corners, [(x, zero) for x, _ in corners])

    axis = Axis(
        ticks=[
            *((zero + v / whole, count(v)) for v in nice_ticks(up, most=4)),
            *((zero - v / whole, count(v)) for v in nice_ticks(down, most=3)[1:]),
        ]
    )
    box = Box(
        kind="harm",
        axis=axis,
        title="Weighted bad requests per second",
        description="; ".join(_told(report, side) for side in (REACTIVE, FORESHARD)),
    )
    layers = [
        tag("g", *_faults(report)),
        stroke("fill reactive", towards(REACTIVE, 1.0)),
        stroke("fill foreshard", towards(FORESHARD, -1.0)),
        tag("path", class_="zero", d=f"M0 {100.0 - 100.0 * zero:.2f}H1000"),
        *_had_to_be(report, zero, whole),
        *(upright("onset", scale.at(f.onset_s)) for f in report.faults if f.onset_s is not None),
    ]
    if report.was_cut_short:
        layers.append(column("unrun", scale.at(report.ran_s), 1.0))
    labels = [
        _name(report, REACTIVE, "top", "up"),
        _name(report, FORESHARD, "bottom", "down"),
    ]
    return tag(
        "div",
        tag(
            "div",
            packed(
                "flags", [_flag(report, i) for i in range(len(report.faults) + len(report.surges))]
            ),
            class_="inset",
        ),
        box.html(layers, labels),
        time_axis(report),
        class_="chart",
        data_reactive=_series(report, REACTIVE),
        data_foreshard=_series(report, FORESHARD),
    )


def _series(report: Report, side: str) -> str:
    """Whole numbers by second, for the read-out under the pointer."""
    return " ".join(f"{v:.0f}" for v in report.bad_per_s.get(side, ()))


def _faults(report: Report) -> list[Html]:
    scale = over(report)
    stretches = [column("warm-up", 0.0, scale.at(report.warm_up_s))]
    begun = [f for f in report.faults if f.at_s <= report.ran_s]
    stretches += [column("surge", scale.at(s.at_s), scale.at(s.ends_s)) for s in report.surges]
    return stretches + [column("fault", scale.at(f.at_s), _end(report, f)) for f in begun]


def _end(report: Report, fault: Fault) -> float:
    # A crash is over at once: its column still has to be seen.
    return over(report).at(max(fault.ends_s, fault.at_s + 0.006 * report.duration_s))


def _flag(report: Report, index: int) -> tuple[Label, Label, Html]:
    at_s, words = _event(report, index)
    shown = tag(
        "a",
        tag("b", letter(index)),
        tag("span", words, class_="words"),
        class_="flag",
        href=f"#fault-{index + 1}",
        title=f"{words}, from {seconds(at_s)}",
    )
    at = over(report).at(at_s)
    wide = BADGE_PX + 10.0 + text_px(words)
    return Label(at=at, width_px=BADGE_PX), Label(at=at, width_px=wide), shown


def _event(report: Report, index: int) -> tuple[float, str]:
    """When the fault, or the surge after the faults, began, and what it is."""
    if index < len(report.faults):
        fault = report.faults[index]
        return fault.at_s, f"{spaced(fault.kind)} {', '.join(fault.cells)}"
    surge = report.surges[index - len(report.faults)]
    return surge.at_s, f"surge of {surge.request_class}, x {surge.factor:g}"


def _had_to_be(report: Report, zero: float, whole: float) -> list[Html]:
    """What even the oracle could not avoid, on both sides of the line."""
    if report.oracle is None or not any(report.oracle.per_s):
        return []
    scale = over(report)
    found = []
    for sign in (1.0, -1.0):
        points = [
            (scale.at(s), min(1.0, max(0.0, zero + sign * value / whole)))
            for s, value in enumerate(report.oracle.per_s)
        ]
        found.append(stroke("oracle", line(steps(points, scale.at(report.ran_s)))))
    return found


def _name(report: Report, side: str, edge: str, direction: str) -> Html:
    is_there = side in report.bad_per_s
    words = f"{side} ({direction})" if is_there else f"{side}: not measured"
    return tag("span", words, class_=f"side {side} {edge}")


def _told(report: Report, side: str) -> str:
    series = report.bad_per_s.get(side)
    if series is None:
        return f"{side}: not measured"
    worst = max(series)
    return f"{side}: at most {count(worst)} in one second, at {seconds(series.index(worst))}"
