"""This module is the source tree as the architecture tests read it."""

from __future__ import annotations

import ast
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "foreshard"


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    path: Path
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def lines(self) -> int:
        return self.text.count("\n")

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"


@cache
def modules() -> tuple[Module, ...]:
    paths = sorted(PACKAGE.rglob("*.py"))
    texts = [path.read_text(encoding="utf-8") for path in paths]
    return tuple(
        Module(path=path, text=text, tree=ast.parse(text))
        for path, text in zip(paths, texts, strict=True)
    )


@cache
def project_files() -> tuple[Path, ...]:
    """Everything that is, or would be, committed."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
    )
    names = listed.stdout.split("\0") if listed.returncode == 0 else _without_git()
    return tuple(sorted(ROOT / name for name in set(names) - {""} if (ROOT / name).is_file()))


def _without_git() -> list[str]:
    """An unpacked archive has no index; then the folders that a commit would hold."""
    kept = [*ROOT.glob("*.*"), ROOT / "Makefile", ROOT / "LICENSE", ROOT / ".ci" / "run"]
    for folder in ("src", "tests", "docs", "requirements"):
        kept += [p for p in (ROOT / folder).rglob("*") if "__pycache__" not in p.parts]
    return [str(path.relative_to(ROOT)) for path in kept]
