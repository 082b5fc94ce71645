"""`foreshard averted` as a process, on a store and a history as an engine leaves them."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foreshard.adapters.store.schema import FILE_NAME
from foreshard.adapters.store.sqlite import SqliteStore
from foreshard.app.places import state_dir
from foreshard.config import Settings
from foreshard.forecast.history import History
from foreshard.model.plan import Decision, Hold, Intent, Plan
from tests.app.past_on_disk import keep, settings_in
from tests.architecture.source import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

STEP_S, PER_DAY, CELLS = 300.0, 288, 8
BEGINS_S = 1_000_200.0


@dataclass
class Lived:
    """Two months of a fleet that is doubted every eight hours, and what acting averted in it."""

    history: History
    intents: list[tuple[float, Intent]]
    averted: int = 0


def live(*, days: int, propensity: float, fails_anyway: float = 0.0, seed: int = 4) -> Lived:
    """Of the doubted, 3 of 5 fail half an hour later if their work is left on them.

    Args:
        days: How long.
        propensity: Of each intent.
        fails_anyway: Part of those that fail although their work is off.
        seed: Of all chance.
    """
    draw = np.random.default_rng(seed)
    samples = days * PER_DAY
    value = draw.uniform(0.3, 0.6, size=(CELLS, 1, samples)).astype(np.float32)
    load = np.full((CELLS, samples), 0.5, dtype=np.float32)
    found = Lived(
        history=History.of_gauges(
            value,
            cells=tuple(f"cell-{c}" for c in range(CELLS)),
            gauges=("pool",),
            step_s=STEP_S,
            begins_s=BEGINS_S,
        ),
        intents=[],
    )
    for at in range(100, samples - 30, 96):
        cell = int(draw.integers(CELLS))
        would_fail, acted = bool(draw.random() < 0.6), bool(draw.random() < propensity)
        if acted:
            load[cell, at + 1 : at + 14] = 0.1
        if would_fail and (not acted or draw.random() < fails_anyway):
            value[cell, 0, at + 6 : at + 10] = 1.05
        found.averted += would_fail and acted
        intent = Intent(
            cell=f"cell-{cell}", request_class="", p=0.7, propensity=propensity, acted=acted
        )
        found.intents.append((BEGINS_S + at * STEP_S - 20.0, intent))
    found.history = replace(found.history, load=load)
    return found


def kept(settings: Settings, lived: Lived) -> None:
    keep(lived.history, settings)
    with SqliteStore(state_dir(settings)) as store:
        for now_s, intent in lived.intents:
            for later_s in (0.0, 5.0):
                decision = Decision(
                    now_s=now_s + later_s,
                    routing=Hold(because=()),
                    plan=Plan(splits={}),
                    intents=(intent,),
                )
                store.record(decision, {})


def asked(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    config = str(settings.data_dir.parent / "foreshard.yaml")
    return subprocess.run(
        [sys.executable, "-m", "foreshard", "averted", "--config", config, *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "TERM": "dumb"},
    )


def told(settings: Settings, *words: str) -> str:
    done = asked(settings, *words)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def figures(settings: Settings) -> Any:  # noqa: ANN401 - JSON
    return json.loads(told(settings, "--json"))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path, thresholds={"holdout_ratio": 0.25})


def test_what_a_holdout_tells_holds_the_truth(settings: Settings) -> None:
    lived = live(days=60, propensity=0.75)
    kept(settings, lived)
    found = figures(settings)
    assert found["asked"] == len(lived.intents)
    acted = sum(intent.acted for _, intent in lived.intents)
    assert found["acted"] == {"times": acted, "failed": 0}
    assert found["withheld"]["times"] == len(lived.intents) - acted
    estimate = found["estimate"]
    assert estimate["basis"] == "holdout"
    assert estimate["low"] < lived.averted < estimate["high"]
    assert 0.0 < estimate["low"] < estimate["high"] < acted
    words = told(settings)
    assert "failures within 1 h" in words
    assert f"failures averted: about {estimate['failures']:.1f} (90 %: " in words
    assert f"of {acted} times it was done" in words
    assert "by what was withheld at random" in words
    assert "holdout_ratio" not in words


def test_without_a_holdout_cells_that_failed_without_their_work_tell(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    lived = live(days=30, propensity=1.0, fails_anyway=0.5)
    kept(settings, lived)
    estimate = figures(settings)["estimate"]
    assert estimate["basis"] == "probes"
    assert 0.0 < estimate["failures"] < lived.averted, "a lower bound"
    words = told(settings)
    assert "failures averted: at least " in words
    assert "thresholds.holdout_ratio: 0.1" in words


def test_before_anything_was_asked_for_it_says_what_to_turn_on(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    kept(settings, replace(live(days=10, propensity=1.0), intents=[]))
    words = told(settings)
    assert "nothing can be told, for forecasts have asked for nothing yet" in words
    assert "thresholds.holdout_ratio: 0.1 (it is 0" in words


def test_where_a_guard_stood_in_the_way_and_nothing_was_withheld_nobody_can_tell(
    tmp_path: Path,
) -> None:
    settings = settings_in(tmp_path)
    lived = live(days=10, propensity=1.0)
    load = np.full_like(lived.history.load, 0.5)
    kept(settings, replace(lived, history=replace(lived.history, load=load)))
    assert "nothing like what was done was withheld at random" in told(settings)
    assert figures(settings)["estimate"] is None


def test_cells_that_less_work_cured_are_not_said_to_have_been_well(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    kept(settings, live(days=10, propensity=1.0))
    words = told(settings)
    assert "nothing can be told" in words
    assert "one that less work cures does not either" in words
    assert "thresholds.holdout_ratio: 0.1" in words


def test_where_little_was_withheld_yet_it_says_to_wait(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, thresholds={"holdout_ratio": 0.1})
    lived = live(days=10, propensity=0.9)
    withheld = [each for each in lived.intents if not each[1].acted]
    kept(settings, replace(lived, intents=withheld[:1]))
    words = told(settings)
    assert "nothing that was done can be judged yet" in words
    assert "10% are withheld (thresholds.holdout_ratio): time will tell" in words


def test_what_is_no_case_is_counted_and_said(settings: Settings) -> None:
    lived = live(days=10, propensity=0.75)
    newest_s = float(lived.history.time_s()[-1])
    intent = lived.intents[0][1]
    lived.intents.append((BEGINS_S - 86_400.0, intent))
    lived.intents.append((newest_s, replace(intent, cell="cell-7")))
    kept(settings, lived)
    assert figures(settings)["left_out"] == {"forgotten": 1, "open": 1}
    words = told(settings)
    assert "1 are older than the metric history (history.keep_s), or of other cells" in words
    assert "1 are not over yet" in words


def test_what_cannot_be_read_is_refused_with_the_way_out(settings: Settings) -> None:
    none = asked(settings)
    assert none.returncode == 1
    assert "has Foreshard run with this directory?" in none.stderr
    with SqliteStore(state_dir(settings)):
        pass
    bare = asked(settings)
    assert bare.returncode == 1
    assert "history" in bare.stderr
    file = state_dir(settings) / FILE_NAME
    with closing(sqlite3.connect(file)) as db:
        db.executescript("DROP TABLE intent; PRAGMA user_version = 1")
    older = asked(settings)
    assert older.returncode == 1
    assert "has schema 1" in older.stderr
    file.write_bytes(b"not a database at all, but long enough to be looked at" * 100)
    damaged = asked(settings)
    assert damaged.returncode == 1
    assert "not a database; move it away" in damaged.stderr
    assert "Traceback" not in none.stderr + bare.stderr + older.stderr + damaged.stderr
