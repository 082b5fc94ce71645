from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from foreshard.cli.main import app
from foreshard.lab.routing_bench.contest import compete
from foreshard.lab.routing_bench.rival import rendezvous, ring
from foreshard.model.errors import LabError

KEYS = [f"key-{i}" for i in range(40_000)]


def test_rendezvous_gives_every_cell_its_share() -> None:
    choose = rendezvous([1.0, 2.0, 5.0])
    counted = Counter(choose(key) for key in KEYS)
    for cell, weight in enumerate((1.0, 2.0, 5.0)):
        assert counted[cell] / len(KEYS) == pytest.approx(weight / 8.0, abs=0.01)


def test_rendezvous_moves_only_what_a_lost_cell_had() -> None:
    whole, less = rendezvous([1.0, 1.0, 1.0]), rendezvous([1.0, 1.0])
    assert all(whole(key) == less(key) for key in KEYS[:5_000] if whole(key) != 2)


def test_a_ring_is_a_circle_and_gives_about_its_share_to_every_cell() -> None:
    choose = ring([1.0, 3.0])
    counted = Counter(choose(key) for key in KEYS)
    assert counted[1] / len(KEYS) == pytest.approx(0.75, abs=0.08)
    assert set(map(ring([1.0]), KEYS[:1_000])) == {0}


def test_all_are_timed() -> None:
    figures = compete(cells=3, seed=1, keys=200, turns=1)
    assert min(figures.route_ns, figures.batch_ns) > 0.0
    assert min(figures.rendezvous_ns, figures.bisect_ns) > 0.0


def test_more_cells_than_there_can_be_are_refused() -> None:
    with pytest.raises(LabError, match="1 to 60,000"):
        compete(cells=10**9, seed=1)


def test_the_command_prints_a_table_and_writes_the_figures(tmp_path: Path) -> None:
    out = tmp_path / "route.json"
    done = CliRunner().invoke(app, ["bench", "route", "--cells", "4", "--json", str(out)])
    assert done.exit_code == 0, done.output
    assert "rendezvous" in done.output
    figures = json.loads(out.read_text(encoding="utf-8"))
    assert {"route_ns", "batch_ns", "rendezvous_ns", "bisect_ns"} <= set(figures)
    assert figures["cells"] == 4


def test_a_file_that_cannot_be_written_is_said_in_one_sentence(tmp_path: Path) -> None:
    to = str(tmp_path / "no" / "where.json")
    done = CliRunner().invoke(app, ["bench", "route", "--cells", "2", "--json", to])
    assert done.exit_code == 1
    assert "cannot be written" in done.output
