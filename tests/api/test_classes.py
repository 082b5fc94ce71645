"""What the API does to classes, and what it refuses to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from foreshard.api.limit import MOST_BYTES
from foreshard.app.cataloguing import newest_held
from foreshard.config import Settings
from foreshard.model.catalogue import Role
from tests.api.counter import ORDERS, Counter, opened


@pytest.fixture
def counter(tmp_path: Path) -> Iterator[Counter]:
    with opened(tmp_path) as made:
        yield made


def names(counter: Counter) -> list[str]:
    return [each["name"] for each in counter.ask("GET", "/v1/classes").json()["classes"]]


def refused(answer: httpx.Response, status: int, *words: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    for word in words:
        assert word in body["detail"]


def define(counter: Counter, name: str, values: Any, **more: Any) -> httpx.Response:  # noqa: ANN401 - JSON
    return counter.ask("PUT", f"/v1/classes/{name}", json=values, tag=counter.tag(), **more)


def test_without_an_edition_the_file_s_classes_hold_as_version_0(counter: Counter) -> None:
    told = counter.ask("GET", "/v1/classes", role=Role.VIEWER).json()
    assert told["version"] == 0
    assert [each["name"] for each in told["classes"]] == ["checkout", "search", "report"]
    assert [each["is_default"] for each in told["classes"]] == [False, True, False]


def test_a_class_is_defined_read_replaced_and_deleted(counter: Counter) -> None:
    made = define(counter, "orders", ORDERS)
    assert made.status_code == 200
    assert made.json()["version"] == 1
    assert made.headers["etag"] == counter.tag() == made.json()["etag"]
    assert names(counter) == ["checkout", "search", "report", "orders"]
    read = counter.ask("GET", "/v1/classes/orders").json()["definition"]
    assert read["match"]["path_template"] == "/orders/{id}"
    assert define(counter, "orders", {**ORDERS, "objective_s": 0.1}).json()["version"] == 2
    assert counter.ask("GET", "/v1/classes/orders").json()["definition"]["objective_s"] == 0.1
    gone = counter.ask("DELETE", "/v1/classes/orders", tag=counter.tag())
    assert gone.json()["version"] == 3
    refused(counter.ask("GET", "/v1/classes/orders"), 404, "orders", "checkout, search, report")


def test_yaml_does_as_well_as_json(counter: Counter) -> None:
    body = yaml.safe_dump(ORDERS)
    made = counter.ask("PUT", "/v1/classes/orders", content=body, tag=counter.tag())
    assert made.status_code == 200


def test_a_narrower_class_stands_before_the_one_that_would_take_its_requests(
    counter: Counter,
) -> None:
    narrow = {**ORDERS, "match": {"method": "GET", "path_prefix": "/search/by-name"}}
    define(counter, "by-name", narrow)
    assert names(counter) == ["checkout", "by-name", "search", "report"]
    asked = {"method": "GET", "path": "/search/by-name/7"}
    assert counter.ask("POST", "/v1/match", json=asked).json()["class"] == "by-name"
    moved = define(counter, "by-name", narrow, params={"before": "checkout"})
    assert moved.status_code == 200
    assert names(counter) == ["by-name", "checkout", "search", "report"]
    late = define(counter, "checkout", _as_read(counter, "checkout"), params={"before": "no-such"})
    refused(late, 404, "no-such")


def _as_read(counter: Counter, name: str) -> dict[str, Any]:
    read: dict[str, Any] = counter.ask("GET", f"/v1/classes/{name}").json()["definition"]
    return read


def test_what_is_read_can_be_sent_back(counter: Counter) -> None:
    for name in names(counter):
        assert define(counter, name, _as_read(counter, name)).status_code == 200
    before = counter.ask("GET", "/v1/catalogue").text
    counter.ask("PUT", "/v1/catalogue", content=before, tag=counter.tag())
    assert counter.ask("GET", "/v1/catalogue").text == before
    assert counter.ask("GET", "/v1/diff?from=0&to=4").json()["changes"] == []


def test_a_path_is_matched_as_balancers_see_it(counter: Counter) -> None:
    for path in ("/checkout", "/%63heckout", "//x/../checkout?page=2"):
        answer = counter.ask("POST", "/v1/match", json={"method": "POST", "path": path}).json()
        assert answer == {"class": "checkout", "is_default": False}


@pytest.mark.parametrize("prefix", ["/.", "/..", "/a%2", "/%C3%A9", "/a.b/"])
def test_the_start_of_a_path_may_be_what_a_whole_one_may_not(
    counter: Counter, prefix: str
) -> None:
    assert define(counter, "orders", {**ORDERS, "match": {"path_prefix": prefix}}).is_success


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cells": ["nowhere"]}, ("class orders", "cells names nowhere", "eu-1")),
        ({"regions": ["mars"]}, ("regions", "mars")),
        ({"priority": "high"}, ("priority is 'high'", "critical, normal, sheddable")),
        ({"objective_s": -1}, ("objective_s is -1",)),
        ({"timeout_s": 0.1}, ("timeout_s is 0.1", "objective_s")),
        ({"match": {"method": "POST", "path_prefix": "/checkout"}}, ("has the match of",)),
        ({"match": {"path_prefix": "/a", "path_template": "/a"}}, ("path_prefix, path_template",)),
        ({"match": {"path_template": "/a/../{id}"}}, ("'/a/../{id}', which no request has",)),
        ({"match": {"path_prefix": "/caf\u00e9"}}, ("'/caf%C3%A9x'",)),
        ({"match": {"path_prefix": "/%61b"}}, ("'/abx'",)),
        ({"dependencies": ["orders"]}, ("in a circle", "orders -> orders")),
        ({"objectiv_s": 1}, ("objectiv_s is unknown, did you mean objective_s",)),
        ({"name": "other"}, ("'other'", "'orders'")),
        ({"replicas": {"eu-1": ["eu-2"]}, "key_header": "x-key"}, ("in the configuration",)),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words_and_changes_nothing(
    counter: Counter, change: dict[str, Any], words: tuple[str, ...]
) -> None:
    before = counter.tag()
    refused(define(counter, "orders", {**ORDERS, **change}), 422, *words)
    assert counter.tag() == before


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 422, ("is not YAML",)),
        (b"", 400, ("is empty",)),
        (b"\xff\xfe", 400, ("UTF-8",)),
        (b"a: &x [*x]", 422, ("contains itself",)),
        (b"[" * 5_000, 422, ("levels deep",)),
        (b"a: 1" + b":59" * 300_000, 422, ("line 1, column 4", "a number of 900001 characters")),
        (b"!!python/object/apply:os.system [ls]", 422, ()),
        (b"x" * (MOST_BYTES + 1), 413, (str(MOST_BYTES),)),
        (b"x" * 10_000_000, 413, (str(MOST_BYTES),)),
    ],
    ids=["json", "empty", "bytes", "circle", "depth", "base 60", "tag", "long", "10 MB"],
)
def test_broken_and_hostile_bodies_get_a_clear_answer(
    counter: Counter, body: bytes, status: int, words: tuple[str, ...]
) -> None:
    before = counter.tag()
    for path in ("/v1/catalogue", "/v1/classes/orders"):
        refused(counter.ask("PUT", path, content=body, tag=before), status, *words)
    assert counter.tag() == before


def test_a_body_that_does_not_say_how_long_it_is_is_counted_all_the_same(
    counter: Counter,
) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(40):
            yield b"x" * 65_536

    answer = counter.ask("PUT", "/v1/catalogue", content=parts(), tag="*")
    refused(answer, 413)


def test_a_circle_of_services_is_named(counter: Counter) -> None:
    values = yaml.safe_load(counter.ask("GET", "/v1/catalogue").text)
    values["service_map"] = {"index": ["disk"], "disk": ["index"]}
    answer = counter.ask("PUT", "/v1/catalogue", json=values, tag=counter.tag())
    refused(answer, 422, "disk -> index -> disk")


def test_without_a_tag_and_with_an_old_one_nothing_is_changed(counter: Counter) -> None:
    refused(counter.ask("PUT", "/v1/classes/orders", json=ORDERS), 428, "If-Match")
    old = counter.tag()
    assert define(counter, "orders", ORDERS).status_code == 200
    again = counter.ask("PUT", "/v1/classes/orders", json=ORDERS, tag=old)
    refused(again, 412, old.strip('"'), "read them again")
    weak = counter.ask("DELETE", "/v1/classes/orders", tag=f"W/{counter.tag()}")
    refused(weak, 412)
    several = counter.ask("DELETE", "/v1/classes/orders", tag=f'"x", {counter.tag()}')
    assert several.status_code == 200


def test_of_many_at_once_with_one_tag_a_single_one_wins(counter: Counter) -> None:
    tag = counter.tag()

    def attempt(number: int) -> int:
        values = {**ORDERS, "match": {"path_prefix": f"/n{number}"}}
        path = f"/v1/classes/n{number}"
        return counter.ask("PUT", path, json=values, tag=tag).status_code

    with ThreadPoolExecutor(16) as pool:
        answers = sorted(pool.map(attempt, range(16)))
    assert answers == [200, *[412] * 15]
    assert counter.version() == 1
    assert len(names(counter)) == 4


def test_whoever_takes_what_there_is_loses_nobody_s_work(counter: Counter) -> None:
    """Each reads, changes and repeats until it is taken, as a client should."""

    def attempt(number: int) -> None:
        values = {**ORDERS, "match": {"path_prefix": f"/n{number}"}}
        while define(counter, f"n{number}", values).status_code != 200:
            pass

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(attempt, range(8)))
    assert {f"n{number}" for number in range(8)} < set(names(counter))
    assert counter.version() == 8


def test_a_tag_of_a_person_wins_and_is_kept_until_it_is_taken_back(counter: Counter) -> None:
    path = "/v1/classes/search/tag"
    said = {"category": "heavy-cpu", "note": "seen in March"}
    assert counter.ask("PUT", path, json=said, tag=counter.tag()).status_code == 200
    define(counter, "search", {**_as_read(counter, "search"), "category": "light"})
    category = counter.ask("GET", "/v1/classes/search").json()["category"]
    assert (category["holds"], category["declared"]) == ("heavy-cpu", "light")
    assert category["tag"]["by"] == "a operator"
    assert category["tag"]["note"] == "seen in March"
    assert counter.ask("DELETE", path, tag=counter.tag()).status_code == 200
    assert counter.ask("GET", "/v1/classes/search").json()["category"]["holds"] == "light"
    refused(counter.ask("DELETE", path, tag=counter.tag()), 404, "search")
    refused(
        counter.ask("PUT", "/v1/classes/none/tag", json=said, tag=counter.tag()), 404, "'none'"
    )
    shouted = counter.ask("PUT", path, json={"category": "HEAVY"}, tag=counter.tag())
    refused(shouted, 422, "lower-case")


def test_versions_are_listed_compared_and_rolled_back_to(counter: Counter) -> None:
    define(counter, "orders", ORDERS)
    define(counter, "orders", {**ORDERS, "objective_s": 0.1})
    changes = counter.ask("GET", "/v1/diff", params={"from": 1, "to": 2}).json()["changes"]
    assert changes == [{"path": "classes.orders.objective_s", "before": 0.3, "after": 0.1}]
    back = counter.ask("POST", "/v1/versions/1/rollback", tag=counter.tag())
    assert back.json()["version"] == 3
    assert _as_read(counter, "orders")["objective_s"] == 0.3
    told = counter.ask("GET", "/v1/versions").json()["versions"]
    assert [(each["version"], each["action"]) for each in told] == [
        (3, "roll back to version 1"),
        (2, "define class orders"),
        (1, "define class orders"),
    ]
    read = counter.ask("GET", "/v1/versions/2").json()
    assert read["by"] == "a operator"
    assert read["catalogue"]["classes"][-1]["objective_s"] == 0.1
    for path in ("/v1/versions/9", "/v1/diff?from=0&to=9"):
        refused(counter.ask("GET", path), 404, "version 9")
    refused(counter.ask("POST", "/v1/versions/9/rollback", tag=counter.tag()), 404, "version 9")


def test_an_edition_goes_before_the_file_until_somebody_rolls_back_to_it(tmp_path: Path) -> None:
    with opened(tmp_path) as counter:
        define(counter, "orders", ORDERS)
    config = tmp_path / "foreshard.yaml"
    values = yaml.safe_load(config.read_text())
    values["classes"][0]["objective_s"] = 0.35
    with opened(tmp_path, classes=values["classes"]) as counter:
        assert counter.ask("GET", "/v1/status").json()["file_is_ignored"] is True
        assert _as_read(counter, "checkout")["objective_s"] == 0.4
        assert held(counter.settings) == {"checkout": 0.4, "orders": 0.3}
        counter.ask("POST", "/v1/versions/0/rollback", tag=counter.tag())
        assert counter.ask("GET", "/v1/status").json()["file_is_ignored"] is False
        assert _as_read(counter, "checkout")["objective_s"] == 0.35
    # From now on the file is followed, whatever it says.
    values["classes"][0]["objective_s"] = 0.36
    with opened(tmp_path, classes=values["classes"]) as counter:
        assert held(counter.settings) == {"checkout": 0.36}
        assert _as_read(counter, "checkout")["objective_s"] == 0.36


def test_what_stands_in_the_file_can_be_gone_back_to_whatever_is_amiss_there(
    tmp_path: Path,
) -> None:
    with opened(tmp_path) as counter:
        values = [json.loads(each.model_dump_json()) for each in counter.settings.classes]
    shadowed = {**values[0], "name": "shadowed"}
    with opened(tmp_path, classes=[*values, shadowed]) as counter:
        counter.ask("DELETE", "/v1/classes/shadowed", tag=counter.tag())
        define(counter, "orders", ORDERS)
        assert counter.ask("POST", "/v1/versions/0/rollback", tag="*").status_code == 200
        assert counter.ask("GET", "/v1/classes/shadowed").status_code == 200


@pytest.mark.parametrize("text", ['{"classes": [], "of_tomorrow": 1}', '{"cla'])
def test_classes_that_cannot_be_read_any_more_can_be_left_behind(
    counter: Counter, text: str
) -> None:
    define(counter, "orders", ORDERS)
    define(counter, "orders", {**ORDERS, "objective_s": 0.1})
    counter.file.write("UPDATE edition SET document = ? WHERE version = 2", (text,))
    assert "roll back" in counter.ask("GET", "/v1/classes").json()["detail"]
    said = counter.ask("POST", "/v1/versions/1/rollback", tag='"2-0"')
    refused(said, 412, '"2-unreadable"')
    back = counter.ask("POST", "/v1/versions/1/rollback", tag='"2-unreadable"')
    assert back.status_code == 200
    assert _as_read(counter, "orders")["objective_s"] == 0.3


def held(settings: Settings) -> dict[str, float]:
    """Objectives that an engine would start with."""
    return {
        each.name: each.objective_s
        for each in newest_held(settings).catalogue.classes
        if each.name in {"checkout", "orders"}
    }


def test_an_edition_that_fits_no_more_is_passed_over_for_the_one_before_it(
    tmp_path: Path,
) -> None:
    with opened(tmp_path) as counter:
        define(counter, "orders", ORDERS)
        define(counter, "orders", {**ORDERS, "objective_s": 0.2, "cells": ["us-3"]})
        cells = [each for each in _cells(counter) if each["name"] != "us-3"]
    with opened(tmp_path, cells=cells) as counter:
        found = newest_held(counter.settings)
        assert found.version == 1
        assert "us-3" in dict(found.passed_over)[2]
        # It can be read and mended all the same.
        assert _as_read(counter, "orders")["cells"] == ["us-3"]
        assert define(counter, "orders", ORDERS).status_code == 200


def test_a_damaged_edition_is_passed_over_alone_and_can_be_replaced(tmp_path: Path) -> None:
    with opened(tmp_path) as counter:
        define(counter, "orders", ORDERS)
        define(counter, "orders", {**ORDERS, "objective_s": 0.2})
        with counter.file.transaction():
            counter.file.write(
                "UPDATE edition SET document = substr(document, 1, 9) WHERE version = 2"
            )
    with opened(tmp_path) as counter:
        found = newest_held(counter.settings)
        assert found.version == 1
        assert "version 2 is damaged" in dict(found.passed_over)[2]
        listed = counter.ask("GET", "/v1/versions").json()["versions"]
        assert [bool(each["damage"]) for each in listed] == [True, False]
        refused(counter.ask("GET", "/v1/classes"), 422, "damaged", "roll back to another version")
        back = counter.ask("POST", "/v1/versions/1/rollback", tag='"2-unreadable"')
        assert back.status_code == 200
        assert _as_read(counter, "orders")["objective_s"] == ORDERS["objective_s"]


def _cells(counter: Counter) -> list[dict[str, Any]]:
    return [json.loads(each.model_dump_json()) for each in counter.settings.cells]


def test_what_owns_data_is_changed_in_the_configuration_alone(tmp_path: Path) -> None:
    with opened(tmp_path) as counter:
        values = [json.loads(each.model_dump_json()) for each in counter.settings.classes]
    values[0]["replicas"] = {"eu-1": ["eu-2"]}
    with opened(tmp_path, classes=values) as counter:
        owning = _as_read(counter, "checkout")
        assert define(counter, "checkout", {**owning, "objective_s": 0.1}).status_code == 200
        moved = define(counter, "checkout", {**owning, "replicas": {"eu-1": ["eu-3"]}})
        refused(moved, 422, "replicas")
        refused(counter.ask("DELETE", "/v1/classes/checkout", tag=counter.tag()), 422, "owns data")


def test_nobody_reads_the_url_of_a_hand_over_and_what_is_read_can_be_sent_back(
    tmp_path: Path,
) -> None:
    with opened(tmp_path) as counter:
        values = [json.loads(each.model_dump_json()) for each in counter.settings.classes]
    url = "http://127.0.0.1:9/ready?token=s3cr3t"
    values[0] |= {"replicas": {"eu-1": ["eu-2"]}, "handover": {"webhook": url}}
    with opened(tmp_path, classes=values) as counter:
        owning = _as_read(counter, "checkout")
        assert define(counter, "checkout", {**owning, "objective_s": 0.1}).status_code == 200
        catalogue = counter.ask("GET", "/v1/catalogue", role=Role.VIEWER)
        for path in (
            "classes",
            "classes/checkout",
            "versions/0",
            "versions/1",
            "diff?from=0&to=1",
        ):
            assert "s3cr3t" not in counter.ask("GET", f"/v1/{path}", role=Role.VIEWER).text
        assert "s3cr3t" not in catalogue.text
        sent = counter.ask("PUT", "/v1/catalogue", content=catalogue.text, tag=counter.tag())
        assert sent.status_code == 200
        kept = newest_held(counter.settings).catalogue.named("checkout")
        assert kept is not None
        assert kept.handover is not None
        assert kept.handover.webhook == url


def test_a_dry_run_without_an_engine_says_that_there_is_none(counter: Counter) -> None:
    before = counter.tag()
    answer = counter.ask(
        "PUT", "/v1/classes/orders", json=ORDERS, tag=before, params={"dry_run": True}
    )
    refused(answer, 409, "engine", "foreshard run")
    assert counter.tag() == before


def test_the_last_class_and_the_default_one_cannot_go(counter: Counter) -> None:
    answer = counter.ask("DELETE", "/v1/classes/search", tag=counter.tag())
    refused(answer, 422, "default_class is 'search'")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"dry-run": True}, ("'dry-run' is unknown here", "dry_run, taken_ratio")),
        ([("dry_run", "true"), ("dry_run", "false")], ("dry_run is given 2 times",)),
    ],
)
def test_a_slip_in_the_query_changes_nothing_for_good(
    counter: Counter,
    query: dict[str, bool] | list[tuple[str, str]],
    words: tuple[str, ...],
) -> None:
    refused(define(counter, "orders", ORDERS, params=query), 422, *words)
    assert counter.version() == 0
    listed = counter.ask("GET", "/v1/versions", params={"before": 2, "nobody": 1})
    refused(listed, 422, "'nobody' is unknown here", "before, most")
