"""This module is the page: what stands where, in one file that needs no other."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files

from foreshard.lab.report import listing, verdict
from foreshard.lab.report.cell_row import CellRow, Marked, marks
from foreshard.lab.report.figures import Report
from foreshard.lab.report.harm import harm_picture
from foreshard.lab.report.markup import Html, join, raw, tag
from foreshard.lab.report.scale import nice_ticks
from foreshard.lab.report.theme import CLASS_TINTS, theme_css
from foreshard.lab.report.wording import percent, seconds, spaced

__all__ = ["page"]

FLEET = "fleet"
# With more cells than this, those to which nothing happened are drawn small.
ROOMY_CELLS = 12


def page(report: Report) -> str:
    """The page of a report, as text."""
    style, script = theme_css() + _resource("page.css"), _resource("page.js")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        # Nothing is loaded and nothing runs but what stands here, whatever a name contains.
        tag(
            "meta",
            http_equiv="Content-Security-Policy",
            content=(
                f"default-src 'none'; style-src-elem '{_hash(style)}'; "
                f"style-src-attr 'unsafe-inline'; script-src '{_hash(script)}'; base-uri 'none'; "
                "form-action 'none'"
            ),
        ),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="generator", content=f"foreshard {report.version}"),
        tag("title", f"Foreshard: story {report.story}, seed {report.seed}"),
        tag("style", raw(style)),
    )
    body = tag(
        "body",
        _top(report),
        tag("main", *_sections(report)),
        tag("footer", tag("p", f"Drawn by foreshard {report.version} from its report alone.")),
        tag("script", raw(script)),
    )
    return "<!doctype html>\n" + tag("html", head, body, lang="en") + "\n"


def _resource(name: str) -> str:
    return files("foreshard.lab.report").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode()


def _top(report: Report) -> Html:
    facts = (
        f"story {spaced(report.story)}",
        f"seed {report.seed}",
        f"load {percent(report.load)}",
        f"forecaster {report.forecast}",
        f"{seconds(report.duration_s)} long",
        f"{len(report.cells)} cells a side",
    )
    return tag(
        "header",
        tag("p", tag("b", "Foreshard"), " ", tag("span", " · ".join(facts)), class_="facts"),
        tag("button", "Theme", id="theme", type="button", hidden=""),
        class_="top",
    )


def _sections(report: Report) -> list[Html]:
    said: list[Marked] = list(enumerate(report.said, start=1))
    return [
        tag(
            "section",
            tag("h1", verdict.headline(report)),
            tag("p", verdict.cost(report), class_="lead"),
            verdict.tiles(report),
            class_="verdict",
        ),
        _section(
            "harm",
            "Bad requests per second",
            _legend(
                ("swatch reactive", "reactive, upwards"),
                ("swatch foreshard", "Foreshard, downwards, on the same scale"),
                ("swatch fault", "a fault is on"),
                ("rule onset", "its true onset, in the reactive side"),
                ("swatch warm-up", "warm-up, not scored"),
                *([("swatch unrun", "not run: cut short")] if report.was_cut_short else []),
                *([("swatch surge", "a surge of demand")] if report.surges else []),
                *([("rule oracle", "had to be bad")] if _is_bound(report) else []),
            ),
            tag("div", harm_picture(report), class_="card"),
        ),
        _cells(report, said),
        _section("faults", "Faults", listing.fault_table(report))
        if report.faults or report.surges
        else join(()),
        _section("sides", "Both sides", listing.fleet_table(report)),
        _section(
            "decisions",
            "Decisions and their reasons",
            _legend(
                ("mark", "changed the routing"),
                ("mark held", "said, but the routing stayed"),
                sample="7",
            ),
            listing.decision_list(said),
        ),
        _section("engine", "What Foreshard itself needed", listing.engine_table(report)),
        _section("honesty", "Before you believe this", listing.honesty(report)),
        _section("again", "Run it again", listing.command(report)),
    ]


def _is_bound(report: Report) -> bool:
    return report.oracle is not None and any(report.oracle.per_s)


def _section(identifier: str, title: str, *parts: str) -> Html:
    return tag("section", tag("h2", title), *parts, id=identifier)


def _legend(*entries: tuple[str, str], sample: str = "") -> Html:
    return tag(
        "ul",
        *(
            tag("li", tag("i", sample, class_=kind, aria_hidden="true"), words)
            for kind, words in entries
        ),
        class_="legend",
    )


def _cells(report: Report, said: list[Marked]) -> Html:
    names = list(dict.fromkeys((*report.cells, *report.samples.cells)))
    top = _top_share(report)
    rows = [CellRow(report, n, [m for m in said if m[1].cell == n], top=top) for n in names]
    crowded = len(rows) > ROOMY_CELLS
    elsewhere = [m for m in said if m[1].cell not in names]
    fleet = tag(
        "section",
        tag("header", tag("h3", "the whole fleet")),
        tag("div", marks(report, elsewhere), class_="inset"),
        class_="cell",
    )
    classes = report.samples.classes or tuple(report.mix)
    tints = [(f"swatch tint-{min(k + 1, CLASS_TINTS)}", name) for k, name in enumerate(classes)]
    long = report.horizons_s[-1] if report.horizons_s else 0.0
    short = report.horizons_s[0] if report.horizons_s else 0.0
    return _section(
        "cells",
        "Cell by cell",
        _legend(
            *tints,
            ("rule reactive", "the reactive side's share"),
            ("swatch fault", "a fault of this cell is on"),
            ("rule onset", "its true onset"),
            ("rule gain", "relieved before it"),
        ),
        _legend(
            ("rule risk", f"predicted probability within {long:g} s"),
            ("swatch band", "its 80 % band"),
            ("rule risk-short", f"within {short:g} s"),
            ("rule risk-class", "one class alone"),
            ("rule doubt", f"doubt threshold, {percent(report.doubt_p)}"),
            *(
                [("swatch unrun", "nothing was heard of the engine")]
                if report.samples.silences()
                else []
            ),
        ),
        tag(
            "div",
            *([fleet] if elsewhere else []),
            *(row.html(small=crowded and row.is_quiet) for row in rows),
            class_="card",
        ),
    )


def _top_share(report: Report) -> float:
    """The top of every axis of shares: the largest share of any cell, rounded up."""
    samples = report.samples
    mix = [report.mix.get(name, 0.0) for name in samples.classes]
    most = max(
        (
            sum(m * row[c] for m, row in zip(mix, now, strict=True))
            for now in samples.share
            for c in range(len(samples.cells))
        ),
        default=0.0,
    )
    even = 1.0 / max(1, len(report.cells))
    high = max(most, 1.5 * even)
    step = nice_ticks(high, most=4)[1]
    return float(step * -(-high // step))
