"""This module is the commands that README and documentation tell a reader to type."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.architecture.source import ROOT, project_files

__all__ = ["Fence", "fences", "inline_commands", "pages", "script_of", "words_of"]

# Also one that stands in a list, a little further in.
FENCE = re.compile(r"^ *(```|~~~)(\w*)[^\n]*\n(.*?)^ *\1\s*$", re.MULTILINE | re.DOTALL)
SHELLS = ("sh", "bash", "shell", "console")
KEEPER = re.compile(r"<!-- run by (\S+::\S+) -->")
INLINE = re.compile(r"`((?:foreshard|make) [\w-]+(?: [^`]+)?)`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """One block of commands.

    Attributes:
        page: Relative to the project.
        line: Where it begins.
        commands: As typed, continued lines joined, comments gone.
        keeper: The test that runs them, `path::name`; "" = the page does not say.
    """

    page: str
    line: int
    commands: tuple[str, ...]
    keeper: str


@cache
def pages() -> tuple[Path, ...]:
    """README and every page that is written by hand."""
    docs = ROOT / "docs"
    written = [p for p in project_files() if p.suffix == ".md" and docs in p.parents]
    return (ROOT / "README.md", *written)


@cache
def fences() -> tuple[Fence, ...]:
    """Every block of commands on every page."""
    return tuple(fence for page in pages() for fence in _fences(page))


def script_of(page: str) -> tuple[str, ...]:
    """All commands of a page, in order."""
    found = tuple(c for fence in fences() if fence.page == page for c in fence.commands)
    assert found, f"{page} has no commands"
    return found


def words_of(command: str) -> list[str]:
    """The words of a command up to a pipe, a redirection or a background sign."""
    words = shlex.split(command)
    ends = [i for i, word in enumerate(words) if re.fullmatch(r"\||\d?>{1,2}|&&?|<|;", word)]
    return words[: min(ends)] if ends else words


def inline_commands() -> Iterator[tuple[str, str]]:
    """Commands within sentences, with their page; `CAPITALS` stand for what a reader puts in."""
    for page in pages():
        text = FENCE.sub("", page.read_text(encoding="utf-8"))
        for found in INLINE.finditer(text):
            yield _name(page), found.group(1).replace("\n", " ")


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def _fences(page: Path) -> Iterator[Fence]:
    text = page.read_text(encoding="utf-8")
    keeper = ""
    said = sorted((m.start(), m.group(1)) for m in KEEPER.finditer(text))
    for found in FENCE.finditer(text):
        if found.group(2) not in SHELLS:
            continue
        # What stands nearest above holds until another is named.
        keeper = next((name for at, name in reversed(said) if at < found.start()), "")
        commands = _commands(found.group(3), is_session=found.group(2) == "console")
        line = text.count("\n", 0, found.start()) + 1
        yield Fence(page=_name(page), line=line, commands=commands, keeper=keeper)


def _commands(block: str, *, is_session: bool) -> tuple[str, ...]:
    lines = block.replace("\\\n", " ").splitlines()
    if is_session:
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    bare = [" ".join(_uncommented(line).split()) for line in lines]
    return tuple(line for line in bare if line)


def _uncommented(line: str) -> str:
    return re.sub(r"(^|\s)#\s.*$", "", line)
