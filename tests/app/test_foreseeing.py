from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from foreshard.adapters.store.parcel import read_parcel
from foreshard.adapters.store.segments import segments_in
from foreshard.adapters.store.shelf import Shelf
from foreshard.app import companions, training
from foreshard.app.advising import FileAdviser, is_model_wanted
from foreshard.app.foreseeing import Seer
from foreshard.app.places import history_dir, models_dir, outlook_file
from foreshard.app.remembering import Record, recorded
from foreshard.config import Settings
from foreshard.forecast.history import History
from foreshard.forecast.outlook import Outlook
from foreshard.model.errors import StoreError
from tests.app.past_on_disk import install_student, keep, settings_in
from tests.forecast.drifting import PER_DAY, STEP_S, drifting

DAYS = 6


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.syspath_prepend(install_student(tmp_path))
    return settings_in(tmp_path)


def whole(*, a_day: float = 0.0) -> History:
    return drifting(DAYS + 2, a_day=a_day, is_quiet=True)


def trained(settings: Settings, history: History) -> str:
    """A champion that has learned from the first days, which lie on the disk."""
    first = history.until(DAYS * PER_DAY)
    keep(first, settings)
    record = recorded(settings, until_s=float(first.time_s()[-1]), refused=lambda _: None)
    made = training.train(
        settings,
        "student",
        record,
        now_s=float(first.time_s()[-1]),
        stage=lambda _: lambda _: None,
    )
    assert made.promoted
    return made.name


def now_of(history: History, t: int) -> float:
    return float(history.time_s()[t])


def heard(settings: Settings) -> Outlook:
    found = FileAdviser(settings).newest()
    assert found is not None
    return found


def test_without_a_champion_nobody_is_missed(settings: Settings) -> None:
    assert not is_model_wanted(settings)
    assert FileAdviser(settings).newest() is None
    assert not Seer(settings).look(now_s=2e6)
    assert not outlook_file(settings).exists()


def test_the_champion_speaks_of_every_step_and_remembers_what_was_before_its_start(
    settings: Settings,
) -> None:
    history = whole()
    name = trained(settings, history)
    with pytest.raises(StoreError, match="has not spoken yet"):
        FileAdviser(settings).newest()
    seer, t = Seer(settings), DAYS * PER_DAY
    assert seer.look(now_s=now_of(history, t))
    assert not seer.look(now_s=now_of(history, t))
    said = heard(settings)
    assert said.name == name
    assert said.made_at_s == now_of(history, t - 1)
    assert said.broken == ""
    assert set(said.seen.tolist()) == {t}
    at_risk = said.any[-1, said.loads.index(1.0)] >= 0.02
    assert set(said.because) == {c for c, is_so in zip(said.cells, at_risk, strict=True) if is_so}
    assert said.because
    assert all("stands at" in words for told in said.because.values() for words in told)
    # One step more, and a restart of the worker, come to the same.
    keep(history.between(t, t + 1), settings)
    assert seer.look(now_s=now_of(history, t))
    went_on = heard(settings)
    assert Seer(settings).look(now_s=now_of(history, t))
    again = heard(settings)
    assert went_on.made_at_s == again.made_at_s == now_of(history, t)
    np.testing.assert_array_equal(went_on.any, again.any)


def test_a_newly_promoted_model_is_taken_over_without_a_restart(settings: Settings) -> None:
    history = whole()
    first = trained(settings, history)
    seer, t = Seer(settings), DAYS * PER_DAY
    seer.look(now_s=now_of(history, t))
    shelf = Shelf(models_dir(settings), "student")
    other = shelf.keep(shelf.read(first), at_s=5e8)
    shelf.promote(other, at_s=5e8)
    assert seer.look(now_s=now_of(history, t))
    assert heard(settings).name == other
    shelf.roll_back(at_s=6e8)
    assert seer.look(now_s=now_of(history, t))
    assert heard(settings).name == first


def test_a_model_file_that_cannot_be_read_is_said_to_the_engine_and_recovers(
    settings: Settings,
) -> None:
    history = whole()
    name = trained(settings, history)
    path = models_dir(settings) / "student" / f"{name}.model"
    content = path.read_bytes()
    path.write_bytes(content[:300])
    seer, t = Seer(settings), DAYS * PER_DAY
    with capture_logs() as logs:
        assert not seer.look(now_s=now_of(history, t))
        assert not seer.look(now_s=now_of(history, t))
    assert [(e["event"], e["log_level"]) for e in logs] == [("outlook.failed", "error")]
    assert "damaged" in heard(settings).broken
    path.write_bytes(content)
    with capture_logs() as logs:
        assert seer.look(now_s=now_of(history, t))
    assert "outlook.recovered" in [each["event"] for each in logs]
    assert heard(settings).broken == ""


def test_a_model_that_breaks_its_word_is_not_believed_and_a_restart_does_not_help_it(
    settings: Settings,
) -> None:
    history = whole()
    trained(settings, history)
    t = DAYS * PER_DAY
    # From now on the hint is where it always announced a failure, and none comes.
    value = history.value.copy()
    value[:, 0, t:] = 0.4
    value[:, 1, t:] = 0.32
    after = replace(history, value=value)
    keep(after.between(t, after.samples), settings)
    seer = Seer(settings)
    with capture_logs():
        seer.look(now_s=now_of(after, after.samples - 1))
    assert "failures" in heard(settings).broken
    notes = read_parcel(outlook_file(settings), "outlook").head["notes"]
    assert notes["kept"]["3600"]["promised"] > 5.0
    assert notes["kept"]["3600"]["came"] == 0.0


def test_a_damaged_segment_costs_its_steps_and_nothing_else(settings: Settings) -> None:
    history = whole()
    trained(settings, history)
    victim = segments_in(history_dir(settings))[2].path
    victim.write_bytes(b"")
    with capture_logs() as logs:
        assert Seer(settings).look(now_s=now_of(history, DAYS * PER_DAY))
    refused = [each for each in logs if each["event"] == "history.refused"]
    assert [victim.name in each["because"] for each in refused] == [True]
    assert set(heard(settings).seen.tolist()) == {(DAYS - 1) * PER_DAY}


@pytest.mark.parametrize("content", [b"", b"PK", b"{}"])
def test_an_outlook_that_is_none_is_refused(settings: Settings, content: bytes) -> None:
    history = whole()
    trained(settings, history)
    outlook_file(settings).write_bytes(content)
    with pytest.raises(StoreError, match="outlook"):
        FileAdviser(settings).newest()


def test_training_is_due_once_there_is_history_enough_and_then_daily(
    settings: Settings,
) -> None:
    history = whole()
    assert not companions.is_refit_due(settings, now_s=1e9)
    keep(history.until(PER_DAY), settings)
    assert not companions.is_refit_due(settings, now_s=1e9)
    keep(history.between(PER_DAY, 4 * PER_DAY), settings)
    assert companions.is_refit_due(settings, now_s=1e9)
    record = Record(history=history.until(4 * PER_DAY), portion="")
    training.train(settings, "student", record, now_s=2e6, stage=lambda _: lambda _: None)
    made_at_s = Shelf(models_dir(settings), "student").newest_at_s()
    assert made_at_s is not None
    assert not companions.is_refit_due(settings, now_s=made_at_s + 3_600.0)
    assert companions.is_refit_due(settings, now_s=made_at_s + 86_400.0)
    never = settings.model_copy(
        update={"training": settings.training.model_copy(update={"every_s": None})}
    )
    assert not companions.is_refit_due(never, now_s=1e9)
    assert settings.history.step_s == STEP_S
