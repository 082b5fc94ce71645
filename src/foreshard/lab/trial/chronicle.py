"""This module is a run told in words: what befell, what was seen and decided, and what came of it.

It is told from the run's file alone, so that a run can be explained where it was not played.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from foreshard.lab.report.scale import clock
from foreshard.lab.report.wording import percent, spaced

__all__ = ["Event", "chronicle", "told"]

Tale = Mapping[str, Any]
LIVES = {"died": "the process died", "started": "the process is up", "asked": "a restart began"}


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Event:
    """One line.

    Attributes:
        at_s: Of the scenario; negative = before the first request.
        who: `world` (what befell), `policy` (what it said) or `effect` (what came of it).
        subject: A cell, or "fleet".
        text: For people.
    """

    at_s: float
    who: str
    subject: str
    text: str


def chronicle(tale: Tale) -> tuple[Event, ...]:
    """Everything that happened, oldest first."""
    found = (*_faults(tale), *_lives(tale), *_courses(tale), *_said(tale))
    ends_s = tale["duration_s"]
    return tuple(sorted(event for event in found if event.at_s <= ends_s))


def told(tale: Tale) -> str:
    """A run as text, for a terminal."""
    score = tale["score"]
    head = (
        f"{tale['scenario']}, {tale['policy']}, seed {tale['seed']}: "
        f"{percent(score['bad_ratio'])} of the weighted demand was bad "
        f"(failed {percent(score['failed'] / score['demand'])}, "
        f"slow {percent(score['slow'] / score['demand'])}, "
        f"shed {percent(score['shed'] / score['demand'])})"
    )
    lines = [head]
    events = chronicle(tale)
    width = max((len(event.subject) for event in events), default=0)
    for event in events:
        at = clock(event.at_s, of_s=tale["duration_s"]) if event.at_s >= 0.0 else "before"
        lines.append(f"{at:>8}  {event.who:<6}  {event.subject:<{width}}  {event.text}")
    if not events:
        lines.append("nothing befell, nothing was said, nothing moved")
    return "\n".join(lines)


def _faults(tale: Tale) -> Iterator[Event]:
    for fault in tale["faults"]:
        what = spaced(fault["kind"])
        of = f" of {fault['request_class']}" if fault["request_class"] else ""
        subject = _names(fault["cells"])
        if fault["known_s"] is not None:
            yield _world(fault["known_s"], subject, f"{what}{of} is announced")
        grows = f", grows for {fault['grows_s']:g} s" if fault["grows_s"] else ""
        yield _world(fault["at_s"], subject, f"{what}{of} begins{grows}")
        if fault["ends_s"] is not None:
            yield _world(fault["ends_s"], subject, f"{what}{of} is over")


def _lives(tale: Tale) -> Iterator[Event]:
    for life in tale["lives"]:
        yield Event(
            at_s=life["at_s"], who="effect", subject=life["cell"], text=LIVES[life["what"]]
        )


def _courses(tale: Tale) -> Iterator[Event]:
    for course in tale["score"]["courses"]:
        subject, what = _names(course["cells"]), spaced(course["kind"])
        if course["onset_s"] is not None:
            text = f"{what}: from here on it hurts where nobody is relieved"
            yield _world(course["onset_s"], subject, text)
        if course["relieved_s"] is None:
            continue
        lead = course["lead_s"]
        when = "" if lead is None else f", {abs(lead):.0f} s {'before' if lead > 0 else 'after'}"
        text = f"relieved of more than a fifth{when}{' it hurts' if when else ''}"
        yield Event(at_s=course["relieved_s"], who="effect", subject=subject, text=text)
        if course["drain_s"] is not None:
            at_s = course["relieved_s"] + course["drain_s"]
            yield Event(at_s=at_s, who="effect", subject=subject, text="empty")


def _said(tale: Tale) -> Iterator[Event]:
    for one in tale["said"]:
        text = one["text"] or f"is now {one['code'].removeprefix('phase.')}"
        held = "" if one["moved"] or not one["text"] else " (routing stays)"
        yield Event(at_s=one["at_s"], who="policy", subject=one["subject"], text=f"{text}{held}")


def _world(at_s: float, subject: str, text: str) -> Event:
    return Event(at_s=at_s, who="world", subject=subject, text=text)


def _names(cells: Sequence[str]) -> str:
    if not cells:
        return "fleet"
    more = f" and {len(cells) - 3} more" if len(cells) > 3 else ""
    return ", ".join(cells[:3]) + more
