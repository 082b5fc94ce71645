"""This module is the run in words: who did how much harm, and what it cost to do less."""

from __future__ import annotations

from foreshard.lab.report.figures import Report
from foreshard.lab.report.markup import Html, join, tag
from foreshard.lab.report.wording import DASH, count, milliseconds, percent, seconds
from foreshard.lab.scores import FORESHARD, REACTIVE

__all__ = ["cost", "headline", "tiles"]


def headline(report: Report) -> str:
    """The verdict in one sentence."""
    sides = report.fleets
    missing = [side for side in (REACTIVE, FORESHARD) if side not in sides]
    if missing:
        return f"The {missing[0]} side was not measured: nothing can be compared."
    reactive, foreshard = (sides[s].bad_weighted for s in (REACTIVE, FORESHARD))
    if not report.faults and not report.surges:
        return (
            f"Nothing was broken: {count(foreshard)} weighted bad requests with Foreshard, "
            f"{count(reactive)} without."
        )
    figures = f"{count(foreshard)} weighted bad requests with Foreshard, {count(reactive)} without"
    if foreshard < reactive:
        return f"{percent(1.0 - foreshard / reactive)} less harm: {figures}."
    if foreshard > reactive:
        return f"Foreshard did more harm than it saved: {figures}."
    return f"No difference: {figures}."


def cost(report: Report) -> str:
    """What it cost, and what it was worth for each kind of fault."""
    sentences = []
    if report.was_cut_short:
        sentences.append(
            f"The run was cut short at {seconds(report.ran_s)} of {seconds(report.duration_s)}: "
            "only what ran is counted."
        )
    foreseen = [f for f in report.faults if f.predictable and f.at_s <= report.ran_s]
    bitten = [f for f in foreseen if f.onset_s is not None]
    early = [f for f in bitten if f.lead_s is not None and f.lead_s > 0.0]
    if bitten and FORESHARD in report.fleets:
        sentences.append(
            f"Relieved before onset: {len(early)} of the {len(bitten)} predictable faults that "
            "bit the reactive side."
        )
    fleet = report.fleets.get(FORESHARD)
    if fleet is not None:
        shed = (
            f"{count(fleet.shed)} requests turned away" if fleet.shed else "no request turned away"
        )
        sentences.append(
            f"It cost {report.decisions} changes of routing, {shed}, "
            f"{report.false_evacuations or 'no'} false evacuation"
            f"{'' if report.false_evacuations == 1 else 's'}, and "
            f"{_memory(report)} of memory; 99 of 100 decisions took less than "
            f"{milliseconds(report.engine.get('tick_ms_p99'))}."
        )
    return " ".join(sentences)


def tiles(report: Report) -> Html:
    """The few figures that one looks for first."""
    found = []
    for side in (REACTIVE, FORESHARD):
        fleet = report.fleets.get(side)
        detail = "not measured"
        if fleet is not None:
            detail = f"{percent(fleet.bad_ratio)} of weighted demand"
        value = None if fleet is None else fleet.bad_weighted
        found.append(_tile(f"weighted bad, {side}", count(value), detail, kind=side))
    leads = [f.lead_s for f in report.faults if f.predictable and f.lead_s is not None]
    if leads:
        found.append(
            _tile("least lead before onset", seconds(min(leads)), f"most {seconds(max(leads))}")
        )
    where = report.elsewhere.get(FORESHARD)
    found.append(
        _tile(
            "false evacuations",
            count(report.false_evacuations) if FORESHARD in report.fleets else DASH,
            f"{count(where)} bad outside of all faults" if where is not None else "not measured",
        )
    )
    return tag("dl", *found, class_="tiles")


def _tile(name: str, value: str, detail: str, *, kind: str = "") -> Html:
    return tag(
        "div",
        tag("dt", name),
        tag("dd", tag("strong", value), tag("span", detail)),
        class_=f"tile {kind}".rstrip(),
    )


def _memory(report: Report) -> str:
    used = report.engine.get("rss_mb")
    return DASH if used is None else join((f"{used:,.0f} MB",))
