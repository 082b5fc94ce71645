"""Endpoints that no class takes: a person gives them a class, or leaves them where they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from foreshard.adapters.store.sqlite import SqliteStore
from foreshard.app.cataloguing import newest_held
from foreshard.app.places import state_dir
from foreshard.controller.scouting import ENDPOINTS
from foreshard.model.catalogue import Role
from tests.api.counter import Counter, opened

USERS = {"method": "GET", "template": "/users/{id}"}


@pytest.fixture
def counter(tmp_path: Path) -> Iterator[Counter]:
    with opened(tmp_path) as made:
        yield made


def found(counter: Counter, *endpoints: dict[str, str]) -> None:
    """Say what an engine says."""
    told = {"requests": 90.0, "confidence": 0.9, "first_s": 1.0, "evidence": "90 requests in 60 s"}
    report = {
        "at_s": 61.0,
        "endpoints": [
            {**each, **told, "costs": {"cpu": 0.2}, "resembles": "heavy-cpu"} for each in endpoints
        ],
        "more_endpoints": 0,
        "left_out_requests": 3.0,
        "changes": [{"at_s": 60.0, "text": "GET /users/{id} was found"}],
    }
    store = SqliteStore(state_dir(counter.settings))
    store.put(ENDPOINTS, report)
    store.close()


def read(counter: Counter) -> Any:  # noqa: ANN401 - JSON
    answer = counter.ask("GET", "/v1/endpoints", role=Role.VIEWER)
    assert answer.status_code == 200, answer.text
    return answer.json()


def default_of(counter: Counter) -> Any:  # noqa: ANN401 - JSON
    classes = counter.ask("GET", "/v1/classes").json()["classes"]
    return next(each for each in classes if each["is_default"])


def test_before_an_engine_has_said_anything_there_are_none(counter: Counter) -> None:
    told = read(counter)
    assert told["at_s"] is None
    assert told["endpoints"] == []
    assert told["served_by"] == default_of(counter)["name"]


def test_what_is_proposed_is_the_default_class_with_a_match_of_its_own(counter: Counter) -> None:
    found(counter, USERS)
    (each,) = read(counter)["endpoints"]
    assert (each["confidence"], each["resembles"], each["declined"]) == (0.9, "heavy-cpu", False)
    default = default_of(counter)["definition"]
    proposed = each["proposed"]
    assert proposed["name"] == "get-users-id"
    assert proposed["match"] == {"method": "GET", "path_template": "/users/{id}"}
    for key in ("priority", "weight", "objective_s", "timeout_s"):
        assert proposed[key] == default[key]
    assert "needs" not in proposed


def test_an_accepted_endpoint_gets_its_requests_and_the_engine_flies_the_class(
    counter: Counter,
) -> None:
    asked = {"method": "GET", "path": "/users/7"}
    assert counter.ask("POST", "/v1/match", json=asked).json()["is_default"]
    made = counter.ask("POST", "/v1/endpoints/accept", json=USERS, tag=counter.tag())
    assert made.status_code == 200, made.text
    assert counter.ask("POST", "/v1/match", json=asked).json()["class"] == "get-users-id"
    assert newest_held(counter.settings).catalogue.named("get-users-id") is not None


def test_a_person_may_give_it_another_name_or_another_class(counter: Counter) -> None:
    answer = counter.ask("POST", "/v1/endpoints/accept", json={**USERS, "name": "people"}, tag="*")
    assert answer.status_code == 200
    assert counter.ask("GET", "/v1/classes/people").status_code == 200
    again = counter.ask("POST", "/v1/endpoints/accept", json={**USERS, "name": "people"}, tag="*")
    assert again.status_code == 422
    assert "people" in again.json()["detail"]


def test_a_declined_endpoint_stays_with_the_default_class_and_that_is_kept(
    counter: Counter,
) -> None:
    found(counter, USERS)
    assert counter.ask("POST", "/v1/endpoints/decline", json=USERS, tag="*").status_code == 200
    told = read(counter)
    assert told["endpoints"][0]["declined"]
    assert told["declined"] == ["GET /users/{id}"]
    kept = yaml.safe_load(counter.ask("GET", "/v1/catalogue").text)
    assert kept["declined"] == ["GET /users/{id}"]
    assert counter.ask("POST", "/v1/endpoints/accept", json=USERS, tag="*").status_code == 200
    assert read(counter)["declined"] == []


def test_nobody_s_work_is_lost_and_a_viewer_changes_nothing(counter: Counter) -> None:
    path, before = "/v1/endpoints/accept", counter.version()
    assert counter.ask("POST", path, json=USERS).status_code == 428
    assert counter.ask("POST", path, json=USERS, tag='"other"').status_code == 412
    viewed = counter.ask("POST", path, json=USERS, tag="*", role=Role.VIEWER)
    assert viewed.status_code == 403
    assert counter.version() == before


@pytest.mark.parametrize("template", ["users", "/us{er}s", "/{a", "/users/{id} "])
def test_a_template_that_no_class_can_match_is_refused(counter: Counter, template: str) -> None:
    answer = counter.ask(
        "POST", "/v1/endpoints/accept", json={"method": "GET", "template": template}, tag="*"
    )
    assert answer.status_code == 422
    assert template.strip() in answer.json()["detail"]


def test_beside_a_default_class_that_owns_data_none_is_proposed(tmp_path: Path) -> None:
    with opened(tmp_path) as plain:
        name = plain.settings.default_class
        values = [c.model_dump(mode="json") for c in plain.settings.classes]
        cells = [c.name for c in plain.settings.cells]
    owner = next(each for each in values if each["name"] == name)
    owner |= {"key_header": "x-key", "replicas": {cells[0]: [cells[1]], cells[1]: [cells[0]]}}
    (tmp_path / "owning").mkdir()
    with opened(tmp_path / "owning", classes=values) as counter:
        found(counter, USERS)
        (each,) = read(counter)["endpoints"]
        assert each["proposed"] is None
        assert "owns data" in each["because"]
