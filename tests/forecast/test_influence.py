from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.forecast.history import History
from foreshard.forecast.influence import (
    DECLARED_RATIO,
    Influences,
    Ratio,
    influence_of,
    learn_influences,
)
from foreshard.forecast.onset import BreachRule, Onsets, find_onsets
from foreshard.model.errors import ForecastError
from foreshard.model.events import DependencyLevel, EventKind, SystemEvent

RULE = BreachRule(sustain=1, merge_gap_s=0.0, quiet_s=0.0)
SAMPLES = 20_000
GAUGES = ("memory", "latency:checkout", "latency:search")
NEEDS = {"checkout": frozenset({"payments"}), "search": frozenset({"index"})}


def event(
    kind: EventKind = EventKind.KNOWN_BUG,
    *,
    begins: float,
    ends: float,
    known: float | None = None,
    cells: frozenset[str] = frozenset(),
    level: DependencyLevel | None = None,
    dependency: str = "",
) -> SystemEvent:
    return SystemEvent(
        id=f"{kind}-{begins}-{sorted(cells)}",
        kind=kind,
        cells=cells,
        known_at_s=60.0 * (begins if known is None else known),
        starts_at_s=60.0 * begins,
        ends_at_s=60.0 * ends,
        level=level,
        dependency=dependency,
    )


def failing(rates: np.ndarray, *, gauge: int = 0, seed: int = 1) -> tuple[History, Onsets]:
    """Cells [C, T] that breach for one sample with the given probability each."""
    rng = np.random.default_rng(seed)
    value = np.full((len(rates), len(GAUGES), rates.shape[1]), 0.5, dtype=np.float32)
    value[:, gauge][rng.random(rates.shape) < rates] = 1.0
    names = tuple(f"cell-{i}" for i in range(len(rates)))
    history = History.of_gauges(value, cells=names, gauges=GAUGES, step_s=60.0)
    return history, find_onsets(history, RULE)


def under_a_bug(ratio: float) -> tuple[History, Onsets, SystemEvent]:
    rates = np.full((10, SAMPLES), 0.0005)
    rates[:5, 5_000:10_000] *= ratio
    cells = frozenset(f"cell-{i}" for i in range(5))
    return *failing(rates), event(begins=5_000, ends=10_000, cells=cells)


@pytest.mark.parametrize("ratio", [1.0, 4.0, 12.0])
def test_the_true_ratio_is_found_whatever_was_declared(ratio: float) -> None:
    history, onsets, bug = under_a_bug(ratio)
    learned = learn_influences(history, onsets, [bug], needs={})
    found = learned.ratio["known_bug"]
    low, high = _interval(found)
    assert low <= ratio <= high
    assert learned.onset_per_s * 60.0 == pytest.approx(0.0005, rel=0.25)


def test_what_was_never_seen_stays_as_it_was_declared() -> None:
    history, onsets, bug = under_a_bug(4.0)
    learned = learn_influences(history, onsets, [bug], needs={})
    assert learned.ratio["deploy"] == DECLARED_RATIO["deploy"]


def test_an_event_that_became_known_too_late_teaches_nothing() -> None:
    history, onsets, bug = under_a_bug(12.0)
    late = replace(bug, known_at_s=bug.ends_at_s)
    learned = learn_influences(history, onsets, [late], needs={})
    assert learned.ratio["known_bug"] == DECLARED_RATIO["known_bug"]


def test_only_the_stretch_in_which_it_was_known_is_learned_from() -> None:
    """Whatever happened before it was known, and was blamed on it afterwards."""
    rates = np.full((10, SAMPLES), 0.0005)
    rates[:, 5_000:7_500] *= 20.0
    history, onsets = failing(rates)
    told_late = event(begins=5_000, ends=10_000, known=7_500)
    ratio = learn_influences(history, onsets, [told_late], needs={}).ratio["known_bug"]
    assert ratio.mean < 2.0
    told_at_once = replace(told_late, known_at_s=told_late.starts_at_s)
    assert learn_influences(history, onsets, [told_at_once], needs={}).ratio["known_bug"].mean > 5


def test_a_failure_at_the_moment_it_became_known_was_not_announced() -> None:
    history, onsets = failing(np.zeros((1, SAMPLES)))
    value = history.value.copy()
    value[0, 0, 5_000] = 1.0
    history = replace(history, value=value)
    onsets = find_onsets(history, RULE)
    at_once = event(begins=5_000, ends=6_000)
    ratio = learn_influences(history, onsets, [at_once], needs={}).ratio["known_bug"]
    assert ratio.shape == DECLARED_RATIO["known_bug"].shape
    before = event(begins=4_999, ends=6_000)
    ratio = learn_influences(history, onsets, [before], needs={}).ratio["known_bug"]
    assert ratio.shape == DECLARED_RATIO["known_bug"].shape + 1.0


def test_a_dependency_is_blamed_for_the_classes_that_need_it_alone() -> None:
    rates = np.full((6, SAMPLES), 0.0005)
    rates[:, 5_000:10_000] *= 30.0
    sick = event(
        EventKind.DEPENDENCY,
        begins=5_000,
        ends=10_000,
        dependency="payments",
        level=DependencyLevel.PARTIAL_OUTAGE,
    )
    kind = influence_of(sick)
    checkout, of_checkout = failing(rates, gauge=1)
    learned = learn_influences(checkout, of_checkout, [sick], needs=NEEDS)
    per_sample = 60.0 * learned.class_onset_per_s * learned.ratio[kind].mean
    assert per_sample == pytest.approx(30.0 * 0.0005, rel=0.15)
    search, of_search = failing(rates, gauge=2)
    assert learn_influences(search, of_search, [sick], needs=NEEDS).ratio[kind].mean < 5.0


def test_censored_failures_are_not_counted() -> None:
    history, onsets, bug = under_a_bug(12.0)
    hidden = replace(onsets, censored=np.ones_like(onsets.censored))
    learned = learn_influences(history, hidden, [bug], needs={})
    assert learned.ratio["known_bug"] == DECLARED_RATIO["known_bug"]


@given(
    st.floats(0.1, 50.0),
    st.floats(0.01, 50.0),
    st.floats(0.0, 100.0),
    st.floats(0.0, 100.0),
)
def test_the_added_hazard_never_falls_with_time(
    shape: float, expected: float, one: float, other: float
) -> None:
    ratio = Ratio(shape=shape, expected=expected)
    short, long = sorted((one, other))
    assert 0.0 <= ratio.added_hazard(short) <= ratio.added_hazard(long) + 1e-12


def test_a_doubtful_ratio_adds_less_than_a_sure_one_of_the_same_mean() -> None:
    doubtful, sure = Ratio(shape=2.0, expected=0.4), Ratio(shape=200.0, expected=40.0)
    assert doubtful.mean == pytest.approx(sure.mean)
    assert doubtful.added_hazard(0.5) < sure.added_hazard(0.5)
    assert sure.added_hazard(0.01) == pytest.approx(4.0 * 0.01, rel=0.01)


def test_influences_survive_being_written_down() -> None:
    history, onsets, bug = under_a_bug(4.0)
    learned = learn_influences(history, onsets, [bug], needs={})
    read = Influences.restore(json.loads(json.dumps(learned.snapshot())))
    assert read.snapshot() == learned.snapshot()


@pytest.mark.parametrize(
    ("snapshot", "because"),
    [
        ({}, "ratio is None, must be a mapping"),
        ({"ratio": {"deploy": 3}}, "ratio of deploy is 3"),
        ({"ratio": {"deploy": [1.0, 0.0]}}, "expected 0.0: must be above 0"),
        ({"ratio": {}, "onset_per_s": "x"}, "onset_per_s is 'x', must be a number"),
    ],
)
def test_a_foreign_snapshot_is_refused(snapshot: dict[str, object], because: str) -> None:
    with pytest.raises(ForecastError, match=because):
        Influences.restore(snapshot)  # type: ignore[arg-type]


def _interval(ratio: Ratio) -> tuple[float, float]:
    """The middle 98 %."""
    draws = np.random.default_rng(0).gamma(ratio.shape, 1.0 / ratio.expected, 20_000)
    return float(np.quantile(draws, 0.01)), float(np.quantile(draws, 0.99))
