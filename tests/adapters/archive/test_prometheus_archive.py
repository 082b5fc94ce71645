"""A real Prometheus, filled with a known past; and servers that answer badly."""

from __future__ import annotations

import json
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

from foreshard.adapters.archive.prometheus import PrometheusArchive, Span
from foreshard.controller.process import free_port
from foreshard.model.errors import SourceError
from foreshard.ports import Wanted
from tests.architecture.source import ROOT

STEP_S = 60.0
READY_WITHIN_S = 30.0
# The head of a new store is the present: what is older comes in blocks.
BEGINS_S = float(int(time.time()) // 7200 * 7200 - 14 * 7200)
SAMPLES = 600
WANTED = Wanted(
    columns={
        "memory": 'max by (cell, version) (memory_bytes{shop="a"})',
        "rate": "sum by (cell) (rate(requests_total[5m]))",
    },
    entity="cell",
    group="version",
)


def programs() -> Path:
    script = [str(ROOT / "tests" / "bring_prometheus.sh"), str(ROOT / ".tools" / "prometheus")]
    brought = subprocess.run(script, capture_output=True, text=True, check=False)
    assert brought.returncode == 0, brought.stderr
    return ROOT / brought.stdout.strip()


def memory(cell: int) -> np.ndarray:
    return 1000.0 * (cell + 1) + np.arange(SAMPLES)


def exposition() -> str:
    lines = ["# TYPE memory_bytes gauge"]
    for cell in range(2):
        labels = f'{{cell="cell-{cell}",shop="a",version="1.{cell}"}}'
        lines += [
            f"memory_bytes{labels} {value} {BEGINS_S + STEP_S * i:.0f}"
            for i, value in enumerate(memory(cell))
            # Cell 1 was not heard for half an hour.
            if not (cell == 1 and 200 <= i < 230)
        ]
    lines.append("# TYPE requests counter")
    lines += [
        f'requests_total{{cell="cell-0"}} {120.0 * i} {BEGINS_S + STEP_S * i:.0f}'
        for i in range(SAMPLES)
    ]
    return "\n".join([*lines, "# EOF", ""])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, tools, port = tmp_path_factory.mktemp("prometheus"), programs(), free_port()
    text = folder / "past.txt"
    text.write_text(exposition(), encoding="utf-8")
    made = [tools / "promtool", "tsdb", "create-blocks-from", "openmetrics", text, folder / "db"]
    subprocess.run([str(part) for part in made], check=True, capture_output=True)
    (folder / "prometheus.yml").write_text("global: {}\n", encoding="utf-8")
    started = subprocess.Popen(
        [
            str(tools / "prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'db'}",
            "--storage.tsdb.retention.time=365d",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ]
    )
    try:
        url = f"http://127.0.0.1:{port}"
        _until_ready(url)
        yield url
    finally:
        started.terminate()
        started.wait()


def _until_ready(url: str) -> None:
    deadline_s = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            urllib.request.urlopen(f"{url}/-/ready", timeout=5.0)  # noqa: S310 - our own
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.1)
        else:
            return


def span(samples: int = SAMPLES) -> Span:
    return Span(begins_s=BEGINS_S, ends_s=BEGINS_S + STEP_S * (samples - 1), step_s=STEP_S)


@pytest.mark.e2e
@pytest.mark.timeout(120)
@pytest.mark.may_block  # a process is started and waited for
def test_the_past_of_a_real_server_comes_back_as_it_was(server: str) -> None:
    found = PrometheusArchive(server, span()).read(WANTED)
    assert found.entities == ("cell-0", "cell-1")
    assert found.groups == ("1.0", "1.1")
    own = found.entity == 0
    assert np.array_equal(found.time_s[own], BEGINS_S + STEP_S * np.arange(SAMPLES))
    assert np.array_equal(found.columns["memory"][own], memory(0))
    rate = found.columns["rate"][own]
    assert np.allclose(rate[10:], 2.0)
    other = found.entity == 1
    assert np.isnan(found.columns["rate"][other]).all()
    # A server repeats the last value for five minutes, and then falls silent.
    missing = set(range(SAMPLES)) - set(
        ((found.time_s[other] - BEGINS_S) / STEP_S).astype(int).tolist()
    )
    assert missing == set(range(205, 230)) or missing == set(range(204, 230))


@pytest.mark.e2e
@pytest.mark.timeout(120)
@pytest.mark.may_block
def test_a_long_range_is_asked_for_in_pieces_that_fit(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = PrometheusArchive(server, span()).read(WANTED)
    monkeypatch.setattr("foreshard.adapters.archive.prometheus.MOST_POINTS", 70)
    pieces = PrometheusArchive(server, span()).read(WANTED)
    assert np.array_equal(whole.time_s, pieces.time_s)
    for name, column in whole.columns.items():
        assert np.array_equal(column, pieces.columns[name], equal_nan=True)


@pytest.mark.e2e
@pytest.mark.timeout(120)
@pytest.mark.may_block
@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("memory_bytes{", "answers 400.*parse error"),
        ("nothing_of_that_name", "found no series in the range"),
        ("sum(memory_bytes)", "a series has no label 'cell'"),
        ('{cell="cell-0"}', "two series have cell='cell-0'; add them up"),
    ],
)
def test_a_query_that_does_not_fit_is_refused_in_words(
    query: str, words: str, server: str
) -> None:
    wanted = Wanted(columns={"g": query}, entity="cell")
    with pytest.raises(SourceError, match=words):
        PrometheusArchive(server, span()).read(wanted)


@contextmanager
def answering(body: bytes, status: int = 200) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as there:
        thread = threading.Thread(target=there.serve_forever)
        thread.start()
        try:
            yield f"http://user:secret@127.0.0.1:{there.server_port}"
        finally:
            there.shutdown()
            thread.join()


@pytest.mark.may_block  # a server answers on a thread
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>login</html>", "is it a Prometheus"),
        (json.dumps({"status": "error", "error": "too many"}).encode(), "too many"),
        (json.dumps({"status": "success", "data": {"result": [{}]}}).encode(), "no matrix"),
        (json.dumps([1]).encode(), "answers 200"),
    ],
)
def test_a_server_that_answers_badly_is_refused_and_no_secret_shown(
    body: bytes, words: str
) -> None:
    with answering(body) as url, pytest.raises(SourceError, match=words) as refused:
        PrometheusArchive(url, span(5)).read(WANTED)
    assert "secret" not in str(refused.value)


@pytest.mark.may_block
def test_nobody_there_is_said_so() -> None:
    with pytest.raises(SourceError, match=r"prometheus http://127\.0\.0\.1:\d+: query of memory"):
        PrometheusArchive(f"http://127.0.0.1:{free_port()}", span(5)).read(WANTED)


def test_a_range_that_does_not_rise_is_refused() -> None:
    with pytest.raises(SourceError, match="must rise"):
        Span(begins_s=10.0, ends_s=10.0, step_s=1.0)
