from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from foreshard.model.telemetry import CellReading, ClassTraffic, Health, Missing, Observation
from foreshard.planning.judgement import Doubt, Judgement
from foreshard.planning.shunning import Shun, Stage, share_cap, shun
from tests.engine.shop import CLASSES, POLICY, START_S

BY_NAME = {c.name: c for c in CLASSES}
PAIR = ("search", "a")
Shuns = Mapping[tuple[str, str], Shun]


def tick(
    shuns: Shuns,
    at_s: float,
    *,
    latency_s: float = 0.05,
    failed: float = 0.0,
    others_failed: float = 0.0,
    doubted: bool = False,
    rate: float = 30.0,
    has_room: bool = True,
) -> tuple[Shuns, list[str]]:
    traffic = {
        "search": ClassTraffic(rate_rps=rate, failed_ratio=failed, latency_mean_s=latency_s),
        "checkout": ClassTraffic(rate_rps=30.0, failed_ratio=others_failed, latency_mean_s=0.05),
    }
    observation = Observation(
        now_s=START_S + at_s,
        interval_s=1.0,
        cells={
            "a": CellReading(health=Health.UP, reading=Missing("-"), traffic=traffic),
            "b": CellReading(health=Health.UP, reading=Missing("-"), traffic=None),
        },
        demand_rps={},
    )
    held = Doubt(
        cell="a", gauge="latency:search", p_short=0.5, p_long=0.9, span=None, text="search slows"
    )
    judged = Judgement(cells={}, classes={PAIR: held} if doubted else {})
    after, reasons = shun(
        shuns,
        classes=BY_NAME,
        observation=observation,
        judgement=judged,
        policy=POLICY,
        affordable=lambda *pair: has_room and pair == PAIR,
    )
    assert all(r.subject == "a" for r in reasons)
    return after, [r.code for r in reasons]


def gone() -> Shuns:
    shuns: Shuns = {}
    for at in range(3):
        shuns, _ = tick(shuns, at, doubted=True)
    assert shuns[PAIR].stage is Stage.AWAY
    return shuns


def test_a_suspicion_that_does_not_hold_is_dropped_without_a_word() -> None:
    shuns, said = tick({}, 0, doubted=True)
    assert (shuns[PAIR].stage, said) == (Stage.SUSPECT, [])
    for at in range(1, 5):
        shuns, said = tick(shuns, at)
        assert not said
    assert not shuns


def test_a_suspicion_that_holds_takes_the_class_off_and_says_so() -> None:
    shuns: Shuns = {}
    said: list[str] = []
    for at in range(3):
        shuns, said = tick(shuns, at, doubted=True)
    assert said == ["class.shunned"]
    assert set(shuns) == {PAIR}


def test_a_class_that_the_others_cannot_carry_stays_and_that_is_said() -> None:
    shuns: Shuns = {}
    heard: list[str] = []
    for at in range(6):
        shuns, said = tick(shuns, at, doubted=True, has_room=False)
        heard += said
    assert shuns[PAIR].stage is Stage.SUSPECT
    assert set(heard) == {"guard.rest_ceiling"}
    _, said = tick(shuns, 6, doubted=True)
    assert said == ["class.shunned"]


def test_a_class_on_its_way_back_is_not_sent_off_again_where_nobody_has_room() -> None:
    shuns = gone()
    at = 3
    while shuns[PAIR].stage is Stage.AWAY:
        shuns, _ = tick(shuns, at)
        at += 1
    shuns, said = tick(shuns, at, doubted=True, has_room=False)
    assert (shuns[PAIR].stage, said) == (Stage.RETURNING, [])


def test_failures_are_another_matter() -> None:
    shuns, _ = tick({}, 0, failed=0.9)
    assert not shuns


def test_a_class_that_recovered_returns_slowly_and_the_matter_is_closed() -> None:
    shuns = gone()
    heard: list[str] = []
    caps = []
    for at in range(3, 40):
        shuns, said = tick(shuns, at)
        heard += said
        state = shuns.get(PAIR)
        if state is not None and state.stage is Stage.RETURNING:
            caps.append(share_cap(state, now_s=START_S + at, policy=POLICY))
    assert heard == ["class.returning", "class.returned"]
    assert caps == sorted(caps)
    assert not shuns


def test_a_class_that_stays_slow_or_silent_stays_away() -> None:
    for latency_s in (0.4, float("nan")):
        shuns = gone()
        for at in range(3, 200):
            shuns, _ = tick(shuns, at, latency_s=latency_s, rate=0.4)
        assert shuns[PAIR].stage is Stage.AWAY


def test_evidence_on_the_way_back_takes_the_class_off_again() -> None:
    shuns = gone()
    at = 3
    while shuns[PAIR].stage is Stage.AWAY:
        shuns, _ = tick(shuns, at)
        at += 1
    shuns, said = tick(shuns, at, doubted=True)
    assert shuns[PAIR].stage is Stage.AWAY
    assert said == ["class.shunned"]


@given(st.sampled_from(Stage), st.floats(0.0, 1e4), st.floats(0.0, 1e4))
def test_a_cap_is_a_share_and_never_falls_within_a_stage(
    stage: Stage, one_s: float, more_s: float
) -> None:
    state = Shun(stage=stage, since_s=START_S, seen_s=START_S, evidence="")
    early = share_cap(state, now_s=START_S + one_s, policy=POLICY)
    late = share_cap(state, now_s=START_S + one_s + more_s, policy=POLICY)
    assert 0.0 <= early <= late <= 1.0
