from __future__ import annotations

from dataclasses import replace

import pytest

from foreshard.config.scenario import load_scenario, shipped_scenarios
from foreshard.lab.live.limits import REAL, reasons_against, refuse_unplayable
from foreshard.lab.scenario.fault import FaultLine, Kind, Recovery, Shape
from foreshard.lab.scenario.scenario import (
    CellMake,
    Discipline,
    Family,
    Load,
    Scenario,
    Telemetry,
)
from foreshard.lab.service import Site
from foreshard.model.errors import LabError

SITE = Site(name="eu-1", region="eu", zone="eua")


def scenario(*faults: FaultLine) -> Scenario:
    return Scenario(
        name="sample",
        family=Family.PREDICTABLE,
        about="A sample. Nothing is expected.",
        duration_s=60.0,
        warm_up_s=6.0,
        pace=15.0,
        load=Load(period_s=120.0),
        faults=faults,
    )


def leak(**changes: object) -> FaultLine:
    told: dict[str, object] = {"kind": Kind.LEAK, "cells": ("eu-2",), "at_s": 10.0}
    return FaultLine(**{**told, "grows_s": 20.0, **changes})  # type: ignore[arg-type]  # a table


@pytest.mark.parametrize(
    "name",
    [name for name in shipped_scenarios() if name.startswith(("live-", "measured-"))],
)
def test_what_is_made_for_the_live_stage_can_be_played_on_it(name: str) -> None:
    refuse_unplayable(load_scenario(name))


def test_every_reason_is_told_at_once() -> None:
    strange = replace(
        scenario(
            leak(shape=Shape.SAWTOOTH),
            FaultLine(kind=Kind.PACKET_LOSS, cells=("us-1",), at_s=5.0, magnitude=0.1),
        ),
        proxies=2,
        make=CellMake(cpus=8, discipline=Discipline.PROCESSOR_SHARING),
        load=Load(client_retries=1),
        telemetry=Telemetry(lag_s=1.0),
    )
    with pytest.raises(LabError) as refused:
        refuse_unplayable(strange)
    said = str(refused.value)
    for part in (
        "2 proxies",
        "cell.cpus is 8",
        "cell.discipline is ps",
        "client_retries is 1",
        "telemetry is set",
        "fault 1 (leak): shape is sawtooth",
        "fault 2 (packet_loss): no real cell can have it",
    ):
        assert part in said
    assert said.count("\n- ") == 7


@pytest.mark.parametrize(
    ("unlike", "said"),
    [
        (
            replace(scenario(), sites=tuple(replace(SITE, name=f"eu-{n}") for n in range(9))),
            "9 cells, one machine has room for 8",
        ),
        (replace(scenario(), sizes={"eu-1": 2.0}), "sizes are"),
        (replace(scenario(), latency_ms={("eu", "us"): 80.0}), "latency_ms"),
        (replace(scenario(), load=Load(origins={"eu": 0.5, "us": 0.5})), "2 origins"),
        (replace(scenario(), duration_s=9e4), "duration_s is 90000"),
        (replace(scenario(), make=CellMake(restart_s=1.0)), "restart_s is 1"),
        (replace(scenario(), offers=scenario().offers[:2]), "classes differ"),
        (scenario(leak(recovery=Recovery.NEVER)), "recovery is never"),
        (scenario(leak(magnitude=0.5, holds_s=5.0)), "stays until a restart"),
        (
            scenario(FaultLine(kind=Kind.SURGE, at_s=1.0, magnitude=0.5, request_class="report")),
            "only be added to",
        ),
        (
            scenario(
                FaultLine(kind=Kind.SLOW_DEPENDENCY, cells=("eu-1",), at_s=1.0, magnitude=1.0)
            ),
            "only search depends",
        ),
        (
            scenario(FaultLine(kind=Kind.DISK_FILL, cells=("eu-1",), at_s=1.0, magnitude=1.0)),
            "with real cells it is restart",
        ),
        (
            scenario(leak(), FaultLine(kind=Kind.CREEP, cells=("eu-2",), at_s=20.0)),
            "leak and creep meet in eu-2",
        ),
    ],
)
def test_what_real_cells_are_not_is_refused_with_its_reason(unlike: Scenario, said: str) -> None:
    reasons = list(reasons_against(unlike))
    assert len(reasons) == 1
    assert said in reasons[0]


def test_faults_of_one_cell_may_follow_each_other() -> None:
    later = FaultLine(kind=Kind.CREEP, cells=("eu-2",), at_s=30.0, magnitude=0.5, holds_s=9.0)
    assert not list(reasons_against(scenario(leak(), later)))


def test_every_real_fault_has_a_scenario_that_can_be_played() -> None:
    for kind in REAL:
        cured = kind in {Kind.DISK_FILL, Kind.MISSING_METRICS}
        line = FaultLine(
            kind=kind,
            cells=("us-1",),
            at_s=10.0,
            grows_s=0.0 if kind.is_sudden else 5.0,
            holds_s=5.0,
            request_class="search" if kind is Kind.SLOW_DEPENDENCY else "",
            recovery=Recovery.RESTART if cured else Recovery.HEALS,
        )
        assert not list(reasons_against(scenario(line))), kind
