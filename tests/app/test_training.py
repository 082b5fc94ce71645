from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from structlog.testing import capture_logs

from foreshard.adapters.store.schema import FILE_NAME
from foreshard.adapters.store.segments import segments_in
from foreshard.adapters.store.shelf import Shelf
from foreshard.adapters.store.sqlite import SqliteStore
from foreshard.app import choosing, training
from foreshard.app.places import history_dir, models_dir, state_dir
from foreshard.app.remembering import Record, portion_of, recorded
from foreshard.app.shelving import flying, unpacked
from foreshard.config import Settings
from foreshard.model.errors import ConfigError, ForecastError, StoreError
from foreshard.model.plan import Decision, Hold, Intent, Plan
from tests.app.past_on_disk import install_student, keep, settings_in
from tests.forecast.drifting import PER_DAY, drifting
from tests.forecast.student import Student

NOW_S = 2_000_000.0


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.syspath_prepend(install_student(tmp_path))
    return settings_in(tmp_path)


def silent(text: str) -> Callable[[float], None]:
    return lambda _: None


def refused(text: str) -> None:
    raise AssertionError(text)


def record_of(settings: Settings, days: int = 6) -> Record:
    keep(drifting(days, a_day=0.0, is_quiet=True), settings)
    return recorded(settings, until_s=NOW_S, refused=refused)


def test_what_was_kept_comes_back_as_it_was(settings: Settings) -> None:
    history = drifting(4)
    keep(history, settings)
    found = recorded(settings, until_s=NOW_S, refused=refused)
    assert found.portion == ""
    assert found.history.cells == history.cells
    assert found.history.begins_s == history.begins_s
    np.testing.assert_array_equal(found.history.value, history.value)
    assert set(found.history.sibling.tolist()) == {0}
    half = recorded(settings, until_s=float(history.time_s()[600]), refused=refused)
    np.testing.assert_array_equal(half.history.value, history.value[:, :, :601])


def test_what_led_up_to_an_intervention_proves_nothing(settings: Settings) -> None:
    history = drifting(3)
    history.censored[2, 300:310] = True
    keep(history, settings)
    found = recorded(settings, until_s=NOW_S, refused=refused).history.censored
    # The longest horizon is an hour: twelve steps.
    assert np.flatnonzero(found[2]).tolist() == list(range(288, 310))
    assert not found[:2].any()


def test_a_cell_that_lost_work_proves_nothing_whoever_took_it(settings: Settings) -> None:
    history = drifting(3)
    load = history.load.copy()
    load[:] = 0.5
    load[2, 300:310] = 0.2
    keep(replace(history, load=load), settings)
    found = recorded(settings, until_s=NOW_S, refused=refused).history.censored
    assert np.flatnonzero(found[2]).tolist() == list(range(288, 310))
    assert not found[:2].any()


def keep_intents(settings: Settings, *spans: tuple[str, float, bool]) -> None:
    """What a forecast asked for, for ten minutes each, by cell, moment and whether it was done."""
    with SqliteStore(state_dir(settings)) as store:
        for cell, first_s, acted in spans:
            for now_s in (first_s, first_s + 600.0):
                intent = Intent(cell=cell, request_class="", p=0.6, propensity=0.75, acted=acted)
                hold = Hold(because=())
                store.record(
                    Decision(now_s=now_s, routing=hold, plan=Plan(splits={}), intents=(intent,)),
                    {},
                )


def test_what_was_withheld_at_random_weighs_for_what_was_done(settings: Settings) -> None:
    history = drifting(3)
    load = np.full(history.load.shape, 0.5, dtype=np.float32)
    load[2, 300:310] = 0.2
    keep(replace(history, load=load), settings)
    bare = recorded(settings, until_s=NOW_S, refused=refused).history
    assert bare.weight is not None
    calm = bare.weight[[0, 1, 3, 4, 5, 6, 7]]
    assert set(calm.ravel().tolist()) == {1.0}
    at_s = history.time_s()
    keep_intents(settings, ("cell-5", at_s[500] - 10.0, False), ("cell-6", at_s[500], True))
    found = recorded(settings, until_s=NOW_S, refused=refused).history
    assert found.weight is not None
    np.testing.assert_array_equal(found.weight[2], bare.weight[2])
    # Two of three samples under the coin and the hour before them; one in four is left alone.
    assert np.flatnonzero(found.weight[5] == 4.0).tolist() == list(range(488, 503))
    assert set(found.weight[5].tolist()) == {1.0, 4.0}
    assert np.flatnonzero(found.censored[6]).tolist() == list(range(488, 503))
    part = found.between(490, 700).until(20)
    assert part.weight is not None
    np.testing.assert_array_equal(part.weight, found.weight[:, 490:510])


def test_where_nobody_acted_nothing_is_weighed(settings: Settings) -> None:
    history = drifting(3)
    keep(history, settings)
    with SqliteStore(state_dir(settings)):
        pass
    assert recorded(settings, until_s=NOW_S, refused=refused).history.weight is None


def test_a_store_that_cannot_be_read_is_said_and_training_goes_on(settings: Settings) -> None:
    keep(drifting(3), settings)
    state_dir(settings).mkdir(parents=True)
    (state_dir(settings) / FILE_NAME).write_bytes(b"no database, and long enough to look at" * 99)
    said: list[str] = []
    record = recorded(settings, until_s=NOW_S, refused=said.append)
    assert record.history.samples > 500
    (because,) = said
    assert "not a database" in because
    assert "is not weighed" in because


def test_a_first_model_that_beats_what_needs_no_training_flies(settings: Settings) -> None:
    record = record_of(settings)
    made = training.train(settings, "student", record, now_s=NOW_S, stage=silent)
    assert made.promoted, made.card.because
    assert "it flies" in made.card.because
    found = flying(models_dir(settings), "student")
    assert found is not None
    champion, card = found
    assert champion.name == made.name
    assert card.onsets > 20
    assert card.learned_until_s == card.ends_s
    assert set(card.scores) == {"new student", "trend", "headroom"}
    assert {"foreshard", "python", "numpy"} <= set(card.versions)
    assert not list((models_dir(settings) / "student").glob("*part*"))
    (listed,) = choosing.listed(settings)
    assert (listed.name, listed.state) == (made.name, "flies")


def test_the_same_record_and_seed_give_the_same_model_again_and_it_does_not_fly(
    settings: Settings,
) -> None:
    record = record_of(settings)
    one = training.train(settings, "student", record, now_s=NOW_S, stage=silent)
    other = training.train(settings, "student", record, now_s=NOW_S + 60.0, stage=silent)
    assert one.promoted
    # It could only be judged by what its elder has learned from, and that is nothing new.
    assert not other.promoted
    shelf = Shelf(models_dir(settings), "student")
    assert shelf.note().champion == one.name
    fitted = Student().fit(record.history, one.card.rule, one.card.horizons_s, seed=1)
    model, _ = unpacked(shelf.read(one.name))
    np.testing.assert_array_equal(model.snapshot().arrays["p"], fitted.snapshot().arrays["p"])


def test_a_run_that_was_cut_off_goes_on_where_it_was(settings: Settings) -> None:
    record = record_of(settings)
    fits: list[int] = []
    fit = Student.fit

    def counted(self: Student, *args: object, **kwargs: object) -> object:
        fits.append(1)
        return fit(self, *args, **kwargs)  # type: ignore[arg-type]

    with patch.object(Student, "fit", counted):
        with (
            patch.object(training, "judge", side_effect=KeyboardInterrupt),
            pytest.raises(KeyboardInterrupt),
        ):
            training.train(
                settings, "student", record, now_s=NOW_S, stage=silent, until_s=NOW_S - 5.0
            )
        assert len(fits) == 1
        assert training.begun_at_s(settings, "student", now_s=NOW_S + 60.0) == NOW_S - 5.0
        assert training.begun_at_s(settings, "student", now_s=NOW_S + 1e6) == NOW_S + 1e6
        with capture_logs() as logs:
            made = training.train(settings, "student", record, now_s=NOW_S, stage=silent)
    # The one for the contest was there; only the one that flies had still to be made.
    assert len(fits) == 2
    assert [each["part"] for each in logs if each["event"] == "training.resumed"] == ["contest"]
    assert made.promoted, made.card.because


def test_what_was_left_of_another_record_is_not_taken(settings: Settings) -> None:
    record = record_of(settings)
    with (
        patch.object(training, "judge", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        training.train(settings, "student", record, now_s=NOW_S, stage=silent)
    shorter = Record(history=record.history.until(5 * PER_DAY), portion="")
    with capture_logs() as logs:
        training.train(settings, "student", shorter, now_s=NOW_S, stage=silent)
    assert "training.resumed" not in [each["event"] for each in logs]


def test_a_damaged_champion_is_said_and_a_new_model_may_follow(settings: Settings) -> None:
    record = record_of(settings)
    made = training.train(settings, "student", record, now_s=NOW_S, stage=silent)
    path = models_dir(settings) / "student" / f"{made.name}.model"
    path.write_bytes(path.read_bytes()[:200])
    with capture_logs() as logs:
        again = training.train(settings, "student", record, now_s=NOW_S + 5.0, stage=silent)
    assert "training.champion_refused" in [each["event"] for each in logs]
    assert again.promoted
    states = {each.name: each.refused for each in choosing.listed(settings)}
    assert "damaged" in states[made.name]
    with pytest.raises(StoreError, match="damaged"):
        choosing.promote(settings, made.name)
    with pytest.raises(StoreError, match="there is no 'nobody'"):
        choosing.card_of(settings, "nobody")


def test_without_a_past_or_a_failure_it_is_said_what_is_missing(settings: Settings) -> None:
    with pytest.raises(StoreError, match="nothing to learn from yet"):
        recorded(settings, until_s=NOW_S, refused=refused)
    record = record_of(settings, days=3)
    calm = Record(history=record.history.until(10), portion="")
    with pytest.raises(ForecastError, match="no failure"):
        training.train(settings, "student", calm, now_s=NOW_S, stage=silent)
    with pytest.raises(ConfigError, match="not registered"):
        training.train(settings, "nobody", record, now_s=NOW_S, stage=silent)


def test_a_damaged_segment_is_skipped_loudly(settings: Settings) -> None:
    keep(drifting(4), settings)
    victim = segments_in(history_dir(settings))[1].path
    victim.write_bytes(victim.read_bytes()[:500])
    said: list[str] = []
    found = recorded(settings, until_s=NOW_S, refused=said.append)
    assert len(said) == 1
    assert victim.name in said[0]
    heard = ~np.isnan(found.history.value[0, 0])
    assert heard.tolist() == [t // PER_DAY != 1 for t in range(4 * PER_DAY)]


def test_a_record_too_large_for_the_memory_is_cut_and_says_so(tmp_path: Path) -> None:
    day = 86_400.0
    settings = settings_in(tmp_path, training={"memory_mb": 1_000.0}, history={"step_s": 60.0})

    def portion(cells: int, days: float) -> tuple[float, int, str]:
        found = portion_of(0.0, days * day, cells=cells, gauges=12, settings=settings)
        return found.begins_s / day, found.cells, found.because

    assert portion(50, 30.0) == (0.0, 50, "")
    begins, cells, because = portion(200, 30.0)
    assert 14.0 < begins < 22.0
    assert cells == 200
    assert "of 30.0 days" in because
    begins, cells, because = portion(10_000, 30.0)
    assert begins == 23.0
    assert 300 < cells < 400
    assert f"{cells} of 10000 cells" in because
    with pytest.raises(ForecastError, match="allow more"):
        portion_of(0.0, 30.0 * day, cells=9, gauges=20_000, settings=settings)


def test_cells_that_are_left_out_are_drawn_by_the_seed(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    keep(drifting(3), settings)
    with patch("foreshard.app.remembering.BYTES_PER_BYTE", 256e6 / (3 * PER_DAY * 17 * 3.5)):
        small = training.altered(settings, memory_mb=256.0)
        one = recorded(small, until_s=1_000_200.0 + 3 * 86_400.0, refused=refused)
        other = recorded(small, until_s=1_000_200.0 + 3 * 86_400.0, refused=refused)
        third = recorded(
            training.altered(small, seed=2),
            until_s=1_000_200.0 + 3 * 86_400.0,
            refused=refused,
        )
    assert len(one.history.cells) == 3
    assert one.history.cells == other.history.cells
    assert one.history.cells != third.history.cells
    assert "3 of 8 cells" in one.portion
    assert json.dumps(one.portion)


def test_training_takes_no_more_than_the_limit_on_its_process_leaves(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    assert training.within_limits(settings, left=None) is settings
    assert training.within_limits(settings, left=9_000.0) is settings
    less = training.within_limits(settings, left=1_000.0)
    assert less.training.memory_mb == pytest.approx(300.0)
    with pytest.raises(ForecastError, match="leaves 600 MB"):
        training.within_limits(settings, left=600.0)
