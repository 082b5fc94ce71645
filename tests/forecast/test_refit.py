from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from foreshard.forecast.card import Card, ranges_of
from foreshard.forecast.contest import FEWEST_ONSETS, held_out_from
from foreshard.forecast.learner import RiskModel
from foreshard.forecast.onset import BreachRule, find_onsets
from foreshard.forecast.refit import Flying, Task, complete, fit, judge
from foreshard.forecast.scoring import score_of, stretch_of
from foreshard.model.errors import ForecastError
from tests.forecast.drifting import HORIZONS_S, PER_DAY, RULE, STEP_S, drifting
from tests.forecast.student import Student

TASK = Task(rule=RULE, horizons_s=HORIZONS_S, seed=1, held_out_s=6 * 3_600.0)


def precision_on(model: RiskModel, days: int, day: int) -> float:
    history = drifting(days, a_day=-0.04)
    stretch = stretch_of(history.until((day + 1) * PER_DAY), RULE, HORIZONS_S, first=day * PER_DAY)
    return score_of(model, stretch)[1].average_precision


def test_refits_keep_the_score_where_a_model_fitted_once_decays() -> None:
    days = 12
    history = drifting(days, a_day=-0.04)
    learner = Student(newest=2 * PER_DAY)
    once: RiskModel | None = None
    champion: Flying | None = None
    promoted, decayed, kept = 0, [], []
    for day in range(4, days - 1):
        known = history.until(day * PER_DAY)
        model, first = fit(known, learner, TASK, champion=champion)
        verdict = judge(known, model, TASK, first=first, champion=champion)
        if verdict.promotes:
            promoted += 1
            champion = Flying(
                name=f"day {day}",
                model=complete(known, learner, TASK),
                learned_until_s=float(known.time_s()[-1]),
            )
        assert champion is not None
        once = once or champion.model
        decayed.append(precision_on(once, days, day))
        kept.append(precision_on(champion.model, days, day))
    assert promoted > 3
    # What was learned once says less and less; what is learned anew every day says as much.
    assert np.mean(decayed[-3:]) < 0.5 * decayed[0]
    assert np.mean(kept[-3:]) > 0.8 * kept[0]


def test_a_worse_model_does_not_fly() -> None:
    history = drifting(8, a_day=0.0)
    good, first = fit(history, Student(), TASK)
    champion = Flying(name="good", model=good, learned_until_s=float(history.time_s()[first - 1]))
    # It learned from noise: the gauges of other moments.
    shuffled = replace(history, value=np.roll(history.value, 97, axis=2))
    onsets_of_now = replace(
        history,
        value=np.stack([history.value[:, 0], shuffled.value[:, 1]], axis=1),
    )
    bad = Student().fit(onsets_of_now.until(first), RULE, HORIZONS_S, seed=1)
    verdict = judge(history, bad, TASK, first=first, champion=champion)
    assert not verdict.promotes
    assert "does not fly" in verdict.because
    assert judge(history, good, TASK, first=first).promotes


def test_with_hardly_a_failure_to_judge_by_nothing_changes() -> None:
    history = drifting(8, a_day=0.0, cells=1)
    onsets = find_onsets(history, RULE)
    late = int(onsets.begin[-2])
    model, _ = fit(history, Student(), TASK)
    verdict = judge(history, model, TASK, first=late - 1)
    assert not verdict.promotes
    assert f"{FEWEST_ONSETS} are needed" in verdict.because


def test_the_held_out_stretch_grows_until_it_can_judge_but_not_into_what_was_learned() -> None:
    history = drifting(10, a_day=0.0, cells=1)
    begins = np.sort(find_onsets(history, RULE).begin)
    first = held_out_from(history, RULE, wanted_s=3600.0)
    assert np.sum(begins > first) == FEWEST_ONSETS
    assert first >= history.samples // 2
    learned = history.begins_s + STEP_S * (first + 100)
    assert held_out_from(history, RULE, wanted_s=3600.0, learned_until_s=learned) == first + 101
    calm = BreachRule(sustain=500)
    assert held_out_from(history, calm, wanted_s=3600.0) == history.samples // 2


def test_the_same_record_and_seed_give_the_same_model() -> None:
    history = drifting(6)
    one, _ = fit(history, Student(), TASK)
    other, _ = fit(history, Student(), TASK)
    np.testing.assert_array_equal(one.snapshot().arrays["p"], other.snapshot().arrays["p"])


def test_a_record_without_a_failure_is_refused_in_words() -> None:
    history = drifting(4)
    with pytest.raises(ForecastError, match="no failure"):
        fit(replace(history, value=history.value * np.float32(0.5)), Student(), TASK)


def test_scores_are_what_they_say() -> None:
    history = drifting(8, a_day=0.0)
    model, first = fit(history, Student(), TASK)
    short, long = score_of(model, stretch_of(history, RULE, HORIZONS_S, first=first))
    assert 0.0 < short.prevalence < long.prevalence < 0.5
    assert long.average_precision > 0.8
    assert long.brier_skill > 0.5
    assert long.log_loss < 0.2
    assert json.dumps(long.values(), allow_nan=False)


def test_samples_count_in_scores_as_they_do_in_training() -> None:
    history = drifting(8, a_day=0.0)
    model, first = fit(history, Student(), TASK)
    weight = np.ones(history.censored.shape, dtype=np.float32)
    weight[3] = 2.0
    weight[5] = 0.0
    found = score_of(
        model, stretch_of(replace(history, weight=weight), RULE, HORIZONS_S, first=first)
    )
    rows = [0, 1, 2, 3, 3, 4, 6, 7]
    twice = replace(
        history,
        cells=tuple(f"row-{i}" for i in range(len(rows))),
        value=history.value[rows],
        counts=history.counts[rows],
        load=history.load[rows],
        sibling=history.sibling[rows],
        censored=history.censored[rows],
        up_s=history.up_s[rows],
    )
    wanted = score_of(model, stretch_of(twice, RULE, HORIZONS_S, first=first))
    for one, other in zip(found, wanted, strict=True):
        assert one.samples < other.samples
        for what in ("prevalence", "log_loss", "average_precision", "brier_skill"):
            assert getattr(one, what) == pytest.approx(getattr(other, what), rel=1e-5), what


def test_a_card_comes_back_from_its_values() -> None:
    history = drifting(3)
    card = Card(
        learner="student",
        trained_at_s=5.0,
        begins_s=1.0,
        learned_until_s=2.0,
        ends_s=3.0,
        step_s=STEP_S,
        cells=8,
        gauges=history.gauges,
        onsets=4,
        rule=RULE,
        horizons_s=HORIZONS_S,
        seed=1,
        versions={"foreshard": "1"},
        ranges=ranges_of(history),
        scores={"student": {"900": {"log_loss": 0.1, "average_precision": None}}},
    )
    values = json.loads(json.dumps(card.values(), allow_nan=False))
    assert Card.of(values) == card
    low, high = card.ranges["pool"]
    assert 0.2 < low < 0.4
    assert 1.0 < high < 1.1
    for wrong in ({}, {**values, "step_s": "a minute"}, {**values, "ranges": {"pool": [1.0]}}):
        with pytest.raises(ForecastError, match="model card"):
            Card.of(wrong)
