"""Every command that a reader is told to type is right, and some test runs it."""

from __future__ import annotations

import ast
import re
import runpy
import shutil
import subprocess
import sys
from functools import cache

import pytest

from docs.machinery.commands import commands
from foreshard.lab.cell.faults import FaultKind
from tests.architecture.source import ROOT
from tests.docs.page import Fence, fences, inline_commands, script_of, words_of

# Programs that everybody has, or that the page says one needs.
OTHERS = frozenset(
    {
        ".",
        "cat",
        "cp",
        "curl",
        "envoy",
        "git",
        "grep",
        "kill",
        "ls",
        "mkdir",
        "openssl",
        "python",
        "sed",
        "source",
        "tail",
    }
)
PLACEHOLDER = re.compile(r"[A-Z][A-Z_]*(?:\.\w+)?")
every_fence = pytest.mark.parametrize("fence", fences(), ids=lambda f: f"{f.page}:{f.line}")


@every_fence
def test_every_command_on_a_page_is_one_that_exists(fence: Fence) -> None:
    assert fence.commands, "an empty block of commands"
    for command in fence.commands:
        check(command)


@pytest.mark.parametrize(
    ("page", "command"), sorted(set(inline_commands())), ids=lambda text: text.replace("/", ".")
)
def test_every_command_in_a_sentence_is_one_that_exists(page: str, command: str) -> None:
    program, *words = command.split()
    if program == "foreshard" and " ".join(words) in commands():
        return  # its name alone, without what it needs
    check(command)


@every_fence
def test_every_command_on_a_page_is_run_by_a_test(fence: Fence) -> None:
    keeper = fence.keeper or follower(fence.page)
    assert keeper, (
        "say which test runs it, in a line above it: <!-- run by tests/PATH.py::test_name -->"
    )
    path, _, name = keeper.partition("::")
    assert (ROOT / path).is_file(), f"{path} does not exist"
    assert name in functions(path), f"{path} has no {name}"


def test_the_command_check_can_tell_wrong_from_right() -> None:
    for wrong in (
        "foreshard wyh eu-1",
        "foreshard why",
        "foreshard why eu-1 --loud",
        "foreshard bootstrap x.yaml --admin-port 99999",
        "make damo",
        'make demo ARGS="--sede 7"',
        'make bench ARGS="--sids 1"',
        "frobnicate now",
    ):
        with pytest.raises(AssertionError):
            check(wrong)


def test_nothing_is_read_from_an_empty_page() -> None:
    assert len(fences()) > 15
    assert len(list(inline_commands())) > 20
    assert script_of("docs/how-to/steer-your-envoy.md")[0].startswith("sed ")


def check(command: str) -> None:
    """Whether a command exists, with the arguments it is given; it is not run."""
    words = words_of(command)
    words[0] = words[0].removeprefix(".venv/bin/")
    if words[0] == "foreshard":
        check_foreshard(words[1:], command)
    elif words[0] == "make":
        check_make(words[1:], command)
    else:
        assert words[0] in OTHERS, f"`{command}`: {words[0]} is unknown here"


def check_foreshard(words: list[str], command: str) -> None:
    if words and words[0].startswith("--"):
        assert words in (["--version"], ["--help"]), command
        return
    if not words or PLACEHOLDER.fullmatch(words[0]):
        return
    known = commands()
    length = 2 if " ".join(words[:2]) in known else 1
    name, arguments = " ".join(words[:length]), words[length:]
    assert name in known, f"`{command}`: there is no `foreshard {name}`"
    if "--help" in arguments:
        return
    try:
        known[name].make_context(name, list(arguments))
    except Exception as error:  # noqa: BLE001 - typer's parser has no public tree of errors
        raise AssertionError(f"`{command}`: {error}") from None


def check_make(words: list[str], command: str) -> None:
    made = subprocess.run(
        ["make", "-n", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, f"`{command}`: {made.stderr.strip()}"
    for line in made.stdout.replace("\\\n", " ").splitlines():
        program, *arguments = words_of(line) or [""]
        if program.endswith("/foreshard"):
            check_foreshard(arguments, command)
        elif program.endswith("/python") and arguments[0].startswith("benchmarks/"):
            check_bench(arguments[0], arguments[1:], command)


def check_bench(script: str, arguments: list[str], command: str) -> None:
    """Let the script read its arguments; it is loaded, not run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        patch.setattr(sys, "argv", [script, *arguments])
        read = runpy.run_path(str(ROOT / script))["_options"]
        try:
            read()
        except SystemExit as error:
            raise AssertionError(f"`{command}`: {error}") from None


@cache
def functions(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(n.name for n in tree.body if isinstance(n, kinds))


@cache
def follower(page: str) -> str:
    """A test that reads the page itself, as one does that follows it to the letter."""
    name = page.rpartition("/")[2]
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        if name != "README.md" and name in path.read_text(encoding="utf-8"):
            tests = sorted(t for t in functions(str(path.relative_to(ROOT))) if "test_" in t)
            return f"{path.relative_to(ROOT)}::{tests[0]}" if tests else ""
    return ""


def test_the_programs_that_pages_take_for_granted_are_here() -> None:
    used = {words_of(c)[0] for fence in fences() for c in fence.commands} & OTHERS
    assert [p for p in sorted(used - {".", "envoy", "source"}) if not shutil.which(p)] == []


def test_the_tutorial_names_every_fault_that_a_hand_can_begin() -> None:
    told = (ROOT / "docs" / "tutorial" / "demo.md").read_text(encoding="utf-8")
    by_hand = set(FaultKind) - {FaultKind.MAINTENANCE}
    assert [kind.value for kind in by_hand if f"`{kind}`" not in told] == []
