"""This module is the doubt: which predictions deserve to be acted upon.

A prediction without judgement does more harm than the faults it foresees. Three things must
come together before a cell loses work to a forecast: the probability is high *beyond what its
siblings show* (what all of them do is the fleet's own rhythm), the *lower bound* of the drift
points at the limit, and both have held for a while. What one class alone suffers is held
against that class in that cell, and against the cell only when that explanation has failed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from foreshard.model.errors import InvalidValueError
from foreshard.model.forecast import CellForecast, Forecast, TimeToLimit

__all__ = [
    "Doubt",
    "Judgement",
    "Thresholds",
    "cell_doubts",
    "class_doubts",
    "describe_s",
    "describe_span",
]

EXHAUSTION = "exhaustion:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """When a prediction is believed.

    Attributes:
        doubt_p: P over the longest horizon, beyond the siblings', from which a cell is
            doubted. Default .5: more likely than not.
        urgent_p: P over the shortest horizon from which the second half waits only half as long.
        relent_p: P over the longest horizon under which a doubt is given up; well under
            `doubt_p`, so that noise does not toggle it.
        doubt_s: A doubt must hold this long before it is acted upon. Default 15 s.
        confirm_s: The second half of an evacuation waits this long for the trend to hold.
            Default 60 s.
        relent_s: No evidence for this long ends a doubt. Default 120 s.
        class_first_s: While one class alone suffers in a cell, the cell as a whole is
            doubted only after this long. Default 60 s.
        calm_p: A class under this probability does not suffer.
        contrast: How much of what the siblings show is taken off, in [0, 1]; 0 = each cell is
            judged by itself. Default 1: what all of them do is the fleet's own rhythm.
    """

    doubt_p: float = 0.5
    urgent_p: float = 0.8
    relent_p: float = 0.2
    doubt_s: float = 15.0
    confirm_s: float = 60.0
    relent_s: float = 120.0
    class_first_s: float = 60.0
    calm_p: float = 0.3
    contrast: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.contrast <= 1.0:
            raise InvalidValueError(f"thresholds: contrast is {self.contrast}, must lie in [0, 1]")
        if not 0.0 < self.relent_p < self.doubt_p <= 1.0:
            raise InvalidValueError(
                f"thresholds: relent_p is {self.relent_p}, must be above 0 and below doubt_p "
                f"({self.doubt_p})"
            )
        for name in ("doubt_s", "confirm_s", "relent_s", "class_first_s"):
            if getattr(self, name) < 0.0:
                raise InvalidValueError(
                    f"thresholds: {name} is {getattr(self, name)}, must be >= 0"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """Evidence against a cell, or against one class in a cell.

    Attributes:
        cell: Which cell.
        gauge: What gives rise to it: a resource, or `latency:<class>`.
        p_short: Excess P over the shortest horizon.
        p_long: Excess P over the longest horizon.
        span: When the limit is reached; None when the forecast does not say.
        text: For people.
    """

    cell: str
    gauge: str
    p_short: float
    p_long: float
    span: TimeToLimit | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is held against whom, at one forecast.

    Attributes:
        cells: The strongest doubt about each doubted cell.
        classes: Doubts about one class in one cell, by (class, cell).
        known: Cells that the forecast says anything about.
    """

    cells: Mapping[str, Doubt]
    classes: Mapping[tuple[str, str], Doubt]
    known: frozenset[str] = frozenset()


def cell_doubts(
    forecast: Forecast, *, serving: Iterable[str], floor: float, contrast: float = 1.0
) -> Mapping[str, Doubt]:
    """The strongest doubt about each cell whose excess P is at least `floor`.

    Only what no relief of load cures is held against a cell: what load does is cured by giving
    it less, which the planner does from the risk curve.

    Args:
        forecast: The newest forecast.
        serving: Cells in service, the siblings to compare with.
        floor: Least excess P over the longest horizon.
        contrast: As in `Thresholds`.
    """
    short, long = forecast.horizons_s[0], forecast.horizons_s[-1]
    siblings = frozenset(serving)
    found: dict[str, Doubt] = {}
    for name in sorted(forecast.cells):
        cell = forecast.cells[name]
        others = [forecast.cells[o] for o in sorted(siblings - {name}) if o in forecast.cells]
        for mode in sorted(cell.modes):
            gauge = mode.removeprefix(EXHAUSTION)
            if gauge == mode or not _drifts(cell, others, gauge, contrast):
                continue
            p_long = _standing(cell, mode, long) - contrast * _median(
                _standing(o, mode, long) for o in others
            )
            p_short = _standing(cell, mode, short) - contrast * _median(
                _standing(o, mode, short) for o in others
            )
            strongest = found.get(name)
            if p_long >= floor and (strongest is None or p_long > strongest.p_long):
                span = cell.time_to_limit.get(gauge)
                found[name] = Doubt(
                    cell=name,
                    gauge=gauge,
                    p_short=max(0.0, p_short),
                    p_long=p_long,
                    span=span,
                    text=f"{gauge} reaches its limit {describe_span(span)}",
                )
    return found


def class_doubts(
    forecast: Forecast, *, serving: Iterable[str], thresholds: Thresholds
) -> Mapping[tuple[str, str], Doubt]:
    """Classes that suffer in a cell while another there, and the same one elsewhere, do not.

    Two contrasts: the same class in most sibling cells is calm (else moving it helps nobody), and
    some other class in the same cell is calm (else the cell suffers, not the class). What they
    hold must last for `doubt_s` before `shunning` acts on it.
    """
    short, long = forecast.horizons_s[0], forecast.horizons_s[-1]
    siblings = frozenset(serving)
    found: dict[tuple[str, str], Doubt] = {}
    for name in sorted(siblings & forecast.cells.keys()):
        cell = forecast.cells[name]
        others = [forecast.cells[o] for o in sorted(siblings - {name}) if o in forecast.cells]
        risks = {c: by_h[long] for c, by_h in cell.class_risk.items()}
        for request_class, p in sorted(risks.items()):
            neighbours = [q for c, q in risks.items() if c != request_class]
            elsewhere = thresholds.contrast * _median(
                _class_p(o, request_class, long) for o in others
            )
            if not neighbours or min(neighbours) >= thresholds.calm_p or not others:
                continue
            if p - elsewhere < thresholds.doubt_p or elsewhere >= thresholds.calm_p:
                continue
            gauge = f"latency:{request_class}"
            span = cell.time_to_limit.get(gauge)
            found[request_class, name] = Doubt(
                cell=name,
                gauge=gauge,
                p_short=cell.class_risk[request_class][short],
                p_long=p - elsewhere,
                span=span,
                text=f"{request_class} passes its latency objective {describe_span(span)}, "
                "other classes there do not",
            )
    return found


def describe_span(span: TimeToLimit | None) -> str:
    """`in 3 min 40 s (80 %: 2 min 50 s to 5 min 10 s)`; plain words where times are unknown."""
    if span is None or math.isinf(span.q50_s):
        return "some time within the horizon"
    low, mid, high = (describe_s(q) for q in (span.q10_s, span.q50_s, span.q90_s))
    return f"in {mid} (80 %: {low} to {high})"


def describe_s(seconds: float) -> str:
    """`40 s`, `3 min 40 s`, `2 h 5 min`, `never`."""
    if math.isinf(seconds):
        return "never"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3_600} h {whole % 3_600 // 60} min"


def _standing(cell: CellForecast, mode: str, horizon_s: float) -> float:
    by_horizon = cell.modes.get(mode)
    return by_horizon[horizon_s].standing if by_horizon else 0.0


def _class_p(cell: CellForecast, request_class: str, horizon_s: float) -> float:
    by_horizon = cell.class_risk.get(request_class)
    return by_horizon[horizon_s] if by_horizon else 0.0


def _drifts(cell: CellForecast, others: list[CellForecast], gauge: str, contrast: float) -> bool:
    low = cell.drift_low_per_s.get(gauge, 0.0)
    usual = _median(o.drift_low_per_s.get(gauge, 0.0) for o in others)
    return low > max(0.0, contrast * usual)


def _median(values: Iterable[float]) -> float:
    known = list(values)
    return median(known) if known else 0.0
