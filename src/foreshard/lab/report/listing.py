"""This module is what is read rather than seen: faults, decisions, cost, honesty, the command."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from foreshard.lab.report.cell_row import SMOOTH_S, Marked
from foreshard.lab.report.figures import Report, Said
from foreshard.lab.report.harm import letter
from foreshard.lab.report.markup import Html, tag
from foreshard.lab.report.wording import DASH, SIDES, count, milliseconds, percent, seconds, spaced

__all__ = ["command", "decision_list", "engine_table", "fault_table", "fleet_table", "honesty"]

# A load generator that sends later than this puts its own delay into what it measures.
LATE_MS = 20.0
BUSY = " That is late: the machine was busy, and the latencies of both sides are inflated."


def _table(heads: Sequence[str], rows: Sequence[Html], *, label: str) -> Html:
    return tag(
        "table",
        tag("thead", tag("tr", *(tag("th", head, scope="col") for head in heads))),
        tag("tbody", *rows),
        aria_label=label,
    )


def _row(heads: Sequence[str], cells: Sequence[str], *, identifier: str | None = None) -> Html:
    """Each cell repeats its head, which a narrow page shows in place of the head's row."""
    first, *rest = zip(heads, cells, strict=True)
    return tag(
        "tr",
        tag("th", first[1], scope="row", data_head=first[0]),
        *(tag("td", cell, data_head=head) for head, cell in rest),
        id=identifier,
    )


def fault_table(report: Report) -> Html:
    """Every fault, in order, with what became of it on both sides."""
    heads = (
        "fault",
        "cells",
        "begins",
        "onset",
        "relieved",
        "lead",
        *(f"bad, {s}" for s in SIDES),
    )
    rows = []
    for i, fault in enumerate(report.faults):
        name = tag("span", tag("b", letter(i), class_="badge"), " ", spaced(fault.kind))
        if fault.at_s > report.ran_s:
            moments = [seconds(fault.at_s), "not run", DASH, DASH]
            harm = [DASH for _ in SIDES]
        else:
            onset = report.no_onset(fault) if fault.onset_s is None else seconds(fault.onset_s)
            moments = [
                seconds(fault.at_s),
                onset,
                seconds(fault.relieved_s),
                seconds(fault.lead_s),
            ]
            harm = [count(fault.bad_weighted.get(side)) for side in SIDES]
        cells = (name, ", ".join(fault.cells), *moments, *harm)
        rows.append(_row(heads, cells, identifier=f"fault-{i + 1}"))
    for i, surge in enumerate(report.surges, start=len(report.faults)):
        words = f"surge of {surge.request_class}, x {surge.factor:g}"
        name = tag("span", tag("b", letter(i), class_="badge"), " ", words)
        rest = ("all", seconds(surge.at_s), *[DASH] * 5)
        rows.append(_row(heads, (name, *rest), identifier=f"fault-{i + 1}"))
    return _table(heads, rows, label="faults and surges")


def fleet_table(report: Report) -> Html:
    """Totals of both sides."""
    heads = ("side", "requests", "failed", "slow", "shed", "weighted bad", "p50", "p99")
    rows = []
    for side in SIDES:
        fleet = report.fleets.get(side)
        if fleet is None:
            rows.append(_row(heads, (side, "not measured", *[DASH] * 6)))
            continue
        counts = [count(v) for v in (fleet.requests, fleet.failed, fleet.slow, fleet.shed)]
        harm = f"{count(fleet.bad_weighted)} ({percent(fleet.bad_ratio)})"
        times = [milliseconds(v) for v in (fleet.p50_ms, fleet.p99_ms)]
        rows.append(_row(heads, (side, *counts, harm, *times)))
    oracle = report.oracle
    if oracle is not None and oracle.ratio is not None:
        harm = f"{percent(oracle.ratio)} had to be bad"
        rows.append(_row(heads, ("oracle", *[DASH] * 4, harm, DASH, DASH)))
    return _table(heads, rows, label="both sides and the oracle")


def decision_list(said: Sequence[Marked]) -> Html:
    """Every decision with its reason, by the numbers of the pictures."""
    if not said:
        return tag("p", "Foreshard decided nothing.", class_="note")
    heads = ("", "time", "where", "what was done", "because")
    return tag(
        "div",
        tag("div", *(tag("span", head) for head in heads), class_="heads", aria_hidden="true"),
        tag("ol", *(_decision(number, entry) for number, entry in said)),
        class_="decisions",
    )


def _decision(number: int, entry: Said) -> Html:
    """Reasons read `evidence; consequence`; one without a semicolon is all consequence."""
    evidence, parted, what = entry.text.partition("; ")
    did, because = (what, evidence) if parted else (evidence, "")
    kind = "mark" if entry.moved else "mark held"
    return tag(
        "li",
        tag("span", str(number), class_=kind),
        tag("time", seconds(entry.at_s)),
        tag("b", entry.cell, class_="where"),
        tag("p", did, class_="did"),
        *([tag("p", because, class_="because")] if because else []),
        id=f"decision-{number}",
    )


def engine_table(report: Report) -> Html:
    """What Foreshard itself needed."""
    engine = report.engine
    memory = engine.get("rss_mb")
    pairs = (
        ("decisions that changed routing", count(report.decisions)),
        (
            "tick, p50 and p99",
            " and ".join(milliseconds(engine.get(f"tick_ms_{q}")) for q in ("p50", "p99")),
        ),
        ("push to acknowledgement, p99", milliseconds(engine.get("push_to_ack_ms_p99"))),
        ("refused by the balancer", count(engine.get("rejections"))),
        ("memory, all its processes", DASH if memory is None else f"{memory:,.0f} MB"),
    )
    return tag(
        "dl",
        *(tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs),
        class_="pairs",
    )


def honesty(report: Report) -> Html:
    """What a reader must know before believing the page."""
    late = report.lateness_ms_p99
    where = ", ".join(f"{side} {count(report.elsewhere.get(side))}" for side in SIDES)
    weights = ", ".join(f"{name} {weight:g}" for name, weight in report.weights.items())
    patience = ", ".join(f"{name} {value:g}" for name, value in report.patience_s.items())
    points = {
        "Bad": "is failed, slower than the objective of its class, or turned away; each request "
        f"counts once, by its class: {weights}.",
        "Onset": "is read from the reactive side, which nobody relieved: the first sustained "
        "breach of an objective, or the death of a process. It is what came true, not what was "
        "injected.",
        "The band": "is where the probability would lie at the 10 % and the 90 % quantile of the "
        "drift. The line is the mean over all drifts: where the evidence is split it may lie "
        "outside.",
        "The doubt threshold": "is compared with the part of the probability that no relief of "
        "load cures, beyond what the siblings show, and has to hold for a while: a line above it "
        "is not yet a decision.",
        "The oracle": "knows all in advance and is bound by cpu alone: what is bad in its run "
        "had to be bad.",
        "False evacuations": f"{report.false_evacuations}: cells that lost more than a fifth of "
        "their share outside of every fault of their own.",
        "Outside of all faults": f"weighted bad requests: {where}.",
        "The load generator": f"sent 99 of 100 requests less than {milliseconds(late)} late."
        + (BUSY if late is not None and late > LATE_MS else ""),
        "Time": f"{report.time_note}: {patience}." if patience else f"{report.time_note}.",
        "One machine": f"with {report.cpus} cpus ran both sides, the load and Foreshard. One run "
        "of one seed is no mean.",
        "Shares": "are what Foreshard planned; the line of the reactive side is who answered, "
        f"over {SMOOTH_S} s.",
    }
    return tag(
        "div",
        tag(
            "dl",
            *(tag("div", tag("dt", n), tag("dd", t)) for n, t in points.items()),
            class_="honest",
        ),
        tag("h3", "What the reactive side had"),
        tag("ul", *(tag("li", phrase) for phrase in report.reactive_net)),
    )


def command(report: Report) -> Html:
    """The command that runs the same again."""
    words = [
        *("foreshard", "demo", "--headless", "--story", report.story, "--seed", str(report.seed)),
        *("--forecast", report.forecast),
        *("--load", f"{report.load:g}", "--duration-s", f"{report.duration_s:g}"),
        *("--json", "report.json", "--html", "report.html"),
    ]
    return tag("pre", tag("code", shlex.join(words)))
