from __future__ import annotations

import asyncio
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from foreshard import __version__
from foreshard.adapters.routing.committed import CommittedTable
from foreshard.adapters.routing.envoy.edition import edition
from foreshard.adapters.routing.envoy.render import render
from foreshard.adapters.routing.envoy.snapshot import views
from foreshard.adapters.routing.last_good import LastGood
from foreshard.adapters.routing.seal import Seal
from foreshard.adapters.store.sqlite import SqliteStore
from foreshard.app.places import relay_dir, state_dir
from foreshard.app.serving import envoy_settings
from foreshard.cli.argument import in_one_line
from foreshard.cli.explain import explain
from foreshard.cli.main import app
from foreshard.config import load
from foreshard.lab.steering import demo_config
from foreshard.model.plan import Decision
from foreshard.model.routing import RoutingTable
from tests.adapters.routing.envoy_tables import free_route, keyed_route, table
from tests.architecture.source import ROOT
from tests.engine.shop import Shop, calm, engine_of, fleet_of, leaking
from tests.lab.report.sample import made, text_of
from tests.test_config import site

COMMANDS = (
    *("init", "check", "schema", "run", "serve", "relay", "engine", "web", "foresee"),
    *(
        "bootstrap",
        "eject",
        "status",
        "why",
        "profile",
        "averted",
        "freeze",
        "thaw",
        "health",
        "bundle",
        "replay",
    ),
    *("backtest", "train", "fault", "demo", "report"),
)


def foreshard(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "120", "TERM": "dumb"}).invoke(app, list(arguments))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    values = {**demo_config(site()), "data_dir": "data", "events_file": "events.json"}
    file = tmp_path / "shop.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    return file


@pytest.fixture(autouse=True)
def _no_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_helps(command: str) -> None:
    result = foreshard(command, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.output


def test_help_names_every_command_and_no_other() -> None:
    listed = [c.name or c.callback.__name__ for c in app.registered_commands if c.callback]
    assert sorted(listed) == sorted(COMMANDS)
    result = foreshard("--help")
    assert all(name in result.output for name in COMMANDS)


def test_every_command_says_what_it_does_in_one_sentence() -> None:
    for command in app.registered_commands:
        assert command.callback is not None
        assert (inspect.getdoc(command.callback) or "").rstrip().endswith(".")


def test_the_version_is_told() -> None:
    assert foreshard("--version").output.strip() == f"foreshard {__version__}"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "{missing}"), "cannot be read"),
        (("init", "--cells", "{missing}", "--yes"), "neither a cell"),
        (("init", "--from-envoy", "127.0.0.1:1"), "refuses connections"),
        (("init", "--from-envoy", "http://[::1"), "write it like 127.0.0.1:9901"),
        (("init", "--from-envoy", "ban ana"), "must be host:port, the port 1 to 65535"),
        (("init", "--from-prometheus", "127.0.0.1:1"), "refuses connections"),
        (("init",), "give one of --from-envoy, --from-prometheus and --cells"),
        (("init", "{config}", "--from-envoy", "127.0.0.1:1"), "--force overwrites it"),
        (("init", "--cells", "a=127.0.0.1:1", "--memory-limit", "much"), "like 512MiB"),
        (("init", "--cells", "a=localhost:1"), "must be ip:port"),
        (("init", "--cells", "a=127.0.0.1:1", "--class", "x=nonsense"), "is not understood"),
        (("serve", "{missing}"), "cannot be read"),
        (("engine", "{missing}"), "cannot be read"),
        (("relay", "{missing}"), "cannot be read"),
        (("relay", "{config}"), "envoy.relay is missing: say where the relay listens"),
        (("relay", "{config}", "--origin", "mars"), "origin is 'mars', must be one of"),
        (("eject", "--config", "{missing}"), "cannot be read"),
        (("eject", "--config", "{config}"), "there is no plan to eject: serve process at"),
        (("eject", "--config", "{config}", "--origin", "mars"), "origin is 'mars'"),
        (("bootstrap", "{missing}"), "cannot be read"),
        (("bootstrap", "{config}", "--discovery", "a:99999"), "must be HOST:PORT"),
        (("eject", "--config", "{config}", "--node-id", "a b"), "must be at most 200 letters"),
        (
            ("init", "--cells", "a=127.0.0.1:1", "--admin", "banana"),
            "--admin is 'banana', must be",
        ),
        (
            ("init", "--cells", "a=127.0.0.1:1", "--metrics-path", "@example.org/"),
            "--metrics-path is '@example.org/', must start with '/'",
        ),
        (
            ("init", "--cells", "a=127.0.0.1:1", "--health-path", "/a b"),
            "--health-path is '/a b', must start with '/' and hold no white space",
        ),
        (("init", "--cells", "a=127.0.0.1:1", "--listen", "x:0"), "--listen is 'x:0', must be"),
        (("why", "eu-1", "--config", "{missing}"), "cannot be read"),
        (("why", "eu-1"), "no demo is running"),
        (("why", "mars-1", "--config", "{config}"), "'mars-1' is not in the fleet; it has eu-1"),
        (("why", "eu-1", "--config", "{config}"), "has Foreshard run with this directory?"),
        (("freeze", "holiday"), "no demo is running"),
        (("freeze", "holiday", "--config", "{config}"), "serve"),
        (("thaw", "--config", "{config}"), "serve"),
        (("fault", "eu-1", "leak"), "no demo is running"),
        (("fault", "eu-1", "gremlins"), "'gremlins' is unknown"),
        (("report", "{missing}"), "cannot be read"),
        (("report", "{config}"), "this is no report: it is not JSON"),
    ],
)
def test_what_goes_wrong_is_one_sentence_and_status_1(
    arguments: tuple[str, ...], words: str, config: Path, tmp_path: Path
) -> None:
    filled = [a.format(config=config, missing=tmp_path / "missing.yaml") for a in arguments]
    result = foreshard(*filled)
    assert result.exit_code == 1
    assert result.stderr.startswith("foreshard: ")
    assert words in result.stderr
    assert "Traceback" not in result.output
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr


def test_a_bootstrap_is_yaml_that_names_the_discovery_service(config: Path) -> None:
    result = foreshard("bootstrap", str(config), "--node-id", "edge-7")
    assert result.exit_code == 0
    assert yaml.safe_load(result.output)["node"]["id"] == "edge-7"
    assert "18000" in result.output


def test_a_page_is_drawn_from_figures_alone(tmp_path: Path) -> None:
    figures, drawn = tmp_path / "report.json", tmp_path / "page.html"
    figures.write_text(text_of(made()), encoding="utf-8")
    result = foreshard("report", str(figures), "-o", str(drawn))
    assert result.exit_code == 0, result.output
    assert result.output.strip() == f"report: {drawn}"
    assert drawn.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_page_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    figures = tmp_path / "report.json"
    figures.write_text(text_of(made()), encoding="utf-8")
    result = foreshard("report", str(figures), "-o", str(tmp_path / "nowhere" / "page.html"))
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr


def test_a_bootstrap_names_the_relay_beside_it_if_there_is_one(config: Path) -> None:
    assert "health_checks" not in foreshard("bootstrap", str(config)).output
    values = yaml.safe_load(config.read_text(encoding="utf-8"))
    values["envoy"]["relay"] = "127.0.0.1:18001"
    config.write_text(yaml.safe_dump(values), encoding="utf-8")
    (cluster,) = yaml.safe_load(foreshard("bootstrap", str(config)).output)["static_resources"][
        "clusters"
    ]
    assert [e.get("priority", 0) for e in cluster["load_assignment"]["endpoints"]] == [0, 1]


def committed(config: Path) -> RoutingTable:
    settings = load(config)
    cells = settings.fleet().cells
    names = [cell.name for cell in cells]
    routes = (
        keyed_route(one, [(names[0], 4000), ("", 96)], cells)
        if one.is_keyed
        else free_route(one, dict.fromkeys(names, 1), shed=1)
        for one in settings.request_classes()
    )
    made = table(cells, *routes)
    CommittedTable(settings.data_dir).save(made)
    return made


def test_a_plan_is_ejected_without_a_process_and_says_which_it_is(
    config: Path, tmp_path: Path
) -> None:
    load(config).data_dir.mkdir()
    committed(config)
    file = tmp_path / "envoy.yaml"
    result = foreshard("eject", "--config", str(config), "-o", str(file))
    assert result.exit_code == 0, result.stderr
    assert "cannot be reached" in result.stderr
    assert "this is the last plan 1, committed 20" in result.stderr
    assert not result.stdout
    text = file.read_text(encoding="utf-8")
    assert text.startswith("# A plain Envoy configuration")
    assert "from the last plan 1, committed 20" in text
    assert "foreshard bootstrap" in text.partition("node:")[0]
    assert yaml.safe_load(text)["static_resources"]["listeners"]
    printed = foreshard("eject", "--config", str(config), "--admin-port", "9999")
    assert yaml.safe_load(printed.stdout)["admin"]["address"]["socket_address"] == {
        "address": "127.0.0.1",
        "port_value": 9999,
    }


def test_where_foreshard_never_ran_the_plan_that_a_relay_kept_is_ejected(config: Path) -> None:
    settings = load(config)
    settings.data_dir.mkdir()
    envoy = envoy_settings(settings)
    whole = asyncio.run(
        views(committed(config), lambda one, origin: render(one, origin=origin, settings=envoy))
    )
    (settings.data_dir / "committed.json").unlink()
    LastGood(relay_dir(settings), "eu", Seal()).save(edition("eu", 41, 0.0, whole.of("eu")))
    result = foreshard("eject", "--config", str(config), "--origin", "eu")
    assert result.exit_code == 0, result.stderr
    assert "no plan was ever committed in" in result.stderr
    assert "this is the relay's plan 41, committed 1970-01-01T00:00:00Z" in result.stderr
    assert yaml.safe_load(result.stdout)["static_resources"]["clusters"]


def test_a_place_that_cannot_be_written_is_refused_and_nothing_is_half_written(
    config: Path, tmp_path: Path
) -> None:
    load(config).data_dir.mkdir()
    committed(config)
    missing = tmp_path / "nowhere" / "envoy.yaml"
    result = foreshard("eject", "--config", str(config), "-o", str(missing))
    assert result.exit_code == 1
    assert f"{missing}: cannot be written (No such file or directory)" in result.stderr


def test_a_plan_is_ejected_through_a_link_and_onto_no_pipe(config: Path) -> None:
    load(config).data_dir.mkdir()
    committed(config)
    pipe, link, file = (config.parent / name for name in ("pipe", "link", "envoy.yaml"))
    os.mkfifo(pipe)
    link.symlink_to(file)
    result = foreshard("eject", "--config", str(config), "-o", str(pipe))
    assert result.exit_code == 1
    assert f"{pipe}: cannot be written (it is no regular file); name another" in result.stderr
    assert pipe.is_fifo()
    assert foreshard("eject", "--config", str(config), "-o", str(link)).exit_code == 0
    assert link.is_symlink()
    assert "static_resources" in file.read_text()


@pytest.mark.parametrize("place", [".", "..", "/"])
def test_a_plan_is_not_ejected_onto_a_directory(
    place: str, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(config).data_dir.mkdir()
    committed(config)
    (config.parent / "here").mkdir()
    monkeypatch.chdir(config.parent / "here")
    before = sorted(config.parent.iterdir())
    result = foreshard("eject", "--config", str(config), "-o", place)
    assert result.exit_code == 1
    assert f"{place}: cannot be written (Is a directory)" in result.stderr
    assert "Traceback" not in result.output
    assert sorted(config.parent.iterdir()) == before


@pytest.mark.parametrize(
    ("content", "words"), [(None, "cannot be read"), (b"short", "holds 5 bytes, must be 16")]
)
def test_a_key_file_that_is_no_key_is_refused(
    config: Path, content: bytes | None, words: str
) -> None:
    values = yaml.safe_load(config.read_text(encoding="utf-8"))
    values["envoy"] |= {"relay": "127.0.0.1:18001", "relay_key_file": "key"}
    config.write_text(yaml.safe_dump(values), encoding="utf-8")
    file = config.parent / "key"
    if content is not None:
        file.write_bytes(content)
    for command in ("serve", "relay"):
        result = foreshard(command, str(config))
        assert result.exit_code == 1
        assert f"envoy.relay_key_file is {file}: {words}" in result.stderr


def decided(shop: Shop, config: Path, decisions: list[Decision]) -> None:
    with SqliteStore(state_dir(load(config))) as store:
        for decision in decisions:
            store.record(decision, {})


def test_why_tells_the_latest_decision_about_a_cell_in_plain_words(config: Path) -> None:
    fleet = fleet_of()
    shop = Shop(engine=engine_of(fleet), fleet=fleet)
    shop.run(12, calm(0.0))
    shop.run(3, calm(0.0, eu_2=leaking()))
    decided(shop, config, shop.decisions)
    result = foreshard("why", "eu-2", "--config", str(config))
    assert result.exit_code == 0, result.output
    assert "cell eu-2, " in result.output
    assert "memory reaches its limit in 40 s (80 %: 30 s to 55 s); half of its work" in (
        result.output
    )
    shop.run(5, calm(0.0, eu_2=leaking()))
    decided(shop, config, shop.decisions[15:])
    again = foreshard("why", "eu-2", "--config", str(config))
    assert "all its work" in again.output or "is empty" in again.output


def test_why_tells_that_nothing_was_ever_decided_about_a_cell(config: Path) -> None:
    fleet = fleet_of()
    shop = Shop(engine=engine_of(fleet), fleet=fleet)
    shop.run(2)
    decided(shop, config, shop.decisions)
    result = foreshard("why", "eu-2", "--config", str(config))
    assert result.exit_code == 0
    assert "nothing was ever decided about it" in result.output


def test_a_configuration_that_is_refused_is_one_red_check(tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text("service: x\nnonsense: 1\n", encoding="utf-8")
    result = foreshard("check", str(file), "--json")
    assert result.exit_code == 1
    found = json.loads(result.output)
    assert (found["green"], found["amber"], found["red"]) == (0, 0, 1)
    assert "nonsense is unknown" in found["findings"][0]["says"]
    assert "cells is missing" in found["findings"][0]["says"]


def test_check_says_what_is_lost_where_nothing_is_there(config: Path) -> None:
    result = foreshard("check", str(config))
    assert result.exit_code == 1
    assert "refuse" in result.output
    assert "what is lost, what matters most first" in result.output
    assert not (config.parent / "data").exists()


def test_the_schema_is_printed_as_it_is_published() -> None:
    result = foreshard("schema")
    assert result.exit_code == 0
    assert json.loads(result.output)["title"] == "Foreshard configuration"


def test_an_envoy_listens_on_an_address_though_it_is_asked_by_name(config: Path) -> None:
    config.write_text(config.read_text().replace("admin: 127.0.0.1:", "admin: envoy:"))
    result = foreshard("bootstrap", str(config))
    assert result.exit_code == 1
    assert (
        "--admin-host is 'envoy', must be an IP address that Envoy can listen on" in result.stderr
    )
    result = foreshard("bootstrap", str(config), "--admin-host", "::", "--node-id", "pod~a.ns/7")
    made = yaml.safe_load(result.output)
    assert made["admin"]["address"]["socket_address"]["address"] == "::"
    assert made["node"]["id"] == "pod~a.ns/7"


def test_a_bootstrap_takes_the_admin_port_of_the_balancer(config: Path) -> None:
    result = foreshard("bootstrap", str(config))
    admin = yaml.safe_load(result.output)["admin"]["address"]["socket_address"]
    assert f"127.0.0.1:{admin['port_value']}" == load(config).balancers[0].admin


@pytest.mark.parametrize(
    ("option", "value"),
    [("--node-id", 'a"\nb: c'), ("--admin-host", "0.0.0.0 x"), ("--discovery", "nonsense")],
)
def test_a_bootstrap_takes_no_nonsense(config: Path, option: str, value: str) -> None:
    result = foreshard("bootstrap", str(config), option, value)
    assert result.exit_code == 1
    assert option in result.output


def test_a_pipe_and_a_file_of_strange_keys_are_refused_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    for arguments in (
        ("replay", str(pipe)),
        ("report", str(pipe)),
        ("lab", "explain", str(pipe)),
        ("init", "--cells", str(pipe)),
    ):
        refused = foreshard(*arguments)
        assert refused.exit_code == 1
        assert "is no regular file" in refused.output.replace("\n", " "), arguments
    assert "is no regular file" in foreshard("check", str(pipe)).output.replace("\n", " ")
    file = tmp_path / "keys.yaml"
    file.write_text("".join(f"k{n}: 1\n" for n in range(50_000)), encoding="utf-8")
    assert "has 50000 keys" in foreshard("check", str(file)).output.replace("\n", " ")


def test_a_day_is_the_longest_wait(config: Path) -> None:
    values = yaml.safe_load(config.read_text(encoding="utf-8"))
    values["classes"][0]["timeout_s"] = 1e12
    config.write_text(yaml.safe_dump(values), encoding="utf-8")
    result = foreshard("bootstrap", str(config))
    assert result.exit_code == 1
    assert "timeout_s" in result.output


def test_of_a_silent_cell_no_probability_is_told() -> None:
    now = {
        "phase": "active",
        "load_rps": 1.0,
        "utilisation": {},
        "risk": {"p": {"300": 0.0}},
        "age_s": None,
        "silent": "the page is HTML",
    }
    said = explain("a", None, {"now_s": 0.0, "cells": {"a": now}})
    assert "no metrics (the page is HTML); failure probability unknown" in said


def test_what_a_learned_probability_stands_on_is_told() -> None:
    reason = "memory: level over 15 min 0.93 raises the odds 8.1 times"
    now = {
        "phase": "active",
        "load_rps": 1.0,
        "utilisation": {},
        "risk": {"p": {"300": 0.2}, "model": "ensemble-1", "because": [reason]},
        "age_s": 0.1,
    }
    said = explain("a", None, {"now_s": 0.0, "cells": {"a": now}}).splitlines()
    assert said[-2:] == ["  that stands on ensemble-1", f"    {reason}"]


def test_of_classes_that_moved_it_is_told_what_their_requests_cost() -> None:
    sample = json.loads((ROOT / "docs/samples/why-cell.evacuated.json").read_text())
    cost = {"per_request": 0.012, "low": 0.011, "high": 0.0131, "because": ""}
    costs = {
        name: {"costs": {"cpu": cost}, "category": "light-cpu"}
        for name in ("checkout", "elsewhere")
    }
    said = explain(sample["cell"], sample["record"], None, costs={"classes": costs})
    line = "  a request of checkout costs now: cpu 0.012 (0.011 to 0.0131); light-cpu"
    assert line in said.splitlines()
    assert "elsewhere" not in said
    assert "costs now" not in explain(sample["cell"], sample["record"], None)


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_a_command_whose_standard_files_are_closed_writes_into_no_other(
    closed: tuple[int, ...], config: Path, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    closing = "; ".join(f"os.close({number})" for number in closed)
    run = (
        f"os.execv(sys.executable, [sys.executable, '-m', 'foreshard', 'check', {str(config)!r}])"
    )
    with notes.open("wb") as file:
        done = subprocess.run(
            [sys.executable, "-c", f"import os, sys; {closing}; {run}"],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            check=False,
        )
    assert done.returncode == 1
    said = notes.read_text()
    assert "Traceback" not in said
    assert ("not ready" in said) == (1 not in closed)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("release", "release"),
        ("a\nb \x1b[31m \udcff", "a?b ?[31m ?"),
        ("x" * 501, "x" * 500 + "..."),
    ],
)
def test_a_reason_is_one_line_for_people_whatever_was_typed(typed: str, said: str) -> None:
    assert in_one_line(typed) == said


@pytest.mark.parametrize(("set_to", "found"), [(None, "1"), ("4", "4")])
def test_matrices_have_one_thread_unless_somebody_says_otherwise(
    set_to: str | None, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", set_to or "")
    if set_to is None:
        monkeypatch.delenv("OPENBLAS_NUM_THREADS")
    assert CliRunner().invoke(app, ["schema"]).exit_code == 0
    assert os.environ["OPENBLAS_NUM_THREADS"] == found


def test_no_command_has_loaded_numpy_before_threads_are_counted() -> None:
    code = "import sys, foreshard.cli.main; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
