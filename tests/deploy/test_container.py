"""The Containerfile: linted, and its build stage executed, since there may be no runtime here.

What is not tested is the image itself: that needs a base image and a container runtime.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from foreshard import __version__
from tests.architecture.source import ROOT

FILE = ROOT / "deploy" / "container" / "Containerfile"


def text() -> str:
    return FILE.read_text(encoding="utf-8")


def test_the_linter_finds_nothing() -> None:
    linter = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([str(linter), str(FILE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_runs_as_nobody_in_particular_and_names_no_registry() -> None:
    last = text().rsplit("\nFROM ", 1)[1]
    assert re.search(r"^USER 10001:10001$", last, re.MULTILINE)
    (base,) = re.findall(r"^ARG BASE=(\S+)$", text(), re.MULTILINE)
    assert "/" not in base
    assert set(re.findall(r"^FROM (\S+)", text(), re.MULTILINE)) == {"${BASE}"}


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_the_build_stage_builds_a_foreshard_that_starts(tmp_path: Path) -> None:
    stage = text().split("\nFROM ")[1]
    work = tmp_path / "build"
    work.mkdir()
    for line in re.sub(r"\\\n\s*", "", stage).splitlines():
        word, _, rest = line.partition(" ")
        if word == "COPY":
            *sources, into = rest.split()
            for source in sources:
                copy(ROOT / source, work / into if into != "./" else work / source)
        if word == "RUN":
            here = rest.replace("python -m venv", f"{sys.executable} -m venv")
            for root in ("/foreshard", "/builder"):
                here = re.sub(rf"(?:^|(?<= )){root}\b", f"{tmp_path}{root}", here)
            done = subprocess.run(
                ["sh", "-ec", here], cwd=work, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr[-2000:]
    program = tmp_path / "foreshard" / "bin" / "foreshard"
    said = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == f"foreshard {__version__}"
    config = ROOT / "examples" / "foreshard.yaml"
    made = subprocess.run(
        [str(program), "bootstrap", str(config)], capture_output=True, check=True
    )
    assert b"foreshard-discovery" in made.stdout


def copy(source: Path, into: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, into)
    else:
        shutil.copy(source, into)
