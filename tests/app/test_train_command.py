"""`foreshard train` and `foreshard models` as processes, which is how they are meant to run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from foreshard.config import Settings
from tests.app.past_on_disk import install_student, keep, settings_in
from tests.architecture.source import ROOT
from tests.forecast.drifting import drifting

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

EXAMPLES = ROOT / "examples" / "backtest"
TRAIN = """
import numpy as np
from pathlib import Path
from foreshard.app import training
from foreshard.app.remembering import recorded
from foreshard.config import load
from tests.forecast.student import Student

fit = Student.fit
def greedy(self, *args, **kwargs):
    np.ones(3 * 10**8)
    return fit(self, *args, **kwargs)
Student.fit = greedy
settings = training.altered(load(Path(CONFIG)), memory_mb=256.0)
training.bound_memory(settings.training.memory_mb)
record = recorded(settings, until_s=2e6, refused=print)
training.train(settings, "student", record, now_s=2e6, stage=lambda text: lambda done: None)
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    install_student(tmp_path)
    return settings_in(tmp_path)


def python(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    site = settings.data_dir.parent / "site"
    path = os.pathsep.join([str(site), str(ROOT), str(ROOT / "src")])
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200", "TERM": "dumb"},
    )


def foreshard(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    config = str(settings.data_dir.parent / "foreshard.yaml")
    return python(settings, "-m", "foreshard", *words, "--config", config)


def test_a_model_is_made_shown_promoted_and_rolled_back(settings: Settings) -> None:
    keep(drifting(6, a_day=0.0, is_quiet=True), settings)
    empty = foreshard(settings, "models", "list")
    assert "no model was trained yet" in empty.stdout
    made = foreshard(settings, "train", "--seed", "3")
    assert made.returncode == 0, made.stderr
    assert "it flies" in made.stdout
    assert "learning from" in made.stderr
    first = made.stdout.partition(":")[0]
    shown = json.loads(foreshard(settings, "models", "show", first, "--json").stdout)
    assert shown["seed"] == 3
    assert shown["onsets"] > 20
    words = foreshard(settings, "models", "show", first).stdout
    assert "learned from 8 cells" in words
    assert "log_loss" in words
    again = foreshard(settings, "train", "--fresh", "--nice", "1", "--quiet")
    assert again.returncode == 0, again.stderr
    assert "nothing changes" in again.stdout
    second = again.stdout.partition(":")[0]
    assert "flies" in foreshard(settings, "models", "promote", second).stdout
    listed = foreshard(settings, "models", "list").stdout
    assert [line.split()[3] for line in listed.splitlines() if "student-" in line] == [
        "flew",
        "flies",
    ]
    assert f"{first} flies again" in foreshard(settings, "models", "rollback").stdout
    refused = foreshard(settings, "models", "rollback")
    assert refused.returncode == 1
    assert "none flew before" in refused.stderr


def test_data_of_others_is_learned_from_by_the_spec_of_a_backtest(settings: Settings) -> None:
    spec, data = str(EXAMPLES / "sample.yaml"), str(EXAMPLES / "sample.parquet")
    made = foreshard(
        settings, "train", "--model", "seasonal-naive", "--spec", spec, "--data", data
    )
    assert made.returncode == 0, made.stderr
    name = made.stdout.partition(":")[0]
    card = json.loads(foreshard(settings, "models", "show", name, "--json").stdout)
    assert "disk" in card["gauges"]
    assert card["rule"]["sustain"] == 2
    without = foreshard(settings, "train", "--data", data)
    assert without.returncode == 1
    assert "need --spec" in without.stderr
    both = foreshard(settings, "train", "--spec", spec)
    assert both.returncode == 1
    assert "give --data FILE or --prometheus URL" in both.stderr


def test_who_can_make_no_model_says_why_and_fails(settings: Settings) -> None:
    nothing = foreshard(settings, "train")
    assert nothing.returncode == 1
    assert "nothing to learn from yet" in nothing.stderr
    keep(drifting(4), settings)
    unknown = foreshard(settings, "train", "--model", "studnet")
    assert unknown.returncode == 1
    assert "did you mean student?" in unknown.stderr


def test_a_training_that_outgrows_its_memory_is_ended_in_words(settings: Settings) -> None:
    keep(drifting(4), settings)
    config = repr(str(settings.data_dir.parent / "foreshard.yaml"))
    done = python(settings, "-c", f"CONFIG = {config}\n{TRAIN}")
    assert done.returncode == 1
    assert "ForecastError: student: needs more than 256 MB" in done.stderr
