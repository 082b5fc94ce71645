"""`foreshard backtest` from end to end, on the sample that is shipped."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs

import duckdb
import numpy as np
import pytest
from examples.backtest.make_sample import columns
from typer.testing import CliRunner, Result

from foreshard.cli.main import app
from tests.architecture.source import ROOT

pytestmark = pytest.mark.may_block  # models are fitted, nothing is waited for

EXAMPLES = ROOT / "examples" / "backtest"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("sample.parquet", "sample.yaml"):
        shutil.copy(EXAMPLES / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def backtest(*arguments: str) -> Result:
    runner = CliRunner(env={"COLUMNS": "160", "TERM": "dumb"})
    return runner.invoke(app, ["backtest", *arguments])


SAMPLE = ("--data", "sample.parquet", "--spec", "sample.yaml")


def test_the_sample_is_backtested_shown_written_and_logged(folder: Path) -> None:
    ran = backtest(*SAMPLE, "-m", "trend", "--html", "backtest.html", "--json", "backtest.json")
    assert ran.exit_code == 0, ran.output
    assert "within 2 h" in ran.output
    assert "Had trend been on, looking 2 h ahead: " in ran.output
    values = json.loads(Path("backtest.json").read_text(encoding="utf-8"))
    assert list(values["models"]) == ["trend", "headroom", "predict-linear", "random"]
    assert values["sentences"][0] in ran.output
    assert values["sentences"][0] in Path("backtest.html").read_text(encoding="utf-8")
    log = Path("sample.scorings.jsonl").read_text(encoding="utf-8").splitlines()
    line = json.loads(log[0])
    assert len(log) == 1
    assert line["data_sha256"] == sha256(Path("sample.parquet").read_bytes()).hexdigest()
    figures = values["models"]["trend"]["horizons"][1]
    assert line["models"]["trend"]["7200"]["pr_auc"] == figures["pr_auc"]


def test_several_models_are_walked_and_their_forecasts_written(folder: Path) -> None:
    ran = backtest(
        *SAMPLE, "-m", "headroom", "-m", "seasonal-naive", "--forecasts", "f.parquet", "-q"
    )
    assert ran.exit_code == 0, ran.output
    found = duckdb.execute(
        "SELECT model, horizon_s, count(*), min(p), max(p) FROM 'f.parquet' GROUP BY 1, 2"
    )
    rows = {(model, h): (n, low, high) for model, h, n, low, high in found.fetchall()}
    assert set(rows) == {(m, h) for m in ("headroom", "seasonal-naive") for h in (1800.0, 7200.0)}
    assert len({n for n, _, _ in rows.values()}) == 1
    assert all(0.0 <= low < high <= 1.0 for _, low, high in rows.values())


def test_forecasts_of_one_model_have_four_columns_and_known_moments(folder: Path) -> None:
    ran = backtest(*SAMPLE, "-m", "headroom", "--forecasts", "f.parquet", "-q")
    assert ran.exit_code == 0, ran.output
    told = duckdb.execute("SELECT * FROM 'f.parquet'")
    assert [each[0] for each in told.description or ()] == ["entity", "ts", "horizon_s", "p"]
    strange = duckdb.execute(
        "SELECT count(*) FROM 'f.parquet' f ANTI JOIN 'sample.parquet' s "
        "ON s.cell = f.entity AND epoch(s.moment) = f.ts"
    ).fetchall()
    total = duckdb.execute("SELECT count(*) FROM 'f.parquet'").fetchall()
    # Gaps of single samples are scored too: the last reading is still fresh.
    assert strange[0][0] < 0.01 * total[0][0]


def test_the_sample_is_the_one_that_is_made() -> None:
    made = columns()
    kept = duckdb.execute(
        "SELECT cell, epoch(moment)::BIGINT AS moment, cpu_ratio, memory_bytes, disk_ratio, "
        "requests_total FROM read_parquet(?)",
        [str(EXAMPLES / "sample.parquet")],
    ).fetchnumpy()
    order = np.lexsort((made["moment"], made["cell"]))
    for name in ("moment", "cpu_ratio", "memory_bytes", "disk_ratio", "requests_total"):
        assert np.array_equal(made[name][order], kept[name]), name


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--spec", "sample.yaml"), "give --data FILE or --prometheus URL"),
        ((*SAMPLE, "--prometheus", "http://x"), "one of the two"),
        ((*SAMPLE, "-m", "trent"), "model 'trent' is not registered; did you mean trend?"),
        (("--data", "no.parquet", "--spec", "sample.yaml"), "there is no such file"),
        (("--data", "sample.parquet", "--spec", "no.yaml"), "no.yaml: cannot be read"),
    ],
)
def test_a_wrong_order_is_refused_in_a_sentence(
    arguments: tuple[str, ...], words: str, folder: Path
) -> None:
    ran = backtest(*arguments)
    assert ran.exit_code == 1
    assert words in ran.output
    assert "Traceback" not in ran.output


def test_a_gauge_that_is_not_in_the_data_is_refused_and_nothing_is_logged_as_scored(
    folder: Path,
) -> None:
    spec = Path("sample.yaml")
    told = spec.read_text(encoding="utf-8").replace("cpu_ratio", "cpu_ration")
    spec.write_text(told, encoding="utf-8")
    ran = backtest(*SAMPLE)
    assert ran.exit_code == 1
    assert "no column 'cpu_ration' (gauge cpu); did you mean 'cpu_ratio'?" in ran.output
    log = Path("sample.scorings.jsonl")
    assert not log.exists() or not log.read_text(encoding="utf-8")


def test_a_spec_in_a_folder_that_cannot_be_written_to_scores_nothing(folder: Path) -> None:
    Path("sample.scorings.jsonl").mkdir()
    ran = backtest(*SAMPLE)
    assert ran.exit_code == 1
    assert "every scoring is logged beside its spec" in ran.output


@contextmanager
def prometheus() -> Iterator[str]:
    """What the sample's memory would be in a Prometheus, as its range queries answer."""
    table = columns()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            begins_s, ends_s = (float(form[key][0]) for key in ("start", "end"))
            result = []
            for cell in sorted(set(table["cell"].tolist())):
                own = table["cell"] == cell
                at, values = table["moment"][own], table["memory_bytes"][own]
                inside = (at >= begins_s) & (at <= ends_s)
                pairs = zip(at[inside].tolist(), map(str, values[inside].tolist()), strict=True)
                result.append({"metric": {"cell": cell}, "values": list(pairs)})
            body = json.dumps({"status": "success", "data": {"result": result}}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as there:
        thread = Thread(target=there.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{there.server_port}"
        finally:
            there.shutdown()
            thread.join()


SPEC = """\
name: memory
step_s: 300
data: {entity: cell}
range: {days: 14, until: 2026-01-15T00:00:00Z}
gauges:
  - {name: memory, query: max by (cell) (memory_bytes), limit: 4_200_000_000}
breach: {sustain: 2}
horizons_s: [7200]
calibration_days: 2
"""


def test_a_prometheus_is_backtested(folder: Path) -> None:
    Path("shop.yaml").write_text(SPEC, encoding="utf-8")
    with prometheus() as url:
        ran = backtest("--prometheus", url, "--spec", "shop.yaml", "-m", "headroom")
    assert ran.exit_code == 0, ran.output
    assert "Had headroom been on, looking 2 h ahead: " in ran.output


def test_the_schema_of_backtests_is_printed() -> None:
    ran = CliRunner().invoke(app, ["schema", "backtest"])
    published = ROOT / "docs" / "schema" / "backtest.schema.json"
    assert ran.output == published.read_text(encoding="utf-8")
    wrong = CliRunner().invoke(app, ["schema", "nothing"])
    assert wrong.exit_code == 1
    assert "must be one of configuration, backtest" in wrong.output
