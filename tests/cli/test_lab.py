"""The lab's commands from end to end, on a scenario of a minute and three cells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from foreshard.app.lab import board
from foreshard.cli.main import app
from foreshard.config.scenario import load_scenario
from foreshard.lab.trial.claim import Claim

pytestmark = pytest.mark.may_block  # a simulation is computed, nothing is waited for

TINY = """\
name: tiny
family: predictable
about: >
  One of three cells is off for a while, which was announced.
  A good engine has emptied it by then.
duration_s: 60
warm_up_s: 5
pace: 15
regions:
  eu: {cells: 3}
load: {utilisation: 0.4}
faults:
  - {kind: maintenance, cells: [eu-002], at_s: 40, holds_s: 6, known_s: 10}
"""


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY, encoding="utf-8")
    return path


def lab(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "160", "TERM": "dumb"}).invoke(app, ["lab", *arguments])


def play(*arguments: str) -> Result:
    return lab("run", "tiny.yaml", "--core", "fluid", "--jobs", "1", *arguments)


TWO = ("-p", "static", "-p", "sticky")
THREE = (*TWO, "-p", "foreshard-none")


def test_a_run_is_played_shown_explained_and_repeated_to_the_bit(tiny: Path) -> None:
    ran = play(*THREE, "--seeds", "4,5", "--json", "run.json", "--html", "run.html")
    assert ran.exit_code == 0, ran.output
    assert "tiny (predictable, 3 cells, 2 seeds)" in ran.output
    values = json.loads(Path("run.json").read_text(encoding="utf-8"))
    assert values["scenarios"]["tiny"] == TINY
    assert {(r["policy"], r["seed"]) for r in values["runs"]} == {
        (policy, seed) for policy in ("static", "sticky", "foreshard-none") for seed in (4, 5)
    }
    page = Path("run.html").read_text(encoding="utf-8")
    assert "tiny under static, seed 4" in page

    told = lab("explain", "run.json", "--policy", "foreshard-none", "--html", "other.html")
    assert told.exit_code == 0, told.output
    assert "maintenance is announced" in told.output
    assert "relieved of more than a fifth" in told.output
    assert Path("other.html").exists()

    repeated = lab("run", "--from", "run.json", "--seeds", "5")
    assert repeated.exit_code == 0, repeated.output
    assert repeated.output.count("the same to the bit") == 3


def test_a_run_that_is_not_what_the_file_says_is_found_out(tiny: Path) -> None:
    assert play("-p", "static", "--json", "run.json").exit_code == 0
    values = json.loads(Path("run.json").read_text(encoding="utf-8"))
    values["runs"][0]["digest"] = "0" * 64
    Path("run.json").write_text(json.dumps(values), encoding="utf-8")
    repeated = lab("run", "--from", "run.json")
    assert repeated.exit_code == 1
    assert "DIFFERS" in repeated.output


def test_what_is_finished_is_not_played_again(tiny: Path) -> None:
    first, second = play(*TWO), play(*TWO, "-p", "outlier")
    assert "played tiny, static, seed 1" in first.output
    assert "static" not in "\n".join(
        line for line in second.output.splitlines() if line.startswith("played")
    )
    assert "played tiny, outlier, seed 1" in second.output
    tiny.write_text(TINY.replace("0.4}", "0.5}"), encoding="utf-8")
    assert "played tiny, static, seed 1" in play(*TWO).output


def test_the_scoreboard_is_written_and_fails_where_a_claim_does(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("scoreboard", "-s", "tiny.yaml", "--core", "fluid", "--jobs", "1", "--seeds", "1")
    kept = lab(*command, *TWO, "--json", "b.json", "--markdown", "b.md")
    assert kept.exit_code == 0, kept.output
    page = Path("b.md").read_text(encoding="utf-8")
    assert page.startswith("# Scoreboard\n")
    assert "| `tiny` |" in page
    values = json.loads(Path("b.json").read_text(encoding="utf-8"))
    assert {claim["holds"] for claim in values["claims"]} == {None}

    broken = Claim(family="trap", text="no harm", value=1.0, limit=0.0, holds=False)
    monkeypatch.setattr(board, "claims_on", lambda _: (broken,))
    failed = lab(*command, *TWO)
    assert failed.exit_code == 1
    assert "DOES NOT HOLD" in failed.output
    assert "played" not in failed.output


def test_a_new_scenario_reads_back_and_overwrites_nothing(tiny: Path) -> None:
    assert lab("new", "mine.yaml").exit_code == 0
    again = lab("new", "mine.yaml")
    assert again.exit_code == 1
    assert "--force" in again.output
    assert load_scenario("mine.yaml").name == "mine"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run",), "name a scenario"),
        (("run", "nowhere"), "neither a file nor shipped"),
        (("run", "tiny.yaml", "-p", "luck"), "policy 'luck' is unknown; there are static,"),
        (("run", "tiny.yaml", "--seeds", "x"), "seeds are 'x'"),
        (("run", "tiny.yaml", "--core", "solid"), "core 'solid' is unknown"),
        (("run", "tiny.yaml", "--stage", "moon"), "stage is 'moon', must be sim or live"),
        (("run", "--from", "nowhere.json"), "nowhere.json cannot be read"),
        (("run", "--from", "tiny.yaml"), "this is no JSON"),
        (("explain", "empty.json"), "this holds no runs"),
        (("explain", "old.json"), "format is 0, this Foreshard reads 1"),
        (("explain", "none.json"), "no such run among them"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(
    tiny: Path, arguments: tuple[str, ...], says: str
) -> None:
    Path("empty.json").write_text("{}", encoding="utf-8")
    Path("old.json").write_text('{"runs": [], "format": 0}', encoding="utf-8")
    Path("none.json").write_text('{"runs": [], "format": 1}', encoding="utf-8")
    refused = lab(*arguments)
    assert refused.exit_code == 1
    assert says in refused.output
    assert refused.output.count("foreshard:") == 1
    assert "Traceback" not in refused.output


def test_schema_and_list_tell_what_there_is() -> None:
    assert json.loads(lab("schema").output)["type"] == "object"
    listed = lab("list").output
    assert "keyed-leak" in listed
    assert "closed-loop" in listed
