"""The way out: what is rendered for discovery, with every reference filled in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import run
from typing import Any

import pytest
import yaml

from foreshard.adapters.routing.envoy.render import render
from foreshard.adapters.routing.envoy.settings import EnvoySettings
from foreshard.adapters.routing.envoy.snapshot import snapshot
from foreshard.adapters.routing.envoy.static import static_configuration, static_text
from foreshard.lab.envoy import find_envoy
from tests.adapters.routing.envoy_tables import (
    CHECKOUT,
    REPORT,
    SEARCH,
    cells,
    free_route,
    keyed_route,
    table,
)

FLEET = cells("eu-1", "eu-2", "us-1", nodes=2)
RUNS = [("eu-1", 1024), ("us-1", 512), ("", 512), ("eu-2", 1024), ("eu-1", 1024)]


def configuration() -> dict[str, Any]:
    shop = table(
        FLEET,
        keyed_route(CHECKOUT, RUNS, FLEET),
        free_route(SEARCH, {"eu-1": 40, "eu-2": 40, "us-1": 20}),
        free_route(replace(REPORT, retriable=False), {"eu-1": 30, "us-1": 30}, shed=40),
    )
    settings = EnvoySettings(listen_port=10_000)
    found = asyncio.run(snapshot(render(shop, origin="eu", settings=settings)))
    return static_configuration(found, node_id="edge-eu", region="eu", admin_port=9_901)


def text() -> str:
    return static_text(configuration(), header="What it is.\n\nHow to go back.\n")


def test_a_static_configuration_looks_as_in_the_golden_file(
    golden: Callable[[str, str], None],
) -> None:
    golden("envoy/static.yaml", text())


def test_it_is_yaml_and_the_header_is_a_comment() -> None:
    assert text().startswith("# What it is.\n#\n# How to go back.\n")
    assert yaml.safe_load(text()) == configuration()


def test_it_asks_nobody_for_anything() -> None:
    said = json.dumps(configuration())
    for word in ('"ads"', "eds_config", "scoped_rds", "config_source", "grpc", "lrs_report"):
        assert word not in said, word


def test_everything_that_guards_a_request_is_still_there() -> None:
    clusters = {c["name"]: c for c in configuration()["static_resources"]["clusters"]}
    assert {c["type"] for c in clusters.values()} == {"STATIC"}
    assert all(c["health_checks"] and c["circuit_breakers"] for c in clusters.values())
    free, keyed = clusters["free/search"], clusters["keyed/checkout/eu-1"]
    assert free["outlier_detection"] == keyed["outlier_detection"]
    assert [e.get("priority", 0) for e in keyed["load_assignment"]["endpoints"]] == [0, 1, 1]
    said = json.dumps(configuration()["static_resources"]["listeners"])
    assert "retry_policy" in said
    assert "retry-after" in said
    assert said.count('"http_status": 429') == 2
    weights = [
        (entry["name"].rpartition("/")[2], entry["weight"])
        for entry in scopes()["checkout"]["virtual_hosts"][0]["routes"][0]["route"][
            "weighted_clusters"
        ]["clusters"]
    ]
    assert weights == [(owner or "eu-1", length) for owner, length in RUNS]


def scopes() -> dict[str, Any]:
    (listener,) = configuration()["static_resources"]["listeners"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    inline = manager["scoped_routes"]["scoped_route_configurations_list"]
    return {
        one["name"]: one["route_configuration"] for one in inline["scoped_route_configurations"]
    }


@pytest.mark.e2e
def test_envoy_itself_finds_nothing_wrong_with_it(tmp_path: Path) -> None:
    file = tmp_path / "envoy.yaml"
    file.write_text(text())
    argv = [str(find_envoy()), "--mode", "validate", "-c", str(file), "--log-level", "error"]
    done = run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
