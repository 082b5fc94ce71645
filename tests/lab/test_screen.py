from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from foreshard.lab.scores import FORESHARD, REACTIVE
from foreshard.lab.screen import LiveScreen, PlainScreen, screen_for


def report(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON values
    fleet = {
        "requests": 1_000,
        "failed": 1,
        "slow": 2,
        "shed": 3,
        "bad_weighted": 42.0,
        "bad_weighted_ratio": 0.0123,
        "p50_ms": 20.0,
        "p99_ms": 180.0,
    }
    fault = {
        "kind": "leak",
        "cells": ["eu-2"],
        "at_s": 30.0,
        "relieved_s": 41.0,
        "onset_s": None,
        "lead_time_s": None,
        "bad_weighted": {REACTIVE: 900.0, FORESHARD: 7.0},
    }
    made: dict[str, Any] = {
        "story": "default",
        "seed": 7,
        "load": 0.62,
        "fleets": {REACTIVE: fleet, FORESHARD: fleet},
        "faults": [fault],
        "decisions": 9,
        "false_evacuations": 0,
        "engine": {},
        "loadgen_lateness_ms_p99": 1.5,
        "time_scale": {"note": "twenty seconds stand for five minutes"},
    }
    return made | changes


def told(screen: PlainScreen | LiveScreen, values: dict[str, Any], json: Path | None) -> str:
    screen._console = Console(width=160, record=True, highlight=False)
    screen.summary(values, json=json)
    return screen._console.export_text()


@pytest.mark.parametrize("headless", [True, False])
def test_the_summary_holds_every_figure_and_a_dash_for_what_is_not_known(headless: bool) -> None:
    text = told(screen_for(headless=headless), report(), Path("report.json"))
    for words in (
        "42 (1.23%)",
        "seed 7",
        "load 62%",
        "eu-2",
        "30.0 s",
        "900",
        "9 decisions, 0 false evacuations",
        "twenty seconds stand for five minutes",
        "report: report.json",
    ):
        assert words in text
    assert " - " in text


def test_a_quiet_story_has_no_table_of_faults() -> None:
    text = told(PlainScreen(), report(faults=[]), None)
    assert "per fault" not in text
    assert "report:" not in text


@pytest.mark.parametrize("headless", [True, False])
def test_a_screen_is_left_when_something_fails(headless: bool) -> None:
    screen = screen_for(headless=headless)

    def fail() -> None:
        with screen:
            screen.stage("starting")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()


def test_the_distance_to_the_oracle_is_told_for_both() -> None:
    oracle = {
        "window": {
            "bad_weighted_ratio": 0.0123,
            "over_points": {"reactive": 45.678, "foreshard": 1.234},
        },
        "run": None,
    }
    text = told(PlainScreen(), report(oracle=oracle), None)
    assert "1.23% of weighted demand had to be bad" in text
    assert "reactive +45.68" in text
    assert "foreshard +1.23" in text
