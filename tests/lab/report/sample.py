"""A made-up run of a minute: one cell leaks and is relieved, one dies and is not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from foreshard.lab import service
from foreshard.lab.cell.faults import Fault, FaultKind
from foreshard.lab.faults import FaultSpec
from foreshard.lab.reactive import describe
from foreshard.lab.records import Outcome, Records, Run
from foreshard.lab.report import FORMAT, written
from foreshard.lab.samples import Samples
from foreshard.lab.scores import FORESHARD, REACTIVE, Conduct, Trial, report
from foreshard.lab.story import Story
from foreshard.lab.timeline import Shares
from foreshard.lab.traffic import Surge
from foreshard.model.safety_net import SafetyNet

__all__ = ["Made", "made", "text_of"]

HORIZONS_S = (20.0, 60.0)
RATE = 10
LEAK_S, DRAIN_S, DEATH_S = 10, 18, 24
CRASH_S = 45


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a made-up run is like.

    Attributes:
        cells: The second one leaks, the last one crashes.
        sides: Which were measured.
        has_faults: Else it is a quiet story.
        surges: Of demand; then the oracle is asked, too.
        seconds: Length of the story.
        ran_s: When it was cut short.
        reason: What is said of the leak.
        unheard: Seconds without a sample.
    """

    cells: Sequence[str] = ("eu-1", "eu-2", "us-1")
    sides: Sequence[str] = (REACTIVE, FORESHARD)
    has_faults: bool = True
    surges: tuple[Surge, ...] = ()
    seconds: int = 60
    ran_s: float | None = None
    reason: str = "memory reaches its limit in 12 s (80 %: 9 s to 15 s); half of its work leaves"
    unheard: range = range(0)


def text_of(values: dict[str, Any]) -> str:
    """The values as a file holds them."""
    return written(values)


def made(like: Made | None = None) -> dict[str, Any]:
    """The report of a made-up run as JSON values."""
    like = like or Made()
    samples = _samples(like) if FORESHARD in like.sides else None
    shares = None
    if samples is not None:
        shares = Shares(t_s=np.array(samples.t_s), share=np.array(samples.share))
    found = report(_trial(like), Conduct(decisions=3, shares=shares, engine=_engine(like)))
    found |= {
        "format": FORMAT,
        "version": "0.0.0",
        "cpus": 2,
        "load": 0.62,
        "forecast": "trend",
        "reactive_net": describe(SafetyNet()),
        "time_scale": {
            "horizons_s": HORIZONS_S,
            "patience_s": {"doubt_s": 2.0},
            "budget": {},
            "doubt_p": 0.5,
            "note": "seconds stand for minutes",
        },
        "timeline": _said(like) if samples is not None else [],
        "samples": (samples or _empty(like)).columns(),
    }
    if like.surges:
        had_to_be = [8.0 * (20 <= second < 40) for second in range(like.seconds)]
        over = {"bad_weighted_ratio": 0.031, "over_points": dict.fromkeys(like.sides, 0.4)}
        found["oracle"] = {"run": over, "bad_weighted": had_to_be}
    values: dict[str, Any] = json.loads(json.dumps(found))
    return values


def _trial(like: Made) -> Trial:
    faults: tuple[FaultSpec, ...] = ()
    if like.has_faults:
        leak = Fault(kind=FaultKind.LEAK, magnitude=1.0, duration_s=20.0)
        crash = Fault(kind=FaultKind.CRASH, magnitude=1.0, duration_s=1.0)
        faults = (
            FaultSpec(cells=(like.cells[1],), fault=leak, at_s=LEAK_S, lasts_s=20.0),
            FaultSpec(cells=(like.cells[-1],), fault=crash, at_s=CRASH_S, lasts_s=0.0),
        )
    return Trial(
        seed=7,
        story=Story(
            name="made",
            duration_s=float(like.seconds),
            warm_up_s=5.0,
            faults=faults,
            surges=like.surges,
        ),
        classes=service.CLASSES,
        run=Run(
            classes=tuple(c.name for c in service.CLASSES),
            cells=tuple(like.cells),
            fleets={side: _records(like, side) for side in like.sides},
        ),
    )


def _records(like: Made, side: str) -> Records:
    n = like.seconds * RATE
    t_s = np.arange(n) / RATE
    of = Records.blank(t_s, (np.arange(n) % 3).astype(np.uint8))
    of.latency_s[:], of.lateness_s[:], of.status[:] = 0.1, 0.001, 200
    of.outcome[:] = Outcome.ANSWERED
    of.cell[:] = np.arange(n) // 3 % len(like.cells)
    if like.has_faults:
        leaking = (of.cell == 1) & (t_s >= LEAK_S + 20) & (t_s < LEAK_S + 26)
        dying = (of.cell == len(like.cells) - 1) & (t_s >= CRASH_S) & (t_s < CRASH_S + 4)
        spoilt = leaking | dying if side == REACTIVE else dying & (t_s < CRASH_S + 1)
        of.status[spoilt] = 503
    if like.ran_s is not None:
        unsent = t_s > like.ran_s
        of.outcome[unsent], of.latency_s[unsent] = Outcome.UNSENT, np.nan
    return of


def _engine(like: Made) -> dict[str, float]:
    if FORESHARD not in like.sides:
        return {}
    return {"tick_ms_p50": 4.0, "tick_ms_p99": 12.5, "push_to_ack_ms_p99": 3.2, "rss_mb": 201.0}


def _empty(like: Made) -> Samples:
    classes = [c.name for c in service.CLASSES]
    return Samples(cells=like.cells, classes=classes, horizons_s=HORIZONS_S)


def _samples(like: Made) -> Samples:
    samples = _empty(like)
    for second in range(int(like.ran_s or like.seconds)):
        is_away = like.has_faults and DRAIN_S <= second < DRAIN_S + 18
        rest = len(like.cells) - is_away
        cells = {}
        for i, name in enumerate(like.cells):
            share = 0.0 if is_away and i == 1 else 1.0 / rest
            cells[name] = {
                "shares": {f"eu/{c.name}": share for c in service.CLASSES},
                "phase": "drained" if is_away and i == 1 else "active",
                "risk": _risk(second if like.has_faults and i == 1 else 0, is_away=is_away),
            }
        if second not in like.unheard:
            samples.take({"cells": cells}, at_s=second + 0.25)
    return samples


def _risk(second: int, *, is_away: bool) -> dict[str, Any]:
    if is_away and second:
        return {"p": {}, "band": {}, "class": {}, "class_band": {}}
    p = min(1.0, max(0.0, (second - LEAK_S) / 8.0)) if second < DRAIN_S else 0.0
    band = [round(0.5 * p, 3), round(min(1.0, 1.5 * p), 3)]
    both = {"20": round(0.5 * p, 3), "60": round(p, 3)}
    return {
        "p": both,
        "band": {"60": band} if p else {},
        "class": {"search": both},
        "class_band": {},
    }


def _said(like: Made) -> list[dict[str, Any]]:
    first = {"at_s": -1.5, "cell": "fleet", "code": "plan.first", "moved": True}
    said: list[dict[str, Any]] = [{**first, "text": "nothing was live: every cell gets the same"}]
    if like.has_faults:
        drained = {"cell": like.cells[1], "code": "cell.doubted", "moved": True}
        said += [
            {**drained, "at_s": float(DRAIN_S), "text": like.reason},
            {
                **drained,
                "at_s": DRAIN_S + 1.0,
                "text": "is empty; it is restarted",
                "moved": False,
            },
        ]
    return said
