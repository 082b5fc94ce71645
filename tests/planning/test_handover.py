from __future__ import annotations

import itertools
import re

import pytest

from foreshard.model.errors import InvalidValueError, PlanningError
from foreshard.model.handover import Answer, Reply, Step
from foreshard.planning.handover import (
    COOL_S,
    OPEN,
    REST_S,
    TELL_S,
    TRANSITIONS,
    Handover,
    HandoverPhase,
    HandoverTrigger,
    advance,
    aged,
    answered,
    diagram,
    notice_of,
)
from tests.architecture.source import ROOT

PHASES = tuple(HandoverPhase)
PAGE = ROOT / "docs" / "how-to" / "hand-over.md"


def handover(phase: HandoverPhase = HandoverPhase.PREPARING, **changes: object) -> Handover:
    fields: dict[str, object] = {
        "id": "h-1",
        "request_class": "checkout",
        "first": 100,
        "length": 50,
        "slot_count": 4096,
        "source": "eu-1",
        "target": "eu-2",
        "since_s": 1_000.0,
        "patience_s": 30.0,
    }
    return Handover(phase=phase, **(fields | changes))  # type: ignore[arg-type]  # any field


def reply(step: Step, answer: Answer, because: str = "") -> Reply:
    return Reply(handover="h-1", step=step, answer=answer, because=because)


def test_what_is_not_in_the_table_cannot_happen() -> None:
    for phase, trigger in itertools.product(HandoverPhase, HandoverTrigger):
        if (phase, trigger) in TRANSITIONS:
            after = advance(handover(phase), trigger, now_s=1_001.0)
            assert (after.phase, after.since_s) == (TRANSITIONS[phase, trigger], 1_001.0)
        else:
            with pytest.raises(PlanningError, match=f"h-1 is {phase} and cannot be {trigger}"):
                advance(handover(phase), trigger, now_s=1_001.0)


def test_every_way_ends_and_none_leads_back() -> None:
    def ends(phase: HandoverPhase, seen: tuple[HandoverPhase, ...]) -> None:
        assert phase not in seen, f"{phase} is met twice"
        ways = [after for (before, _), after in TRANSITIONS.items() if before is phase]
        assert ways or phase is HandoverPhase.OVER
        for after in ways:
            ends(after, (*seen, phase))

    ends(HandoverPhase.PREPARING, ())


def test_the_diagram_in_the_docs_is_the_table() -> None:
    drawn = re.search(r"```mermaid\n(.*?)\n```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert drawn, "the page has no diagram"
    assert drawn.group(1) == diagram()


def test_only_ready_lets_traffic_follow_and_late_words_change_nothing() -> None:
    asked = handover()
    assert answered(asked, reply(Step.PREPARE, Answer.PENDING), now_s=1_001.0) == asked
    ready = answered(asked, reply(Step.PREPARE, Answer.READY), now_s=1_001.0)
    assert ready.phase is HandoverPhase.READY
    assert answered(ready, reply(Step.PREPARE, Answer.FAILED), now_s=1_002.0) == ready
    failed = advance(asked, HandoverTrigger.TIMED_OUT, now_s=1_002.0)
    assert answered(failed, reply(Step.PREPARE, Answer.READY), now_s=1_003.0) == failed
    assert answered(failed, reply(Step.MOVED, Answer.DONE), now_s=1_003.0) == failed


def test_a_service_that_refuses_is_quoted() -> None:
    failed = answered(handover(), reply(Step.PREPARE, Answer.FAILED, "disk full"), now_s=1_001.0)
    assert failed.phase is HandoverPhase.FAILED
    told = notice_of(failed)
    assert told is not None
    assert (told.step, told.because) == (Step.FAILED, "the service says: disk full")


@pytest.mark.parametrize(
    ("phase", "patience_s", "after"),
    [
        (HandoverPhase.PREPARING, 30.0, HandoverPhase.FAILED),
        (HandoverPhase.READY, 30.0, HandoverPhase.FAILED),
        (HandoverPhase.MOVED, TELL_S, HandoverPhase.RESTING),
        (HandoverPhase.FAILED, TELL_S, HandoverPhase.COOLING),
        (HandoverPhase.WITHDRAWN, TELL_S, HandoverPhase.RESTING),
        (HandoverPhase.RESTING, REST_S, HandoverPhase.OVER),
        (HandoverPhase.COOLING, COOL_S, HandoverPhase.OVER),
    ],
)
def test_nothing_lasts_for_ever(
    phase: HandoverPhase, patience_s: float, after: HandoverPhase
) -> None:
    one = handover(phase)
    assert aged(one, now_s=one.since_s + patience_s - 0.1) == one
    assert aged(one, now_s=one.since_s + patience_s).phase is after


@pytest.mark.parametrize("phase", PHASES)
def test_the_service_is_told_while_it_has_to_know(phase: HandoverPhase) -> None:
    told = notice_of(handover(phase))
    silent = {
        HandoverPhase.READY,
        HandoverPhase.RESTING,
        HandoverPhase.COOLING,
        HandoverPhase.OVER,
    }
    assert (told is None) == (phase in silent)
    if told is not None:
        assert (told.first, told.end, told.source, told.target) == (100, 150, "eu-1", "eu-2")
        assert (told.step is Step.PREPARE) == (phase in OPEN)


def test_slots_beyond_the_last_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="slots 4090 to 4140"):
        notice_of(handover(first=4_090))
