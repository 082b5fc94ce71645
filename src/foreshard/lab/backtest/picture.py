"""This module is the pictures of a backtest: how far to believe it, and single episodes.

Boxes, labels and colours are those of the report of a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from foreshard.lab.backtest.episode import Episode
from foreshard.lab.backtest.score import Score
from foreshard.lab.backtest.telling import duration
from foreshard.lab.backtest.trial import Outcome
from foreshard.lab.report.curve import Point, line
from foreshard.lab.report.markup import Html, tag
from foreshard.lab.report.packing import Label, text_px
from foreshard.lab.report.plot import Axis, Box, column, packed, stroke, upright
from foreshard.lab.report.scale import Scale, nice_ticks
from foreshard.lab.report.wording import percent

__all__ = ["episode_picture", "moment", "reliability_picture"]

# Probabilities of rare things: a square root gives the small ones room.
TICKS = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0)
# How they stand below a box, where the first two come close.
CROWDED = {0.0: "first", 0.01: "minor", 1.0: "last"}
# Later than this a number of seconds is a date (1973), and no time since a record began.
EPOCH_S = 1e8
MOST_MOMENTS = 9
LABEL_ROOM_PX = 10.0


def moment(outcome: Outcome, sample: int) -> str:
    """When a sample was: a date in UTC, or the day of the record."""
    history = outcome.record.history
    at_s = history.begins_s + history.step_s * sample
    if at_s >= EPOCH_S:
        return f"{datetime.fromtimestamp(at_s, tz=UTC):%Y-%m-%d %H:%M}"
    day, rest_s = divmod(at_s, 86_400.0)
    return f"day {int(day)}, {int(rest_s // 3600):02}:{int(rest_s % 3600 // 60):02}"


def reliability_picture(score: Score) -> Html:
    """What was said against what came true, with 90 % over cells; the diagonal is the truth."""
    layers = [stroke("ideal", line([(0.0, 0.0), (1.0, 1.0)]))]
    most = max((each.count for each in score.reliability), default=1)
    for each in score.reliability:
        x, y = _root(each.said), _root(each.came)
        low, high = (0.0 if np.isnan(v) else _root(v) for v in each.came_interval)
        layers.append(stroke("spread", line([(x, low), (x, high)])))
        # Area by how much was said: what was said twice says little.
        radius = 0.7 + 1.6 * (np.log1p(each.count) / np.log1p(most))
        layers.append(
            tag(
                "rect",
                class_="dot",
                x=10 * (100 * x - radius),
                y=100 - 100 * y - radius,
                width=20 * radius,
                height=2 * radius,
            )
        )
    said = [
        f"said {percent(each.said)}, came true {percent(each.came)} of {each.count}"
        for each in score.reliability
    ]
    box = Box(
        kind="reliability",
        axis=Axis(ticks=[(_root(v), percent(v)) for v in TICKS]),
        title=f"Reliability of {score.model} at {duration(score.horizon_s)}",
        description="; ".join(said) or "nothing was said",
    )
    below = tag(
        "div",
        *(
            tag(
                "span",
                percent(v),
                class_=f"tick {CROWDED.get(v, '')}".rstrip(),
                style=f"left:{100.0 * _root(v):.2f}%",
            )
            for v in TICKS
        ),
        class_="x",
        aria_hidden="true",
    )
    return tag(
        "figure",
        tag("figcaption", f"{duration(score.horizon_s)} ahead: said, and came true (upwards)"),
        box.html(layers),
        below,
        class_="chart square",
    )


def episode_picture(outcome: Outcome, episode: Episode) -> Html:
    """One stretch of one cell: gauges against the limit, and what was foreseen."""
    history = outcome.record.history
    scale = Scale(low=float(episode.first), high=float(max(episode.end - 1, episode.first + 1)))
    name, gauge = history.cells[episode.cell], history.gauges[episode.gauge]
    middle = episode.onset if episode.onset is not None else episode.alarm
    words = f"{episode.kind.value}, {moment(outcome, middle or episode.first)}"
    if episode.onset is not None and episode.alarm is not None:
        words += f", {duration((episode.onset - episode.alarm) * history.step_s)} before"
    return tag(
        "section",
        tag(
            "header",
            tag("h3", f"{name}: {gauge}"),
            tag("span", words, class_=f"verdict-of {episode.kind.name.lower()}"),
        ),
        tag("div", _flags(episode, scale), class_="inset"),
        _gauges(outcome, episode, scale),
        _risk(outcome, episode, scale),
        _time_axis(outcome, episode, scale),
        class_="cell episode",
    )


def _flags(episode: Episode, scale: Scale) -> Html:
    placed: list[tuple[Label, Label, Html]] = []
    marks = [(episode.alarm, "alarm"), (episode.onset, "onset")]
    for sample, words in sorted((m for m in marks if m[0] is not None), key=lambda m: m[0] or 0):
        label = Label(at=scale.at(float(sample or 0)), width_px=text_px(words) + LABEL_ROOM_PX)
        shown = tag("span", words, class_=f"flag-of {words}")
        placed.append((label, label, shown))
    return packed("flags", placed)


def _gauges(outcome: Outcome, episode: Episode, scale: Scale) -> Html:
    history, c = outcome.record.history, episode.cell
    value = history.value[c, :, episode.first : episode.end]
    counted = np.flatnonzero(history.counts[c])
    drawn = counted if len(counted) else np.array([episode.gauge])
    heard = value[drawn][~np.isnan(value[drawn])]
    high = max(1.15, float(heard.max()) * 1.05 if len(heard) else 1.15)
    layers = [tag("g", *_stretch(outcome, episode, scale))]
    for g in sorted(drawn.tolist(), key=lambda g: g == episode.gauge):
        kind = "line gauge" if g == episode.gauge else "line other"
        layers.append(stroke(kind, line(_points(value[g], episode, scale, high))))
    layers.append(stroke("limit", line([(0.0, 1.0 / high), (1.0, 1.0 / high)])))
    layers += _marks(episode, scale)
    ticks = [v for v in nice_ticks(high, most=4) if abs(v - 1.0) > 0.15 * high] + [1.0]
    box = Box(
        kind="gauges",
        axis=Axis(ticks=[(v / high, "limit" if v == 1.0 else percent(v)) for v in sorted(ticks)]),
        title=f"Gauges of {history.cells[c]}, as parts of their limits",
        description=f"{history.gauges[episode.gauge]} and {len(drawn) - 1} others",
    )
    return box.html(layers)


def _risk(outcome: Outcome, episode: Episode, scale: Scale) -> Html:
    walked, scores = outcome.walks[0], outcome.scores[0]
    layers: list[Html] = [tag("g")]
    longest = len(scores) - 1
    for h, score in enumerate(scores):
        p = walked.p[h, episode.cell, episode.first - walked.origin : episode.end - walked.origin]
        kind = "line risk" if h == longest else "line risk-short"
        layers.append(stroke(kind, line(_points(np.sqrt(p), episode, scale, 1.0))))
        if h == longest:
            layers.append(stroke("doubt", line(_threshold(score, episode, scale))))
    layers += _marks(episode, scale)
    said = ", ".join(duration(score.horizon_s) for score in scores)
    box = Box(
        kind="risk",
        axis=Axis(ticks=[(_root(v), percent(v)) for v in (0.0, 0.1, 0.5, 1.0)]),
        title=f"Probability of an onset within {said}",
        description=f"of {outcome.record.history.cells[episode.cell]}, as it was said then",
    )
    return box.html(layers)


def _threshold(score: Score, episode: Episode, scale: Scale) -> list[Point | None]:
    operation = next(iter((score.ahead or score.hindsight).values()))
    held = operation.threshold[episode.first : episode.end]
    found: list[Point | None] = [
        (scale.at(float(episode.first + i)), _root(float(v))) if np.isfinite(v) else None
        for i, v in enumerate(held)
    ]
    return found


def _stretch(outcome: Outcome, episode: Episode, scale: Scale) -> list[Html]:
    """Episodes of the cell that last within the picture."""
    onsets = outcome.onsets
    found = []
    for i in np.flatnonzero(onsets.cell == episode.cell).tolist():
        begin, end = int(onsets.begin[i]), int(onsets.end[i]) + 1
        if end > episode.first and begin < episode.end:
            found.append(column("fault", scale.at(float(begin)), scale.at(float(end))))
    return found


def _marks(episode: Episode, scale: Scale) -> list[Html]:
    found = []
    if episode.alarm is not None:
        found.append(upright("alarm", scale.at(float(episode.alarm))))
    if episode.onset is not None:
        found.append(upright("onset", scale.at(float(episode.onset))))
    return found


def _points(
    value: NDArray[np.floating], episode: Episode, scale: Scale, high: float
) -> list[Point | None]:
    return [
        None if np.isnan(v) else (scale.at(float(episode.first + i)), max(0.0, float(v) / high))
        for i, v in enumerate(value)
    ]


def _time_axis(outcome: Outcome, episode: Episode, scale: Scale) -> Html:
    """Time to the onset, or to the alarm where none followed."""
    step_s = outcome.record.history.step_s
    middle = episode.onset if episode.onset is not None else episode.alarm or episode.first
    span_s = (episode.end - episode.first) * step_s
    every_s = _round_step(span_s / (MOST_MOMENTS - 1))
    first = int(np.ceil((episode.first - middle) * step_s / every_s))
    last = int(np.floor((episode.end - 1 - middle) * step_s / every_s))
    ticks = []
    for number in range(first, last + 1):
        at = scale.at(middle + number * every_s / step_s)
        kinds = ["tick", *(["minor"] if number % 2 else [])]
        if at < 0.03:
            kinds.append("first")
        if at > 0.97:
            kinds.append("last")
        ticks.append(
            tag(
                "span",
                _signed(number * every_s),
                class_=" ".join(kinds),
                style=f"left:{100.0 * at:.2f}%",
            )
        )
    return tag("div", *ticks, class_="x", aria_hidden="true")


def _signed(seconds: float) -> str:
    if seconds == 0.0:
        return "0"
    return f"{'-' if seconds < 0 else '+'}{duration(abs(seconds))}"


def _round_step(least_s: float) -> float:
    steps: Sequence[float] = (1, 5, 10, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400)
    for step in steps:
        if step >= least_s:
            return float(step)
    return float(86_400.0 * np.ceil(least_s / 86_400.0))


def _root(p: float) -> float:
    return float(np.sqrt(min(max(p, 0.0), 1.0)))
