from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from envoy.service.load_stats.v3.lrs_pb2 import LoadStatsRequest
from typer.testing import CliRunner

from foreshard.app.lab.looping import bench_loop
from foreshard.cli.main import app
from foreshard.lab.loop_bench.day import Day
from foreshard.lab.loop_bench.estate import Size, estate
from foreshard.lab.loop_bench.stopwatch import Stopwatch
from foreshard.lab.loop_bench.telemetry import Exporters, Reporters
from foreshard.model.errors import LabError

SMALL = Size(cells=10, classes=5, regions=2, proxies=4)


def test_a_turn_goes_the_whole_way_from_pages_to_encoded_routes() -> None:
    told: list[float] = []
    figures = bench_loop(SMALL, turns=6, seed=3, progress=told.append)
    done = figures.done
    assert (done.pages, done.reports) == (60, 24)
    assert done.plans >= 1
    assert done.resources >= done.plans
    assert done.sent_mb > 0.0
    assert done.synced == SMALL.proxies, "all proxies hold what is live"
    assert {"scrape", "reports", "forecast", "solve", "render", "encode"} <= set(figures.stages_ms)
    assert 0.0 < figures.tick_ms_p50 <= figures.tick_ms_p99
    assert figures.rss_mb > 10.0
    assert told[-1] == 1.0


def test_the_command_prints_a_table_and_writes_the_figures(tmp_path: Path) -> None:
    out = tmp_path / "loop.json"
    sizes = ["--cells", "5", "--classes", "5", "--proxies", "5", "--turns", "2"]
    done = CliRunner().invoke(app, ["bench", "loop", *sizes, "--json", str(out)])
    assert done.exit_code == 0, done.output
    assert "scrape" in done.output
    assert "discovery." not in done.output, "a line for every proxy"
    figures = json.loads(out.read_text(encoding="utf-8"))
    assert {"tick_ms_p50", "tick_ms_p99", "stages_ms", "rss_mb"} <= figures.keys()
    assert sum(figures["stages_ms"].values()) > 0.0
    assert figures["done"]["pages"] == 10


def test_what_is_reported_is_what_was_sent() -> None:
    there = estate(SMALL, seed=5)
    moment = Day(there, seconds=3, seed=5).next(there.at_home(), now_s=1.0)
    reporters = Reporters(there, seed=5)
    rows = [
        row
        for body in reporters.reports(moment)
        for cluster in LoadStatsRequest.FromString(body).cluster_stats
        for row in cluster.upstream_locality_stats
    ]
    assert sum(row.total_issued_requests for row in rows) == moment.served.sum()
    pages = Exporters(there, start_s=0.0).pages(moment)
    assert len(pages) == SMALL.cells
    assert all(b"process_cpu_seconds_total " in page for page in pages.values())


def test_equal_seeds_make_equal_days() -> None:
    there = estate(SMALL, seed=5)
    a, b = (Day(there, seconds=3, seed=5).next(there.at_home(), now_s=1.0) for _ in range(2))
    assert np.array_equal(a.served, b.served)


def test_a_stage_within_another_is_told_apart() -> None:
    watch = Stopwatch()
    with watch.turn(), watch.stage("outer"):
        watch.timed("inner", lambda: sum(range(200_000)))()
    (turn,) = watch.turns
    assert set(turn) == {"rest", "outer", "inner"}
    assert min(turn.values()) > 0.0


@pytest.mark.parametrize(
    ("change", "message"),
    [({"cells": 1}, "cells is 1"), ({"proxies": 1}, "proxies is 1"), ({"regions": 0}, "regions")],
)
def test_a_size_that_cannot_be_is_refused(change: dict[str, int], message: str) -> None:
    with pytest.raises(LabError, match=message):
        replace(SMALL, **change)
