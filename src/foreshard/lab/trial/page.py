"""This module is the page of a run: one file that needs no other, drawn from the run's JSON."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.resources import files
from typing import Any

from foreshard.lab.report.markup import Html, join, raw, tag
from foreshard.lab.report.scale import clock
from foreshard.lab.report.theme import theme_css
from foreshard.lab.report.wording import DASH, count, milliseconds, percent, seconds
from foreshard.lab.trial.chronicle import Event, chronicle
from foreshard.lab.trial.picture import cell_strip, harm_strip, rounded_up, share_top, time_axis

__all__ = ["page_of"]

Tale = Mapping[str, Any]
WHO = {"world": "befell", "policy": "decided", "effect": "came of it"}


def page_of(own: Tale, others: Sequence[Tale], *, about: str) -> str:
    """The page of a run, as text.

    Args:
        own: The run that is explained.
        others: The same scenario and seed under other policies.
        about: What happens, and what a good engine does.
    """
    style = theme_css() + _resource("trial.css")
    digest = "sha256-" + b64encode(sha256(style.encode()).digest()).decode()
    # Nothing is loaded and nothing runs, whatever a name contains.
    policy = (
        f"default-src 'none'; style-src-elem '{digest}'; style-src-attr 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'"
    )
    title = f"{own['scenario']} under {own['policy']}, seed {own['seed']}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", f"Foreshard: {title}"),
        tag("style", raw(style)),
    )
    body = tag(
        "body",
        tag("main", tag("h1", title), tag("p", about, class_="lead"), *_sections(own, others)),
        tag("footer", tag("p", f"Drawn by foreshard {own['version']} from the run's file alone.")),
    )
    return "<!doctype html>\n" + tag("html", head, body, lang="en") + "\n"


def _sections(own: Tale, others: Sequence[Tale]) -> tuple[Html, ...]:
    runs = sorted((own, *others), key=lambda t: (t["policy"] != own["policy"],))
    top = rounded_up(max((max(t["bad_per_s"], default=0.0) for t in runs), default=0.0))
    return (
        _section(
            "harm",
            "Weighted bad requests a second",
            _legend(("fault", "a fault is on"), ("warm-up", "warm-up, not scored")),
            tag(
                "div",
                *(harm_strip(t, top=top, is_own=t is own) for t in runs),
                time_axis(own),
                class_="card",
            ),
        ),
        _section("cells", "Who had which share", *_cells(own)),
        _section("told", "What happened, and why", _told(own)),
        _section("figures", "Figures", _figures(runs)),
    )


def _cells(own: Tale) -> tuple[Html, ...]:
    top = share_top(own)
    marks = [("share", "share of all requests"), ("fault", "a fault of this cell is on")]
    risk = own["risk"]
    if risk is not None:
        marks.append(("risk", f"probability of failure within {risk['horizon_s']:g} s"))
    marks.append(("life", "its process died, or started"))
    strips = (cell_strip(own, c, top=top) for c in range(len(own["cells"])))
    left_out = own["fleet"] - len(own["cells"])
    note = tag("p", f"{left_out} cells to which less happened are not shown.", class_="note")
    return (
        _legend(*marks),
        tag("div", *strips, time_axis(own), class_="card"),
        note if left_out else join(()),
    )


def _told(own: Tale) -> Html:
    events = chronicle(own)
    if not events:
        return tag("p", "Nothing befell, nothing was said, nothing moved.", class_="note")
    rows = [_event(event, own["duration_s"]) for event in events]
    header = tag("tr", *(tag("th", text) for text in ("when", "", "whom", "what")))
    return tag("div", tag("table", header, *rows, class_="events"), class_="scroll")


def _event(event: Event, duration_s: float) -> Html:
    at = clock(event.at_s, of_s=duration_s) if event.at_s >= 0.0 else "before"
    cells = (at, WHO[event.who], event.subject, event.text)
    return tag("tr", *(tag("td", text) for text in cells), class_=event.who)


def _figures(runs: Sequence[Tale]) -> Html:
    head = ("policy", "bad", "failed", "slow", "shed", "p99", "moved needlessly", "lead")
    rows = [
        tag("tr", tag("th", tale["policy"]), *(tag("td", text) for text in _row(tale["score"])))
        for tale in runs
    ]
    header = tag("tr", *(tag("th", text) for text in head))
    return tag("div", tag("table", header, *rows), class_="scroll")


def _row(score: Mapping[str, Any]) -> tuple[str, ...]:
    moved = score["displaced_ratio"]
    parts = (percent(score[name] / score["demand"]) for name in ("failed", "slow", "shed"))
    return (
        f"{percent(score['bad_ratio'])} ({count(score['bad'])})",
        *parts,
        milliseconds(score["p99_ms"]),
        DASH if moved is None else percent(moved),
        seconds(score["lead_s"]),
    )


def _section(identifier: str, title: str, *parts: str) -> Html:
    return tag("section", tag("h2", title), *parts, id=identifier)


def _legend(*entries: tuple[str, str]) -> Html:
    return tag(
        "ul",
        *(tag("li", tag("i", "", class_=f"swatch {kind}"), words) for kind, words in entries),
        class_="legend",
    )


def _resource(name: str) -> str:
    return files("foreshard.lab.trial").joinpath(name).read_text(encoding="utf-8")
