from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from foreshard.adapters.store.sqlite import SqliteStore
from foreshard.app.places import state_dir
from foreshard.cli.main import app
from foreshard.config import load
from foreshard.controller.account import report_of
from foreshard.controller.profiling import KEY
from foreshard.controller.scouting import ENDPOINTS
from foreshard.lab.steering import demo_config
from foreshard.model.category import Category, ClassProfile, Tag, WorkloadProfile
from foreshard.model.cost import Cost, CostChange, JointCost
from tests.test_config import site

PROFILE = WorkloadProfile(
    at_s=1_000.0,
    classes={
        "report": ClassProfile(
            request_class="report",
            costs={"cpu": Cost(per_request=0.203, low=0.174, high=0.232)},
            found=Category(name="heavy-cpu", bound="cpu"),
            confidence=0.84,
            tag=Tag(request_class="report", category="nightly", by="ada", at_s=900.0),
            rate_rps=30.0,
        ),
        "search": ClassProfile(
            request_class="search",
            costs={"cpu": Cost(high=0.4, because="unidentified: browse, search are collinear")},
        ),
    },
    joint=(
        JointCost(
            resource="cpu",
            request_classes=("browse", "search"),
            cost=Cost(per_request=0.02, low=0.018, high=0.022),
        ),
    ),
    changes=(
        CostChange(
            request_class="report",
            resource="cpu",
            at_s=990.0,
            before=0.07,
            after=0.21,
            deviations=9.4,
        ),
    ),
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    values = {**demo_config(site()), "data_dir": "data", "events_file": "events.json"}
    file = tmp_path / "shop.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    return file


def keep(config: Path) -> None:
    directory = state_dir(load(config))
    directory.mkdir(parents=True, exist_ok=True)
    store = SqliteStore(directory)
    store.put(KEY, report_of(PROFILE, idle={"cpu": 0.4, "disk": float("nan")}, centres={}))
    store.close()


def test_what_requests_cost_is_shown_by_class(config: Path) -> None:
    keep(config)
    said = CliRunner().invoke(app, ["profile", "--config", str(config)])
    assert said.exit_code == 0, said.output
    lines = said.output.splitlines()
    assert "report: nightly, tagged by ada; 30 requests/s" in lines
    assert "  cpu: 0.203 (0.174 to 0.232)" in lines
    assert any("its costs say heavy-cpu (confidence 84%)" in line for line in lines)
    assert "  cpu: unknown, 0 to 0.4 (unidentified: browse, search are collinear)" in lines
    assert (
        "unidentified: browse, search are collinear; cpu of a mean request of theirs: "
        "0.02 (0.018 to 0.022)"
    ) in lines
    assert "a cell without requests: cpu 0.4" in lines
    assert any("went from 0.07 to 0.21 (3 times)" in line for line in lines)


def test_endpoints_that_no_class_takes_are_shown_with_their_evidence(config: Path) -> None:
    keep(config)
    each = {"method": "GET", "template": "/users/{id}", "confidence": 0.86}
    told = {"evidence": "118 requests in 125 s", "costs": {"cpu": 0.2}, "resembles": "heavy-cpu"}
    report = {
        "at_s": 1_000.0,
        "endpoints": [{**each, **told}],
        "more_endpoints": 3,
        "left_out_requests": 900.0,
        "changes": [{"at_s": 980.0, "text": "GET /users/{id} was found"}],
    }
    store = SqliteStore(state_dir(load(config)))
    store.put(ENDPOINTS, report)
    store.close()
    lines = CliRunner().invoke(app, ["profile", "--config", str(config)]).output.splitlines()
    assert (
        "  GET /users/{id}: confidence 86%; 118 requests in 125 s; says that it costs cpu 0.2, "
        "about as heavy-cpu"
    ) in lines
    assert "  and 3 more, with fewer requests" in lines
    assert "  not looked at: 900 requests (too many paths)" in lines
    # The one of 980 s before the one of 990 s.
    assert lines[-2].endswith("GET /users/{id} was found")


def test_all_of_it_is_json(config: Path) -> None:
    keep(config)
    said = CliRunner().invoke(app, ["profile", "--json", "--config", str(config)])
    found = json.loads(said.output)
    assert found["classes"]["report"]["costs"]["cpu"]["per_request"] == pytest.approx(0.203)
    assert found["classes"]["search"]["costs"]["cpu"]["per_request"] is None
    assert found["idle"] == {"cpu": 0.4, "disk": None}


def test_before_an_engine_has_measured_it_says_so(config: Path) -> None:
    said = CliRunner().invoke(app, ["profile", "--config", str(config)])
    assert said.exit_code == 1
    assert "no engine has measured costs here yet" in said.output
