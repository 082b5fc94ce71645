from __future__ import annotations

from typing import Any

from foreshard.cli.overview import overview


def status(**forecast: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON values
    cell = {"phase": "active", "age_s": 0.3, "risk": {"model": "ensemble-1"}}
    return {
        "now_s": 100.0,
        "version": 7,
        "cells": {
            "eu-1": cell,
            "eu-2": {**cell, "phase": "draining"},
            "eu-3": {**cell, "age_s": None, "risk": {"model": "trend"}},
        },
        "forecast": {"model": "ensemble-1", "age_s": 2.4, "degraded": "", **forecast},
        "balancers_silent": False,
        "shed": {"report": 0.25, "search": 0.0},
    }


def test_how_things_stand_is_said_in_some_lines() -> None:
    assert overview(status(outlook_age_s=31.0), now_s=104.2, frozen="lunch").splitlines() == [
        "engine: its last word is 4 s old, plan version 7",
        "cells: 3, 2 active, 1 draining",
        "silent: eu-3",
        "forecast: ensemble-1, 2 s old",
        "  2 cells stand on ensemble-1",
        "  1 cells stand on trend",
        "  its newest step is 31 s old",
        "shed: 25% of report",
        "frozen: lunch",
    ]


def test_what_crosses_regions_is_said_with_its_cost() -> None:
    crossings = {
        "us": {"eu": {"rps": 12.34, "cost_per_hour": 0.5}},
        "eu": {"us": {"rps": 3.0, "cost_per_hour": 0.0}},
    }
    told = overview(status() | {"crossings": crossings}, now_s=100.0).splitlines()
    assert "spill: eu serves 12.3/s of us, egress 0.50 an hour" in told
    assert "spill: us serves 3.0/s of eu" in told


def test_peers_are_told_with_the_age_of_their_news() -> None:
    told = {
        "region": "eu",
        "grants": {"us": {"cpu": 0.84}, "ap": {"cpu": 0.0}},
        "peers": {
            "us": {"age_s": 1.2, "granted": {"cpu": 4.21}},
            "ap": {"age_s": None, "granted": {}},
        },
    }
    lines = overview(status() | {"federation": told}, now_s=100.0).splitlines()
    assert "peer us: heard 1 s ago, grants 4.2 cpu, is granted 0.8 cpu" in lines
    assert "peer ap: never heard of, grants nothing, is granted 0.0 cpu" in lines


def test_a_degraded_forecast_is_said_with_its_reason() -> None:
    told = overview(status(model="trend", degraded="its worker is dead"), now_s=100.0)
    assert "  degraded to trend alone: its worker is dead" in told.splitlines()


def test_no_forecast_is_no_news() -> None:
    told = overview(status(model=None, age_s=None), now_s=100.0)
    assert "forecast: none" in told.splitlines()
