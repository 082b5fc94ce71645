from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from foreshard.cli.main import app
from foreshard.lab.planning_bench.contest import PLANNERS, Asked, compete, size_of
from foreshard.model.errors import PlanningError

FIELDS = {
    *("ms_p50", "ms_p99", "objective", "gap_ratio", "max_utilisation", "moved_ratio"),
    *("shed_by_priority", "peak_mb"),
}


def test_all_planners_are_told_about_with_every_figure() -> None:
    lines: list[str] = []
    figures = compete(Asked(size=size_of(10), event="dead", ticks=2), tell=lines.append)
    assert set(figures["planners"]) == set(PLANNERS)
    for planner in figures["planners"].values():
        assert set(planner) >= FIELDS
        assert planner["max_utilisation"] <= 0.97 + 1e-9
        assert set(planner["shed_by_priority"]) == {"critical", "normal", "sheddable"}
    assert figures["cells"] == 10
    assert figures["edges"] >= figures["flows"]
    assert figures["ratio_to_highs_warm"] > 0.0
    assert sum("descent" in line for line in lines) == 2


def test_descent_costs_no_more_than_highs_by_more_than_its_proven_gap() -> None:
    asked = Asked(size=size_of(60), event="normal", ticks=1, planners=PLANNERS[:2])
    ours, theirs = (compete(asked, tell=print)["planners"][name] for name in PLANNERS[:2])
    assert ours["gap_ratio"] <= 2e-3
    assert theirs["gap_ratio"] >= -1e-9
    assert ours["objective"] <= theirs["objective"] * 1.01


def test_an_event_that_nobody_knows_is_refused() -> None:
    with pytest.raises(PlanningError, match="must be one of"):
        compete(Asked(size=size_of(4), event="meteor"), tell=print)


def test_a_solve_that_meets_its_limit_is_told_as_out_of_time() -> None:
    asked = Asked(size=size_of(100), event="overload", ticks=1, limit_s=1e-4)
    cold = compete(asked, tell=print)["planners"]["highs_cold"]
    assert cold["out_of_time"] == 1
    assert cold["objective"] is None


def test_the_command_writes_what_the_table_shows(tmp_path: Path) -> None:
    to = tmp_path / "plan.json"
    words = ["bench", "plan", "--cells", "12", "--event", "normal", "--ticks", "1", "--json"]
    told = CliRunner().invoke(app, [*words, str(to)])
    assert told.exit_code == 0, told.output
    assert "highs_warm" in told.output
    assert json.loads(to.read_text(encoding="utf-8"))["event"] == "normal"
    wrong = CliRunner().invoke(app, ["bench", "plan", "--peers", "all"])
    assert wrong.exit_code != 0
    assert "must be one of" in wrong.output
