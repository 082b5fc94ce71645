"""This module is the doubt: which predictions deserve to be acted upon.

A prediction without judgement does more harm than the faults it foresees. Three things must
come together before a cell loses work to a forecast: the probability is high *beyond what its
siblings show* (what all of them do is the fleet's own rhythm), the *lower bound* of the drift
points at the limit, and both have held for a while. What comes by the clock does not drift: there
a probability of a trained model is believed that was held against what came true and is watched,
if it is high. What one class alone suffers is held against that class in that cell, and against
the cell only when that explanation has failed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from foreshard.model.forecast import Forecast, TimeToLimit
from foreshard.planning.problem import Flags, Floats
from foreshard.planning.sheet import Sheet, sheet_of
from foreshard.planning.siblings import median_of_others
from foreshard.planning.thresholds import Thresholds

__all__ = [
    "Doubt",
    "Judgement",
    "cell_doubts",
    "class_doubts",
    "describe_s",
    "describe_span",
]


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
        drifts: A drift stands beside the probability; without one it takes a calibrated model,
            and more of a probability.
    """

    cell: str
    gauge: str
    p_short: float
    p_long: float
    span: TimeToLimit | None
    text: str
    drifts: bool = True

    def begins(self, thresholds: Thresholds) -> bool:
        """Whether it is strong enough for a cell to be doubted that was not yet."""
        needed = thresholds.doubt_p if self.drifts else thresholds.urgent_p
        return self.p_long >= needed


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is held against whom, at one forecast.

    Attributes:
        cells: The strongest doubt about each doubted cell.
        classes: Doubts about one class in one cell, by (class, cell).
        known: Cells that the forecast says anything about.
        unheard: Doubts about cells whose gauges are not believed; they move nothing.
    """

    cells: Mapping[str, Doubt]
    classes: Mapping[tuple[str, str], Doubt]
    known: frozenset[str] = frozenset()
    unheard: Mapping[str, Doubt] = field(default_factory=dict)


def cell_doubts(
    forecast: Forecast, *, serving: Iterable[str], floor: float, contrast: float = 1.0
) -> Mapping[str, Doubt]:
    """The strongest doubt about each cell whose excess P is at least `floor`.

    Only what no relief of load cures is held against a cell: what load does is cured by giving
    it less, which the planner does from the risk curve.

    Args:
        forecast: The newest forecast.
        serving: Cells in service, the siblings to compare with.
        floor: Least excess P over the longest horizon, > 0.
        contrast: As in `Thresholds`.
    """
    short, long = forecast.horizons_s[0], forecast.horizons_s[-1]
    sheet = sheet_of(forecast)
    siblings = _among(sheet, serving)
    found: dict[str, Doubt] = {}
    for gauge in sorted(sheet.gauges):
        excess = _excess(sheet.standing(gauge, long), siblings, contrast)
        if not (excess >= floor).any():
            continue
        low = sheet.drift_low_per_s(gauge)
        drifts = low > np.maximum(0.0, _usual(low, siblings, contrast))
        sooner = _excess(sheet.standing(gauge, short), siblings, contrast)
        for c in np.flatnonzero((drifts | sheet.calibrated) & (excess >= floor)).tolist():
            name, p_long = sheet.names[c], float(excess[c])
            strongest = found.get(name)
            if strongest is None or p_long > strongest.p_long:
                span = forecast.cells[name].time_to_limit.get(gauge) if drifts[c] else None
                when = describe_span(span) if drifts[c] else f"within {describe_s(long)}"
                found[name] = Doubt(
                    cell=name,
                    gauge=gauge,
                    p_short=max(0.0, float(sooner[c])),
                    p_long=p_long,
                    span=span,
                    text=f"{gauge} reaches its limit {when}",
                    drifts=bool(drifts[c]),
                )
    return dict(sorted(found.items()))


def class_doubts(
    forecast: Forecast, *, serving: Iterable[str], thresholds: Thresholds
) -> Mapping[tuple[str, str], Doubt]:
    """Classes that suffer in a cell while another there, and the same one elsewhere, do not.

    Two contrasts: the same class in most sibling cells is calm (else moving it helps nobody), and
    some other class in the same cell is calm (else the cell suffers, not the class). What they
    hold must last for `doubt_s` before `shunning` acts on it. The shortest horizon counts: giving
    a cell less of a class acts at once, so what is further away can wait to be surer.
    """
    short, long = forecast.horizons_s[0], forecast.horizons_s[-1]
    sheet = sheet_of(forecast)
    siblings = _among(sheet, serving)
    if siblings.sum() < 2:
        return {}
    risks = {name: sheet.class_risk(name, short) for name in sheet.classes}
    found: list[tuple[str, str, Doubt]] = []
    for request_class, own in risks.items():
        elsewhere = _usual(np.nan_to_num(own), siblings, thresholds.contrast)
        neighbours = [_or_one(p) for name, p in risks.items() if name != request_class]
        calm_there = np.min(neighbours, axis=0, initial=1.0) < thresholds.calm_p
        # NaN compares as false.
        suffers = (own - elsewhere >= thresholds.doubt_p) & (elsewhere < thresholds.calm_p)
        for c in np.flatnonzero(siblings & suffers & calm_there).tolist():
            name, gauge = sheet.names[c], f"latency:{request_class}"
            span = forecast.cells[name].time_to_limit.get(gauge)
            doubt = Doubt(
                cell=name,
                gauge=gauge,
                p_short=float(own[c] - elsewhere[c]),
                p_long=float(sheet.class_risk(request_class, long)[c]),
                span=span,
                text=f"{request_class} passes its latency objective {describe_span(span)}, "
                "other classes there do not",
            )
            found.append((name, request_class, doubt))
    found.sort(key=lambda each: each[:2])
    return {(request_class, name): doubt for name, request_class, doubt in found}


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


def _among(sheet: Sheet, serving: Iterable[str]) -> Flags:
    """[C] which cells of a sheet are in service."""
    siblings = frozenset(serving)
    return np.array([name in siblings for name in sheet.names], dtype=np.bool_)


def _usual(values: Floats, siblings: Flags, contrast: float) -> Floats:
    """[C] what is taken off for what a cell's siblings show; 0 where there are none."""
    return np.asarray(contrast * np.nan_to_num(median_of_others(values, siblings)))


def _excess(values: Floats, siblings: Flags, contrast: float) -> Floats:
    return np.asarray(values - _usual(values, siblings, contrast))


def _or_one(p: Floats) -> Floats:
    """A probability, or certainty where nothing is said."""
    return np.where(np.isnan(p), 1.0, p)
