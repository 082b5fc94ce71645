from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from foreshard.app import logs
from foreshard.app.logs import configure
from foreshard.model.errors import ConfigError

SAY = """
import logging, structlog, sys
from foreshard.app import logs
logs.MAX_BYTES = 10_000
logs.configure(sys.argv[1])
log = structlog.get_logger("x")
log.info("decision", cell="eu-1", code="cell.doubted", text="half of its work leaves")
log.warning("driver.failed", error="http://bob:hidden-word@hooks refused", password="hidden-word")
logging.getLogger("library").warning("late by %s s", 3)
for number in range(int(sys.argv[2])):
    log.info("number", number=number)
"""


def say(form: str, count: int = 0, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SAY, form, str(count)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
        env={**os.environ, **variables},
    )
    return done.stdout


def test_json_is_one_object_a_line_with_time_level_and_event() -> None:
    lines = [json.loads(line) for line in say("json").splitlines()]
    assert [line["event"] for line in lines] == ["decision", "driver.failed", "library.said"]
    assert lines[0]["cell"] == "eu-1"
    assert lines[2]["text"] == "late by 3 s"
    assert all(line["timestamp"].endswith("Z") and line["level"] for line in lines)


def test_people_read_a_sentence() -> None:
    first = say("people").splitlines()[0]
    assert "eu-1: half of its work leaves" in first
    assert "\x1b" not in first, "no colours outside of a terminal"


@pytest.mark.parametrize("form", ["json", "people"])
def test_no_secret_reaches_a_log(form: str) -> None:
    said = say(form)
    assert "hidden-word" not in said
    assert "driver.failed" in said


def test_a_format_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match="'xml', must be one of json, people"):
        configure("xml")


def test_a_log_file_is_bounded_and_loses_no_line(tmp_path: Path) -> None:
    file = tmp_path / "engine.log"
    with file.open("ab") as out:
        subprocess.run(
            [sys.executable, "-c", SAY, "json", "300"],
            stdout=out,
            stderr=out,
            check=True,
            env={**os.environ, "FORESHARD_LOG_FILE": str(file)},
        )
    files = [file.with_name(f"engine.log.{n}") for n in (3, 2, 1)] + [file]
    texts = [f.read_text() for f in files if f.exists()]
    assert len(texts) >= 3
    assert all(len(text) < 11_000 for text in texts)
    numbers = [json.loads(line).get("number") for text in texts for line in text.splitlines()]
    assert [n for n in numbers if n is not None] == list(range(300))


def test_only_so_many_old_files_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "engine.log"
    with file.open("ab") as out:
        subprocess.run(
            [sys.executable, "-c", SAY, "json", "900"],
            stdout=out,
            stderr=out,
            check=True,
            env={**os.environ, "FORESHARD_LOG_FILE": str(file)},
        )
    assert len(list(tmp_path.iterdir())) == logs.KEPT + 1
