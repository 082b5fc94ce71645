from __future__ import annotations

from dataclasses import replace

import pytest

from foreshard.app.trying import foreshard, settings_for
from foreshard.config import BudgetSettings, ForecastSettings, ThresholdSettings
from foreshard.lab.scenario.scenario import SHOP, Family, Load, Scenario
from foreshard.model.errors import LabError
from foreshard.model.workload import OwnedData

SCENARIO = Scenario(
    name="small",
    family=Family.TRAP,
    about="Nothing happens.",
    duration_s=60.0,
    warm_up_s=0.0,
    load=Load(origins={"eu": 0.5, "us": 0.5}),
    latency_ms={("eu", "us"): 80.0, ("us", "eu"): 80.0},
)


def test_in_real_time_everything_is_as_shipped() -> None:
    settings = settings_for(SCENARIO)
    assert settings.forecast == ForecastSettings()
    assert settings.thresholds == ThresholdSettings()
    assert settings.budget == BudgetSettings()


def test_at_a_pace_every_patience_is_shorter_and_the_machine_stays() -> None:
    settings = settings_for(replace(SCENARIO, pace=10.0))
    assert settings.forecast.horizons_s == [30.0, 360.0]
    assert settings.forecast.window_s == 60.0
    assert settings.forecast.every_s == 0.5
    shipped, paced = ThresholdSettings().model_dump(), settings.thresholds.model_dump()
    for key, value in shipped.items():
        assert paced[key] == pytest.approx(value / 10.0 if key.endswith("_s") else value), key
    assert settings.budget.confirm_s == 1.0
    assert settings.budget.max_moved_per_minute == 1.0
    assert settings.budget.stale_s == BudgetSettings().stale_s
    assert settings.tick_s == 1.0


def test_a_pace_that_cannot_be_is_refused() -> None:
    with pytest.raises(LabError, match="pace is 0"):
        settings_for(replace(SCENARIO, pace=0.0))


def test_fleet_classes_and_origins_are_the_scenario_s() -> None:
    data = OwnedData(replicas={"eu-1": ("eu-2",), "eu-2": ("eu-1",)})
    keyed = replace(
        SHOP[0], request_class=replace(SHOP[0].request_class, data=data, move_cost_s=5.0)
    )
    scenario = replace(SCENARIO, offers=(keyed, *SHOP[1:]))
    settings = settings_for(scenario)
    assert settings.fleet() == scenario.fleet()
    assert settings.request_classes() == scenario.classes
    assert settings.origins() == scenario.origins
    assert settings.default_class == scenario.default_class


def test_variants_have_names_of_their_own() -> None:
    assert foreshard().name == "foreshard"
    assert foreshard("none").name == "foreshard-none"
    assert foreshard("trend", name="mine").name == "mine"
