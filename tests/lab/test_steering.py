from __future__ import annotations

from dataclasses import replace

import yaml

from foreshard.config import ThresholdSettings, parse
from foreshard.lab import service
from foreshard.lab.steering import HORIZONS_S, PATIENCE, demo_config
from tests.test_config import site

DEMO = parse(yaml.safe_dump(dict(demo_config(site()))))


def test_the_declared_horizons_and_patience_are_what_is_configured() -> None:
    assert tuple(DEMO.forecast.horizons_s) == HORIZONS_S
    for name, seconds in PATIENCE.items():
        assert getattr(DEMO.thresholds, name) == seconds


def test_no_threshold_of_probability_differs_from_the_shipped_ones() -> None:
    shipped = ThresholdSettings()
    for name in (n for n in ThresholdSettings.model_fields if n.endswith("_p")):
        assert getattr(DEMO.thresholds, name) == getattr(shipped, name)


def test_no_patience_of_the_demo_is_longer_than_the_shipped_one() -> None:
    shipped = ThresholdSettings()
    for name in ThresholdSettings.model_fields:
        if name.endswith("_s"):
            assert getattr(DEMO.thresholds, name) <= getattr(shipped, name)


def test_every_class_and_cell_of_the_service_is_configured() -> None:
    assert [c.name for c in DEMO.classes] == [c.name for c in service.CLASSES]
    assert [c.name for c in DEMO.cells] == [s.name for s in service.SITES]


def test_the_tick_and_the_ceilings_are_the_shipped_ones() -> None:
    said = demo_config(site())
    assert "tick_s" not in said
    budget = said["budget"]
    assert isinstance(budget, dict)
    assert not {"ceiling", "rest_ceiling", "min_cells", "believable_failures"} & set(budget)


def test_the_demo_can_be_judged_without_a_forecast() -> None:
    assert DEMO.forecast.model == "trend"
    without = dict(demo_config(replace(site(), forecast="none")))
    assert parse(yaml.safe_dump(without)).forecast.model == "none"
