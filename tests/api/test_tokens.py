"""Who may come in, and how far."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from foreshard.app import keys
from foreshard.model.catalogue import Role
from tests.api.counter import ORDERS, Counter, opened


@pytest.fixture
def counter(tmp_path: Path) -> Iterator[Counter]:
    with opened(tmp_path) as made:
        yield made


READS = ("/v1/classes", "/v1/catalogue", "/v1/versions", "/v1/audit", "/v1/status")


def test_nobody_reads_without_a_token(counter: Counter) -> None:
    for path in READS:
        answer = counter.ask("GET", path, role=None)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert counter.ask("GET", path, role=Role.VIEWER).status_code == 200


def test_a_viewer_changes_nothing_and_an_operator_makes_no_tokens(counter: Counter) -> None:
    changes = [
        ("PUT", "/v1/classes/orders", ORDERS),
        ("DELETE", "/v1/classes/report", None),
        ("PUT", "/v1/classes/search/tag", {"category": "light"}),
        ("PUT", "/v1/catalogue", {}),
        ("POST", "/v1/versions/0/rollback", None),
    ]
    for method, path, body in changes:
        answer = counter.ask(method, path, json=body, tag="*", role=Role.VIEWER)
        assert answer.status_code == 403, path
        assert "must be operator" in answer.json()["detail"]
    assert counter.version() == 0
    for role in (Role.VIEWER, Role.OPERATOR):
        assert counter.ask("GET", "/v1/tokens", role=role).status_code == 403


def test_a_token_that_was_taken_back_or_has_ended_opens_nothing(counter: Counter) -> None:
    made = counter.ask(
        "POST", "/v1/tokens", json={"name": "ci", "role": "operator"}, role=Role.ADMIN
    ).json()
    counter.secrets[Role.OPERATOR] = made["secret"]
    assert counter.ask("GET", "/v1/classes").status_code == 200
    path = f"/v1/tokens/{made['id']}"
    assert counter.ask("DELETE", path, role=Role.ADMIN).status_code == 200
    assert counter.ask("GET", "/v1/classes").status_code == 401
    counter.secrets[Role.OPERATOR] = keys.create(
        counter.settings, "late", Role.OPERATOR, by="test", expires_s=1.0
    ).secret
    assert counter.ask("GET", "/v1/classes").status_code == 401
    assert counter.ask("DELETE", "/v1/tokens/00", role=Role.ADMIN).status_code == 404


def test_secrets_are_kept_nowhere(counter: Counter) -> None:
    counter.ask("PUT", "/v1/classes/orders", json=ORDERS, tag=counter.tag())
    directory = counter.file.path.parent
    held = b"".join(path.read_bytes() for path in directory.iterdir())
    for secret in counter.secrets.values():
        assert secret.encode() not in held
    listed = counter.ask("GET", "/v1/tokens", role=Role.ADMIN).text
    assert "foreshard_" not in listed
    assert counter.file.path.stat().st_mode & 0o077 == 0
    with sqlite3.connect(counter.file.path) as db:
        digests = [digest for (digest,) in db.execute("SELECT digest FROM token")]
    assert all(len(digest) == 64 for digest in digests)


def test_the_record_says_who_did_what(counter: Counter) -> None:
    counter.ask("PUT", "/v1/classes/orders", json=ORDERS, tag=counter.tag())
    counter.ask("PUT", "/v1/classes/none/tag", json={"category": "x"}, tag=counter.tag())
    deeds = counter.ask("GET", "/v1/audit").json()["deeds"]
    assert (deeds[0]["by"], deeds[0]["role"]) == ("a operator", "operator")
    assert (deeds[0]["action"], deeds[0]["version"]) == ("define class orders", 1)
    assert [deed["action"].partition(" for ")[0][:10] for deed in deeds[1:]] == ["make token"] * 3
    older = counter.ask("GET", "/v1/audit", params={"before": deeds[0]["id"], "most": 1}).json()
    assert [deed["id"] for deed in older["deeds"]] == [deeds[1]["id"]]
