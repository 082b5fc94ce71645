"""This module is the page of a backtest: one file that needs no other and runs nothing."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from importlib.resources import files

from foreshard.lab.backtest.chance import RANDOM
from foreshard.lab.backtest.episode import choose_episodes
from foreshard.lab.backtest.picture import episode_picture, moment, reliability_picture
from foreshard.lab.backtest.telling import COLUMNS, duration, rows_of, sentences
from foreshard.lab.backtest.trial import Outcome
from foreshard.lab.report.markup import Html, join, raw, tag
from foreshard.lab.report.theme import theme_css
from foreshard.lab.report.wording import percent

__all__ = ["page_of"]

# Entities beyond these are summed up in a line.
MOST_ENTITIES = 200


def page_of(outcome: Outcome, *, command: str, version: str) -> str:
    """The page, as text.

    Args:
        outcome: Of the backtest.
        command: That made it.
        version: Of the program.
    """
    style = theme_css() + _resource("lab.report", "page.css")
    style += _resource("lab.backtest", "backtest.css")
    digest = "sha256-" + b64encode(sha256(style.encode()).digest()).decode()
    # Nothing is loaded and nothing runs, whatever a name contains.
    policy = (
        f"default-src 'none'; style-src-elem '{digest}'; style-src-attr 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'"
    )
    outline = outcome.outline
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", f"Foreshard: backtest {outline.name}"),
        tag("style", raw(style)),
    )
    said = sentences(outcome)
    body = tag(
        "body",
        tag("header", _facts(outcome), class_="top"),
        tag(
            "main",
            tag("h1", said[0]),
            *([tag("p", outline.about, class_="lead")] if outline.about else []),
            *_sections(outcome, said, command),
        ),
        tag("footer", tag("p", f"Drawn by foreshard {version}.")),
    )
    return "<!doctype html>\n" + tag("html", head, body, lang="en") + "\n"


def _facts(outcome: Outcome) -> Html:
    record, history = outcome.record, outcome.record.history
    start = int(record.starts.min())
    facts = (
        f"backtest {outcome.outline.name}",
        f"{len(history.cells)} entities",
        f"scored from {moment(outcome, start)} to {moment(outcome, history.samples - 1)}",
        f"{outcome.scored_onsets} onsets",
    )
    return tag("p", tag("b", "Foreshard"), " ", tag("span", " · ".join(facts)), class_="facts")


def _sections(outcome: Outcome, said: Sequence[str], command: str) -> list[Html]:
    return [
        *(_figures(outcome, h) for h in reversed(range(len(outcome.outline.horizons_s)))),
        _section(
            "reliability",
            f"How far {outcome.walks[0].name} can be believed",
            _legend(("ideal", "as said, so it came"), ("spread", "90 % over entities")),
            tag(
                "div",
                tag("div", *(reliability_picture(s) for s in outcome.scores[0]), class_="pair"),
                class_="card",
            ),
        ),
        _episodes(outcome),
        _entities(outcome),
        _section("honesty", "What the figures mean", _honesty(outcome)),
        _section("again", "Run it again", tag("pre", tag("code", command))),
        _section(
            "said", "What to take home", tag("ul", *(tag("li", s) for s in said), class_="said")
        ),
    ]


def _figures(outcome: Outcome, horizon: int) -> Html:
    score = outcome.scores[0][horizon]
    budgets = " and ".join(f"{b:g}" for b in outcome.outline.budgets)
    heads = {
        "recall": f"recall at {budgets} false alarms a day",
        "lead": "median lead",
        "ahead": "same, thresholds of past days",
    }
    columns = [heads.get(c, c) for c in COLUMNS]
    return _section(
        f"figures-{score.horizon_s:g}",
        f"Within {duration(score.horizon_s)}: {percent(score.prevalence)} of all samples have an "
        "onset ahead",
        tag(
            "table",
            _head(columns),
            tag(
                "tbody",
                *(
                    _row(row, columns, is_own=number == 0)
                    for number, row in enumerate(rows_of(outcome, horizon))
                ),
            ),
        ),
    )


def _head(heads: Sequence[str]) -> Html:
    return tag("thead", tag("tr", *(tag("th", head, scope="col") for head in heads)))


def _row(cells: Sequence[str], heads: Sequence[str], *, is_own: bool = False) -> Html:
    return tag(
        "tr",
        tag("th", cells[0], scope="row", data_head=heads[0]),
        *(
            tag("td", cell, data_head=head)
            for cell, head in zip(cells[1:], heads[1:], strict=True)
        ),
        class_="own" if is_own else None,
    )


def _episodes(outcome: Outcome) -> Html:
    episodes = choose_episodes(outcome)
    if not episodes:
        return join(())
    longest = duration(outcome.outline.horizons_s[-1])
    return _section(
        "episodes",
        "The best and the worst",
        _legend(
            ("gauge", "the gauge at its limit"),
            ("other", "other gauges that count"),
            ("limit", "the limit"),
            ("risk", f"probability within {longest}, on a square-root scale"),
            *((("risk-short", "within less"),) if len(outcome.scores[0]) > 1 else ()),
            ("doubt", "the threshold"),
            ("alarm", "alarm"),
            ("onset", "onset"),
            ("fault", "in breach"),
        ),
        tag("div", *(episode_picture(outcome, each) for each in episodes), class_="card"),
    )


def _entities(outcome: Outcome) -> Html:
    record, onsets, score = outcome.record, outcome.onsets, outcome.scores[0][-1]
    history = record.history
    alarms = next(iter((score.ahead or score.hindsight).values())).alarms
    scored = onsets.begin >= record.starts[onsets.cell]
    heads = ("entity", "onsets before", "onsets scored", "announced", "false alarms", "limits")
    rows = []
    for c, cell in enumerate(history.cells[:MOST_ENTITIES]):
        own = alarms.cell == c
        limits = ", ".join(
            f"{gauge} {record.limits.limit[c, g]:.4g}"
            for g, gauge in enumerate(history.gauges)
            if history.counts[c, g]
        )
        cells = (
            cell,
            str(int(((onsets.cell == c) & ~scored).sum())),
            str(int(((onsets.cell == c) & scored).sum())),
            str(int((own & (alarms.lead > 0)).sum())),
            str(int((own & (alarms.lead == 0)).sum())),
            limits or "none counts",
        )
        rows.append(_row(cells, heads))
    more = len(history.cells) - MOST_ENTITIES
    return _section(
        "entities",
        f"Entity by entity, at {duration(score.horizon_s)}",
        tag(
            "table",
            _head(heads),
            tag("tbody", *rows),
        ),
        *([tag("p", f"and {more} more", class_="note")] if more > 0 else []),
    )


def _honesty(outcome: Outcome) -> Html:
    outline, history = outcome.outline, outcome.record.history
    rule = outline.rule
    own = outcome.walks[0]
    fits = "once" if outline.refit_s is None else f"every {duration(outline.refit_s)}"
    onset = (
        f"a gauge that counts is at its limit for {rule.sustain} samples on end"
        if history.declared is None
        else "the data say so"
    )
    unsaid = outcome.scores[0][-1].unsaid_ratio
    learned = any(g.limit is not None and g.limit.quantile for g in outline.reading.gauges)
    points = {
        "Onset": f"{onset}. Less than {duration(rule.merge_gap_s)} apart is one; during it and "
        f"{duration(rule.quiet_s)} after it nothing is scored.",
        "Limits": "were learned before the scored part, as nobody declared them: each is a guess."
        if learned
        else "were declared.",
        "Fitted": f"{fits}, on what was past by then, {len(own.stages)} times in all.",
        "An alarm": "goes off when the probability reaches the threshold, then is silent for one "
        "horizon. It is right when an onset follows within the horizon.",
        "In hindsight": "the threshold is the best one for this very stretch, which nobody has in "
        "advance. Thresholds of past days were chosen on the forecasts of the "
        f"{duration(outline.calibration_s)} before, and then had the false alarms that are told.",
        "PR-AUC": "is average precision; knowing nothing gives the share in the heading. In "
        "brackets the middle 90 % over entities"
        + (" and blocks of time." if outline.block_s is not None else "."),
        "Unsaid": f"{100.0 * unsaid:.2g} % of the scored samples; they count as 0.",
        RANDOM: "draws numbers without a look at anything.",
    }
    return tag(
        "div",
        tag(
            "dl",
            *(tag("div", tag("dt", n), tag("dd", t)) for n, t in points.items()),
            class_="honest",
        ),
    )


def _section(identifier: str, title: str, *parts: str) -> Html:
    return tag("section", tag("h2", title), *parts, id=identifier)


def _legend(*entries: tuple[str, str]) -> Html:
    return tag(
        "ul",
        *(
            tag("li", tag("i", "", class_=f"swatch {kind}", aria_hidden="true"), words)
            for kind, words in entries
        ),
        class_="legend",
    )


def _resource(package: str, name: str) -> str:
    return files(f"foreshard.{package}").joinpath(name).read_text(encoding="utf-8")
