"""Commands of pages that need nothing that runs are typed as they stand."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.architecture.source import ROOT
from tests.docs.page import script_of


def typed(page: str, folder: Path) -> list[subprocess.CompletedProcess[str]]:
    """Type a page's commands in a folder that has the examples."""
    shutil.copytree(ROOT / "examples", folder / "examples")
    done = []
    for command in script_of(page):
        program, *words = command.split()
        assert program == "foreshard"
        argv = [sys.executable, "-m", "foreshard", *words]
        done.append(subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False))
    assert done, f"{page} has no command"
    return done


def test_asking_for_help_makes_a_zip_even_where_nothing_runs(tmp_path: Path) -> None:
    (said,) = typed("docs/how-to/ask-for-help.md", tmp_path)
    assert said.returncode == 0, said.stderr
    assert (tmp_path / "foreshard-bundle.zip").is_file()
    assert "not in it" in said.stdout


def test_where_nothing_runs_nothing_is_well(tmp_path: Path) -> None:
    for said in typed("docs/how-to/upgrade.md", tmp_path):
        assert said.returncode == 1
        assert said.stderr


def test_help_names_the_format_of_logs(tmp_path: Path) -> None:
    (said,) = typed("docs/how-to/logs.md", tmp_path)
    assert said.returncode == 0
    assert "--log-format" in said.stdout
