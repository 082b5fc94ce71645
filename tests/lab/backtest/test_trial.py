"""A whole backtest over a made-up shop: walk, scores, and what is made of them."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from foreshard.forecast.baseline import HeadroomLearner
from foreshard.forecast.history import History
from foreshard.forecast.learner import Progress, Risk, Snapshot, ignore_progress
from foreshard.forecast.onset import BreachRule, find_onsets, labels
from foreshard.lab.backtest.chance import RANDOM
from foreshard.lab.backtest.document import document_of, scoring_of
from foreshard.lab.backtest.episode import Kind, choose_episodes
from foreshard.lab.backtest.page import page_of
from foreshard.lab.backtest.record import lay
from foreshard.lab.backtest.telling import rows_of, sentences
from foreshard.lab.backtest.trial import put_on_trial
from foreshard.lab.backtest.walk import Stage, stages, walk
from foreshard.model.errors import ForecastError, LabError
from tests.lab.backtest.sample import OUTLINE, ignore, outcome, record, samples

PER_DAY = 288


class Oracle:
    """Knows the whole history, which no learner may: the best that any figure can be."""

    name = "oracle"

    def __init__(self, whole: History, *, fails_before: int = 0) -> None:
        self._whole, self._fails_before = whole, fails_before
        self.fitted: list[int] = []
        self.horizons_s: tuple[float, ...] = ()

    def fit(
        self,
        history: History,
        rule: BreachRule,
        horizons_s: tuple[float, ...],
        *,
        seed: int,
        progress: Progress = ignore_progress,
    ) -> Oracle:
        self.fitted.append(history.samples)
        self.horizons_s = horizons_s
        if history.samples < self._fails_before:
            raise ForecastError("oracle: too young")
        return self

    def risk(
        self, history: History, at: NDArray[np.int64], *, loads: tuple[float, ...] = (1.0,)
    ) -> Risk:
        onsets = find_onsets(self._whole, OUTLINE.rule)
        y = [labels(onsets, self._whole.steps(h))[0][:, at] for h in self.horizons_s]
        p = np.array(y, dtype=np.float32)[:, None]
        return Risk(any=p, by_gauge=p[:, :, :, None])

    def snapshot(self) -> Snapshot:
        return Snapshot(kind="oracle", settings={})


def test_models_are_fitted_each_day_on_what_was_past_by_then() -> None:
    laid = record()
    oracle = Oracle(laid.history)
    walked = walk(laid, oracle, OUTLINE, tell=ignore)
    start = int(laid.starts.min())
    assert oracle.fitted == [stage.begin for stage in walked.stages]
    assert start in oracle.fitted
    assert set(np.diff(oracle.fitted)) == {PER_DAY}
    assert walked.origin == start - 2 * PER_DAY
    assert walked.stages[-1].end == laid.history.samples


def test_a_model_that_is_fitted_once_sees_of_each_cell_what_was_before_its_own_part() -> None:
    seen: list[NDArray[np.float32]] = []

    outline = replace(OUTLINE, refit_s=None)
    laid = record(outline)

    class Watching(Oracle):
        def fit(self, history: History, *rest: Any, **more: Any) -> Oracle:  # noqa: ANN401
            seen.append(history.value)
            return super().fit(history, *rest, **more)

    starts = laid.starts + np.array([0, 7, 3])
    walk(replace(laid, starts=starts), Watching(laid.history), outline, tell=ignore)
    last = seen[-1]
    assert len(seen) == 2
    for c, start in enumerate(starts.tolist()):
        assert np.isfinite(last[c, :, :start]).all()
        assert np.isnan(last[c, :, start:]).all()


def test_without_past_days_the_walk_begins_with_the_scored_part() -> None:
    laid = record()
    assert stages(laid, replace(OUTLINE, calibration_s=0.0))[0].begin == laid.starts.min()
    assert stages(laid, replace(OUTLINE, calibration_s=0.0, refit_s=None)) == (
        Stage(begin=int(laid.starts.min()), end=laid.history.samples),
    )


def test_a_stage_that_cannot_be_fitted_is_a_gap_and_is_told() -> None:
    laid = record()
    oracle = Oracle(laid.history, fails_before=int(laid.starts.min()) + 1)
    came = put_on_trial(laid, OUTLINE, [oracle], tell=ignore)
    walked = came.walks[0]
    assert {because for _, because in walked.gaps} == {"oracle: too young"}
    first = walked.stages[2]
    assert np.isnan(walked.p[:, :, : first.end - walked.origin]).all()
    assert came.scores[0][0].unsaid_ratio > 0.1
    assert any("could not be fitted" in each for each in sentences(came))


def test_a_model_that_fits_nowhere_is_refused() -> None:
    laid = record()
    with pytest.raises(LabError, match="oracle cannot be fitted: oracle: too young"):
        walk(laid, Oracle(laid.history, fails_before=10**6), OUTLINE, tell=ignore)


def test_who_knows_all_has_every_figure_at_its_best() -> None:
    laid = record()
    came = put_on_trial(laid, OUTLINE, [Oracle(laid.history)], tell=ignore)
    for score in came.scores[0]:
        assert score.pr_auc == pytest.approx(1.0)
        assert score.roc_auc == pytest.approx(1.0)
        assert score.brier_skill == pytest.approx(1.0)
        assert score.ece == pytest.approx(0.0)
        assert score.ahead is not None
        for operation in (*score.hindsight.values(), *score.ahead.values()):
            assert operation.recall == 1.0
            assert operation.false_per_day == 0.0
            assert operation.lead_s == score.horizon_s


def test_who_knows_nothing_has_the_prevalence() -> None:
    for score in outcome().scores[-1]:
        assert score.model == RANDOM
        low, _ = score.pr_auc_interval
        assert low <= score.prevalence * 1.3
        assert score.pr_auc < 2.5 * score.prevalence
        assert 0.35 < score.roc_auc < 0.65


def test_a_leak_is_seen_by_its_level() -> None:
    headroom = outcome().scores[0][1]
    assert headroom.pr_auc > 0.8
    assert headroom.ahead is not None
    past = headroom.ahead[1.0]
    assert past.recall > 0.8
    assert past.false_per_day < 2.0
    assert headroom.unsaid_ratio == 0.0


def test_a_threshold_of_past_days_is_of_past_days_alone() -> None:
    """What happens in the last day moves no threshold that held on it, nor any before."""
    laid = record()
    p = laid.history.value.copy()
    p[:, :, -PER_DAY:] = 0.2
    changed = replace(laid, history=replace(laid.history, value=p))
    one, other = (
        put_on_trial(each, OUTLINE, [HeadroomLearner()], tell=ignore) for each in (laid, changed)
    )
    begin = one.walks[0].stages[-1].begin
    assert laid.history.samples - begin <= PER_DAY
    for h in range(2):
        was, now = one.scores[0][h].ahead, other.scores[0][h].ahead
        assert was is not None
        assert now is not None
        for budget in OUTLINE.budgets:
            assert np.array_equal(was[budget].threshold, now[budget].threshold)


def test_a_part_without_any_failure_is_refused_in_words() -> None:
    table = samples()
    calm = replace(table, columns={**table.columns, "memory": 0.5 * table.columns["memory"]})
    reading = replace(OUTLINE.reading, gauges=OUTLINE.reading.gauges[:1])
    outline = replace(OUTLINE, reading=reading)
    with pytest.raises(LabError, match="none of memory stays at its limit for 2 samples"):
        put_on_trial(lay(calm, outline), outline, [HeadroomLearner()], tell=ignore)


def test_progress_is_told_from_nothing_to_all() -> None:
    told: list[float] = []
    laid = record()
    put_on_trial(laid, OUTLINE, [HeadroomLearner()], tell=lambda _, done: told.append(done))
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_the_document_is_plain_json_and_says_what_the_table_says() -> None:
    came = outcome()
    values = json.loads(json.dumps(document_of(came, version="1"), allow_nan=False))
    assert list(values["models"]) == ["headroom", "predict-linear", RANDOM]
    horizon = values["models"]["headroom"]["horizons"][1]
    assert horizon["pr_auc"] == came.scores[0][1].pr_auc
    assert horizon["past_days"][0]["thresholds"][0]["from_s"] == pytest.approx(
        came.record.history.time_s()[came.record.starts.min()]
    )
    scored = sum(each["onsets_scored"] for each in values["entities"])
    assert scored == came.scored_onsets == horizon["hindsight"][0]["onsets"]
    assert values["entities"][0]["limits"]["memory"] == 1.0
    assert set(scoring_of(came)["headroom"]) == {"900", "3600"}


def test_sentences_are_those_an_engineer_can_use() -> None:
    said = sentences(outcome())
    ahead = outcome().scores[0][1].ahead
    assert ahead is not None
    first = next(iter(ahead.values()))
    assert f"{first.announced} of {first.onsets} exhaustions announced, median" in said[0]
    assert "false alarms per cell and day" in said[0]
    assert not any("nan" in each for each in said)


def test_what_cannot_be_told_from_chance_is_said_so() -> None:
    said = sentences(outcome(), outcome().scores[-1])
    assert any("not told from chance" in each for each in said)


def test_every_row_of_the_table_is_whole() -> None:
    rows = rows_of(outcome(), 1)
    assert [row[0] for row in rows] == ["headroom", "predict-linear", RANDOM]
    assert all(len(row) == 8 for row in rows)


def test_the_best_and_the_worst_are_what_they_are_called() -> None:
    came = outcome()
    episodes = choose_episodes(came)
    assert {each.kind for each in episodes} >= {Kind.ANNOUNCED}
    begins = set(zip(came.onsets.cell.tolist(), came.onsets.begin.tolist(), strict=True))
    for each in episodes:
        assert each.first < each.end
        if each.kind is Kind.FALSE:
            assert each.onset is None
        else:
            assert (each.cell, each.onset) in begins
        if each.kind is Kind.ANNOUNCED:
            assert each.alarm is not None
            assert each.onset is not None
            assert 0 < each.onset - each.alarm <= 12


def test_the_page_needs_no_other_file_and_runs_nothing() -> None:
    page = page_of(outcome(), command="foreshard backtest", version="1")
    for word in ("<script", "http://", "https://", "url(", "@import", "nan"):
        assert word not in page, word
    assert page.count("<section") >= 10
    assert "What to take home" in page


def test_names_that_are_markup_stay_text() -> None:
    came = outcome()
    evil = replace(came.record.history, cells=("<b>x</b>", "cell-1", "cell-2"))
    page = page_of(
        replace(came, record=replace(came.record, history=evil)), command="<i>", version="1"
    )
    assert "<b>x</b>" not in page
    assert "&lt;b&gt;x" in page


def test_a_model_that_is_fitted_once_is_judged_alike() -> None:
    came = outcome(None)
    assert len(came.walks[0].stages) == 2
    assert not math.isnan(came.scores[0][1].pr_auc)
