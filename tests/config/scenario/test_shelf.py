"""The scenarios that are shipped: what each is for, and that it can be lived through."""

from __future__ import annotations

import re
from collections import Counter
from importlib.resources import files

import numpy as np
import pytest

from foreshard.config.scenario import load_scenario, shipped_scenarios
from foreshard.lab.cell.faults import FaultKind
from foreshard.lab.scenario.fault import Kind
from foreshard.lab.scenario.scenario import Family
from foreshard.lab.simulation.load import even_rps
from foreshard.lab.simulation.weather import Weather

NAMES = shipped_scenarios()
# Beside the three families: what the live stage runs too, and mirrors of live measurements.
ASIDE = ("live-", "measured-")
MAIN = [name for name in NAMES if not name.startswith(ASIDE)]
every_scenario = pytest.mark.parametrize("name", NAMES)


def test_there_are_eight_and_more_of_each_family() -> None:
    families = Counter(load_scenario(name).family for name in MAIN)
    assert min(families[family] for family in Family) >= 8
    assert len(MAIN) >= 24


@every_scenario
def test_a_scenario_is_called_like_its_file_and_says_two_sentences(name: str) -> None:
    told = load_scenario(name)
    assert told.name == name
    sentences = re.split(r"(?<=\.) (?=[A-Z])", told.about)
    assert len(sentences) == 2, sentences
    assert sentences[0].endswith(".")
    assert sentences[1].startswith("A good engine ")
    assert sentences[1].endswith(".")


@every_scenario
def test_a_scenario_is_long_enough_and_has_keyed_traffic(name: str) -> None:
    told = load_scenario(name)
    assert 6 <= len(told.sites) <= 20
    assert 0.5 <= told.load.utilisation <= 0.8
    assert any(each.is_keyed for each in told.classes)
    if name in MAIN:
        assert 600.0 <= told.duration_s <= 1_200.0
        assert told.pace == 1.0
    else:
        assert told.duration_s <= 120.0
        assert 12.0 <= told.pace <= 15.0


@every_scenario
def test_what_befalls_leaves_time_before_and_begins_before_the_end(name: str) -> None:
    told = load_scenario(name)
    for fault in told.faults:
        assert fault.at_s == 0.0 or fault.noticed_s >= told.warm_up_s
        assert fault.at_s + fault.grows_s <= told.duration_s


@pytest.mark.parametrize("name", MAIN)
def test_a_predictable_fault_leaves_minutes_and_an_unpredictable_one_does_not(name: str) -> None:
    told = load_scenario(name)
    ahead_s = [fault.at_s + fault.grows_s - fault.noticed_s for fault in told.faults]
    if told.family is Family.PREDICTABLE:
        assert max(ahead_s) >= 180.0
    if told.family is Family.UNPREDICTABLE:
        assert max(ahead_s) <= 5.0


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("live-")])
def test_the_live_stage_knows_the_faults_of_what_it_runs(name: str) -> None:
    told = load_scenario(name)
    assert {fault.kind.value for fault in told.faults} <= set(FaultKind)
    assert [site.name for site in told.sites] == [
        f"{r}-{n}" for r in ("eu", "us") for n in (1, 2, 3)
    ]


@every_scenario
def test_a_scenario_can_be_lived_through(name: str) -> None:
    told = load_scenario(name)
    played = Weather(told, seed=3)
    even = even_rps(told)
    for second in range(1, int(told.duration_s) + 1):
        effects = played.at(float(second), even)
        assert np.isfinite(effects.wait_s).all()
    kills = [
        f for f in told.faults if f.kind.takes_down or (f.kind is Kind.LEAK and f.magnitude == 1)
    ]
    assert len(played.deaths) == sum(len(fault.cells) for fault in kills)
    assert played.restarts == ()


def test_the_scenarios_are_part_of_the_package() -> None:
    shelf = files("foreshard.lab.scenarios")
    assert (shelf / "quiet.yaml").is_file()
    assert {each.name for each in shelf.iterdir() if each.name.endswith(".yaml")} == {
        f"{name}.yaml" for name in NAMES
    }
