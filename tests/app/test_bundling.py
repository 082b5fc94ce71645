from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml

from foreshard.adapters.store.sqlite import SqliteStore
from foreshard.app.bundling import bundle
from foreshard.app.places import state_dir
from foreshard.config import load
from foreshard.lab.steering import demo_config
from foreshard.model.errors import ConfigError, StoreError
from tests.engine.shop import Shop, calm, engine_of, fleet_of, leaking
from tests.test_config import site

# Each in another place, in another form.
SECRETS = {
    name: f"{name}-S3cr3t-{n}"
    for n, name in enumerate(("url", "env", "log", "bare", "tls", "event"))
}


class Admin(BaseHTTPRequestHandler):
    """An Envoy's admin page that holds secrets."""

    def do_GET(self) -> None:
        key = f"-----BEGIN PRIVATE KEY-----\n{SECRETS['tls']}\n-----END PRIVATE KEY-----"
        dump = {
            "tls": {"private_key": {"inline_string": key}},
            "headers": [{"authorization": f"Bearer {SECRETS['tls']}"}],
            "cluster": "eu-1",
        }
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(dump).encode())

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def admin() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Admin)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def config(tmp_path: Path, admin: str) -> Path:
    values = {**demo_config(site()), "data_dir": "data", "events_file": "events.json"}
    values["driver"] = {"webhook": f"https://robot:{SECRETS['url']}@hooks.example/cells"}
    values["balancers"] = [{"admin": admin, "origin": "eu"}]
    file = tmp_path / "shop.yaml"
    text = yaml.safe_dump(values)
    file.write_text(f"# the old password was {SECRETS['bare']}\n{text}", encoding="utf-8")
    (tmp_path / "events.json").write_text(json.dumps([{"token": SECRETS["event"]}]))
    return file


def record(config: Path, turns: int) -> None:
    fleet = fleet_of()
    shop = Shop(engine=engine_of(fleet), fleet=fleet)
    shop.run(12, calm(0.0))
    shop.run(turns, calm(0.0, eu_2=leaking()))
    with SqliteStore(state_dir(load(config))) as store:
        store.put("status", {"now_s": 1.0, "error": f"password={SECRETS['log']}"})
        for decision in shop.decisions:
            store.record(decision, {"cells": {}, "note": f"Bearer {SECRETS['log']}"})


def contents(path: Path) -> dict[str, bytes]:
    with ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_no_secret_is_in_any_file_and_what_is_no_secret_is(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_DB_PASSWORD", SECRETS["env"])
    record(config, 5)
    logs = tmp_path / "data" / "logs"
    logs.mkdir()
    # Bare, in no form that would give it away: only because it is known.
    (logs / "engine.log").write_text(
        f"refused {SECRETS['url']} and {SECRETS['env']}\nx-api-key: {SECRETS['log']}\nall else\n"
    )
    out = tmp_path / "out.zip"
    bundle(config, load(config), out=out)
    files = contents(out)
    whole = b"\n".join(files.values())
    leaked = [name for name, secret in SECRETS.items() if secret.encode() in whole]
    assert leaked == []
    assert b"all else" in files["logs/engine.log"]
    assert b"hooks.example" in files["config.yaml"]
    assert b"eu-1" in files["envoy/0-eu/config_dump.json"]
    assert b"SHOP_DB_PASSWORD" in files["environment.json"], "its name, not what it holds"
    assert yaml.safe_load(files["config.yaml"])["classes"][0]["key_header"] == "x-key"
    assert out.stat().st_mode & 0o077 == 0


def test_a_secret_that_is_also_a_name_stays_and_its_maker_alone_is_told(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_PASSWORD", "checkout")
    monkeypatch.setenv("API_TOKEN", "version")
    logs = tmp_path / "data" / "logs"
    logs.mkdir(parents=True)
    line = {"event": "plan.applied", "version": 7, "is_late": False, "text": "version, checkout"}
    (logs / "engine.log").write_text(json.dumps(line) + "\n")
    made = bundle(config, load(config), out=tmp_path / "out.zip")
    files = contents(made.path)
    assert json.loads(files["logs/engine.log"]) == line | {"text": "(left out), checkout"}
    assert made.left == ("DB_PASSWORD",)
    assert b"DB_PASSWORD" not in files["manifest.json"]


def test_in_what_others_wrote_a_secret_is_left_out_as_key_and_as_number_too(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_PASSWORD", "20261128")
    said = [{"20261128": 20261128, "note": "at 20261128", "starts_at_s": 1}]
    (tmp_path / "events.json").write_text(json.dumps(said))
    bundle(config, load(config), out=tmp_path / "out.zip")
    assert b"20261128" not in contents(tmp_path / "out.zip")["events.json"]


def test_where_a_shell_stands_is_no_secret(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PWD", "/srv/shop")
    monkeypatch.setenv("OLDPWD", "/srv/old")
    monkeypatch.setenv("DB_PWD", SECRETS["env"])
    (tmp_path / "data" / "logs").mkdir(parents=True)
    said = f"/srv/shop and /srv/old are where {SECRETS['env']} is not\n"
    (tmp_path / "data" / "logs" / "engine.log").write_text(said)
    bundle(config, load(config), out=tmp_path / "out.zip")
    kept = contents(tmp_path / "out.zip")["logs/engine.log"].decode()
    assert kept == said.replace(SECRETS["env"], "(left out)")


def test_what_is_missing_is_said_with_the_reason_and_stops_nothing(
    config: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.zip"
    made = bundle(config, load(config), out=out)
    manifest = json.loads(contents(out)["manifest.json"])
    assert manifest["missing"] == dict(made.missing)
    assert "cannot be reached" in made.missing["serve/status.json"]
    assert "there is none" in made.missing["decisions"]
    assert "No such file" in made.missing["state/committed.json"]
    assert manifest["files"].keys() == contents(out).keys() - {"manifest.json"}


def test_decisions_come_newest_first_with_what_they_saw(config: Path, tmp_path: Path) -> None:
    record(config, 5)
    out = tmp_path / "out.zip"
    bundle(config, load(config), out=out)
    lines = contents(out)["decisions/0000.jsonl"].splitlines()
    moments = [json.loads(line)["kept"]["last_s"] for line in lines]
    assert len(moments) >= 2
    assert moments == sorted(moments, reverse=True)


def test_the_bound_is_kept_and_what_did_not_fit_is_said(config: Path, tmp_path: Path) -> None:
    logs = tmp_path / "data" / "logs"
    logs.mkdir(parents=True)
    for name in ("engine.log", "serve.log"):
        (logs / name).write_text("a line that says little\n" * 40_000)
    out = tmp_path / "out.zip"
    made = bundle(config, load(config), out=out, most_bytes=2**20)
    assert out.stat().st_size < 2**20
    assert "exceed the bound" in made.missing["logs/engine.log"]
    with pytest.raises(ConfigError, match="must be at least 1 MiB"):
        bundle(config, load(config), out=out, most_bytes=1000)


def test_a_bundle_that_cannot_be_written_leaves_the_old_one_and_no_trace(
    config: Path, tmp_path: Path
) -> None:
    with pytest.raises(StoreError, match="cannot be written"):
        bundle(config, load(config), out=tmp_path / "nowhere" / "out.zip")
    out = tmp_path / "taken.zip"
    out.mkdir()
    (out / "full").touch()
    with pytest.raises(StoreError, match="cannot be written"):
        bundle(config, load(config), out=out)
    assert not list(tmp_path.glob(".taken.zip.*"))


def test_a_bundle_takes_the_place_of_a_file_only(config: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreError, match="it is no regular file"):
        bundle(config, load(config), out=tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()


def test_half_a_character_in_a_log_spoils_no_bundle(config: Path, tmp_path: Path) -> None:
    logs = tmp_path / "data" / "logs"
    logs.mkdir(parents=True)
    line = {"event": "plan.frozen", "reason": "a \udcff \ud800 b"}
    (logs / "serve.log").write_text(json.dumps(line) + "\n")
    (logs / "engine.log").write_bytes(b"\xff no text\n")
    bundle(config, load(config), out=tmp_path / "out.zip")
    assert json.loads(contents(tmp_path / "out.zip")["logs/serve.log"]) == line


def test_half_a_character_beside_a_known_secret_spoils_no_bundle(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_PASSWORD", "S3cr3t-word")
    logs = tmp_path / "data" / "logs"
    logs.mkdir(parents=True)
    line = {"event": "plan.frozen", "reason": "a \udcff \ud800 b S3cr3t-word"}
    (logs / "serve.log").write_text(json.dumps(line) + "\n")
    bundle(config, load(config), out=tmp_path / "out.zip")
    kept = json.loads(contents(tmp_path / "out.zip")["logs/serve.log"])
    assert kept["reason"] == "a \udcff \ud800 b (left out)"
