from __future__ import annotations

import pytest

from foreshard.app.lab.real import live_role
from foreshard.config.scenario import load_scenario
from foreshard.lab.live.role import Configured, Process, Tables, role_of
from foreshard.lab.policy.registry import ORACLE, PEERS
from foreshard.model.errors import LabError

PLAYED = {"outlier", "sticky", "closed-loop", "predict-linear", "oracle"}


def test_every_policy_of_the_lab_is_played_or_refused_with_the_reason() -> None:
    for name in (*PEERS, *ORACLE):
        if name in PLAYED:
            assert role_of(name).name == name
        else:
            with pytest.raises(LabError, match=f"{name} cannot be played live: it (picks|probes)"):
                role_of(name)


def test_only_the_oracle_is_told() -> None:
    told = {n for n in PLAYED if isinstance(role := role_of(n), Tables) and role.is_told}
    assert told == {"oracle"}


def test_outlier_knows_no_keys() -> None:
    scenario = load_scenario("live-leak")
    flat, homes = role_of("outlier"), role_of("sticky")
    assert isinstance(flat, Configured)
    assert isinstance(homes, Configured)
    assert not any(each.is_keyed for each in flat.classes(scenario))
    assert homes.classes(scenario) == scenario.classes


def test_foreshard_flies_with_its_shipped_forecast_or_the_one_that_is_named() -> None:
    assert live_role("foreshard") == Process(name="foreshard", forecast="ensemble")
    assert live_role("foreshard-none") == Process(name="foreshard-none", forecast="none")
    with pytest.raises(LabError, match=r"foreshard-crystal.*there are foreshard, foreshard-"):
        live_role("foreshard-crystal")


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(LabError, match="'magic' is unknown; live there are"):
        live_role("magic")
