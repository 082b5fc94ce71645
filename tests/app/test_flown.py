"""The shipped loop with a trained model in its own process, as the lab flies it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from foreshard.adapters.clock import InlineExecutor
from foreshard.app.steering import Flown, loop_of
from foreshard.config import Settings, load
from foreshard.forecast.onset import BreachRule
from foreshard.forecast.trend_model import TrendLearner
from foreshard.lab.steering import demo_config
from foreshard.model.errors import ConfigError
from tests.controller.test_loop import Stage
from tests.forecast.drifting import drifting
from tests.test_config import site

# The first forecast of a process compiles its kernels, here in the loop's own thread.
pytestmark = pytest.mark.may_block


def settings_in(directory: Path, model: str) -> Settings:
    values = {**demo_config(site()), "data_dir": "data", "events_file": None}
    values["forecast"] = {"model": model, "every_s": 1.0, "window_s": 30.0}
    values["history"] = {"step_s": 2.0}
    file = directory / "shop.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    return load(file)


async def flies(settings: Settings, flown: Flown | None) -> str:
    stage = Stage()
    stage.loop = loop_of(settings, stage.loop._world, InlineExecutor(), flown=flown)
    await stage.turn(12)
    status = stage.loop.vitals.status
    assert status is not None
    return str(status["forecast"]["model"])


async def test_a_trained_model_flies_once_it_remembers_anything(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, "ensemble")
    horizons_s = tuple(settings.forecast.horizons_s)
    model = TrendLearner().fit(drifting(1), BreachRule(), horizons_s, seed=1)
    assert await flies(settings, Flown(model=model, name="ensemble-1")) == "ensemble-1"


async def test_without_a_trained_model_the_shipped_default_is_the_trend(tmp_path: Path) -> None:
    assert await flies(settings_in(tmp_path, "ensemble"), None) == "trend"


async def test_an_unknown_model_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'magic', must be one of ensemble, .*none"):
        await flies(settings_in(tmp_path, "magic"), None)
