"""This module is moving one class off one cell on a forecast, and letting it back.

A slow dependency hurts the classes that need it and no others. Draining the whole cell for it
overloads the rest; moving the class alone costs next to nothing. While it is away a trickle of
probes shows whether the cell has recovered; without probes nobody would ever know.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import median

from foreshard.model.plan import Reason
from foreshard.model.telemetry import Observation
from foreshard.model.workload import RequestClass
from foreshard.planning.judgement import Doubt, Judgement
from foreshard.planning.policy import Policy

__all__ = ["Shun", "Stage", "share_cap", "shun"]

NAN = float("nan")
# Under this share of its objective a class that was away has recovered, or when it is answered
# about as fast as in the sibling cells.
RECOVERED_RATIO = 0.5
ALIKE_RATIO = 1.3
CROWDED = "the other cells cannot carry the class under the ceiling, so it stays here"


class Stage(StrEnum):
    """How far a class is off a cell."""

    SUSPECT = "suspect"
    AWAY = "away"
    RETURNING = "returning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shun:
    """One class in one cell that is, or may soon be, off it.

    Attributes:
        stage: How far.
        since_s: When that stage began.
        seen_s: When evidence was last seen.
        evidence: Plain words.
    """

    stage: Stage
    since_s: float
    seen_s: float
    evidence: str


def shun(
    shuns: Mapping[tuple[str, str], Shun],
    *,
    classes: Mapping[str, RequestClass],
    observation: Observation,
    judgement: Judgement | None,
    policy: Policy,
    affordable: Callable[[str, str], bool],
    is_steady: bool = True,
) -> tuple[Mapping[tuple[str, str], Shun], tuple[Reason, ...]]:
    """Who is off which cell after one tick, by (class, cell), and why that changed.

    Args:
        shuns: Before.
        classes: By name.
        observation: The newest look.
        judgement: What is held against whom; None when no new forecast came.
        policy: Timings.
        affordable: Whether the other cells can carry what a cell has of a class, by class and
            cell. Where they cannot, the class stays: crowding them would slow it everywhere.
        is_steady: Whether work stands where it usually does. While observed failures have it
            moved, trends of latency are those of the move, and no class leaves for them.
    """
    # What is remembered may be of a class or a cell that the configuration has lost since.
    after = {p: s for p, s in shuns.items() if p[0] in classes and p[1] in observation.cells}
    told = judgement.classes.items() if judgement else ()
    doubts = {pair: doubt for pair, doubt in told if pair[0] in classes}
    after, reasons = _heeded(after, doubts, affordable=affordable, now_s=observation.now_s)
    if not is_steady:
        after = {pair: _begun_again(state) for pair, state in after.items()}
    for pair, state in sorted(after.items()):
        moved = _moved_on(pair, state, classes[pair[0]], observation, policy)
        leaves = moved is not None and moved.stage is Stage.AWAY is not state.stage
        if leaves and not affordable(*pair):
            if pair in doubts:
                said = f"{state.evidence}; {CROWDED}"
                reasons.append(_reason(pair, "guard.rest_ceiling", said))
            moved = state
        if moved is None:
            del after[pair]
            reasons += _said(pair, state, None)
        elif moved.stage is not state.stage:
            after[pair] = moved
            reasons += _said(pair, state, moved)
        else:
            after[pair] = moved
    return after, tuple(reasons)


def _heeded(
    shuns: Mapping[tuple[str, str], Shun],
    doubts: Mapping[tuple[str, str], Doubt],
    *,
    affordable: Callable[[str, str], bool],
    now_s: float,
) -> tuple[dict[tuple[str, str], Shun], list[Reason]]:
    """The same after evidence came in, and what is said of it."""
    after, reasons = dict(shuns), []
    for pair, doubt in sorted(doubts.items()):
        before, evidence = after.get(pair), doubt.text
        if before is None:
            after[pair] = Shun(stage=Stage.SUSPECT, since_s=now_s, seen_s=now_s, evidence=evidence)
        elif before.stage is Stage.RETURNING and affordable(*pair):
            after[pair] = replace(before, stage=Stage.AWAY, since_s=now_s, seen_s=now_s)
            reasons.append(
                _reason(pair, "class.shunned", f"{evidence}; it is off this cell again")
            )
        else:
            after[pair] = replace(before, seen_s=now_s, evidence=evidence)
    return after, reasons


def share_cap(state: Shun, *, now_s: float, policy: Policy) -> float:
    """The most of its flow that a cell may be given, in [0, 1]."""
    match state.stage:
        case Stage.SUSPECT:
            return 1.0
        case Stage.AWAY:
            resting = now_s - state.since_s < policy.shun_s / 2.0
            return 0.0 if resting else policy.probe_share
        case Stage.RETURNING:
            return min(1.0, max(0.1, (now_s - state.since_s) / max(policy.warm_s, 1e-9)))


def _begun_again(state: Shun) -> Shun:
    """A suspicion whose time does not count."""
    if state.stage is not Stage.SUSPECT:
        return state
    return replace(state, since_s=max(state.since_s, state.seen_s))


def _moved_on(
    pair: tuple[str, str],
    state: Shun,
    request_class: RequestClass,
    observation: Observation,
    policy: Policy,
) -> Shun | None:
    """The state after the evidence of this tick; None when the matter is closed."""
    now_s = observation.now_s
    quiet_s = now_s - state.seen_s
    match state.stage:
        case Stage.SUSPECT:
            if quiet_s > policy.thresholds.doubt_s:
                return None
            held = state.seen_s - state.since_s >= policy.thresholds.doubt_s
            return replace(state, stage=Stage.AWAY, since_s=now_s) if held else state
        case Stage.AWAY:
            reading = observation.cells[pair[1]]
            seen = (reading.traffic or {}).get(pair[0])
            if seen is None or math.isnan(seen.latency_mean_s):
                return state
            usual = _usual_s(observation, *pair)
            bound = max(RECOVERED_RATIO * request_class.objective_s, ALIKE_RATIO * usual)
            well = (
                seen.latency_mean_s < min(bound, request_class.objective_s)
                and seen.failed_ratio == 0.0
            )
            if not well:
                return replace(state, seen_s=now_s)
            rested = now_s - state.since_s >= policy.shun_s
            calm = quiet_s >= policy.shun_s / 4.0
            return (
                replace(state, stage=Stage.RETURNING, since_s=now_s) if rested and calm else state
            )
        case Stage.RETURNING:
            return None if now_s - state.since_s >= policy.warm_s else state


def _usual_s(observation: Observation, request_class: str, cell: str) -> float:
    """How long the class takes in the median sibling; 0 when nobody else serves it."""
    others = [
        reading.traffic[request_class].latency_mean_s
        for name, reading in observation.cells.items()
        if name != cell and reading.traffic is not None and request_class in reading.traffic
    ]
    known = [seconds for seconds in others if not math.isnan(seconds)]
    return median(known) if known else 0.0


def _said(pair: tuple[str, str], before: Shun, after: Shun | None) -> list[Reason]:
    if after is None:
        if before.stage is Stage.SUSPECT:
            return []
        return [_reason(pair, "class.returned", f"{pair[0]} has its full share here again")]
    if after.stage is Stage.AWAY:
        return [
            _reason(pair, "class.shunned", f"{after.evidence}; {pair[0]} alone left this cell")
        ]
    return [_reason(pair, "class.returning", f"{pair[0]} is answered in time again; it returns")]


def _reason(pair: tuple[str, str], code: str, text: str) -> Reason:
    return Reason(subject=pair[1], code=code, text=text)
