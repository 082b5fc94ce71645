import re
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, modules, project_files

# Put together here, or this file would be the first to name them.
PLACES = ["/" + "work/", "/" + "root/", "/" + "home/", "/" + "tmp/", "/" + "opt/"]
REGISTRIES = [
    "pypi" + ".org",
    "pythonhosted" + ".org",
    "--index" + "-url ",
    "--extra-index" + "-url",
]

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_no_file_knows_a_place_on_somebodys_machine_or_a_registry() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in project_files()
        for word in PLACES + REGISTRIES
        if word in _text(path)
    ]
    assert not found


def test_every_requirement_is_pinned_and_hashed() -> None:
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        entries = re.split(r"\n(?=\S)", path.read_text(encoding="utf-8").strip())
        for entry in entries:
            if not entry.startswith("#"):
                assert re.match(r"[a-z0-9-]+(\[[a-z,]+\])?==\S+", entry), entry[:80]
                assert "--hash=sha256:" in entry, entry[:80]


def test_what_the_project_asks_for_is_locked() -> None:
    wanted = PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["dev"]
    for extra in PROJECT["project"]["optional-dependencies"].values():
        wanted = wanted + extra
    locked = (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8")
    names = {re.split(r"[<>=\[ ]", w)[0] for w in wanted}
    missing = sorted(n for n in names if not re.search(rf"^{n}==", locked, re.MULTILINE))
    assert not missing, "lock them with `make lock`"


def test_the_nouns_import_the_standard_library_only() -> None:
    allowed = {*sys.stdlib_module_names, "foreshard"}
    pattern = re.compile(r"^\s*(?:from|import) (\w+)", re.MULTILINE)
    for module in modules():
        if "/model/" in module.name:
            assert set(pattern.findall(module.text)) <= allowed, module.name


def test_every_entry_point_loads() -> None:
    ours = [e for e in distribution("foreshard").entry_points if e.value.startswith("foreshard")]
    declared = dict(PROJECT["project"]["scripts"])
    for group in PROJECT["project"].get("entry-points", {}).values():
        declared |= group
    assert {e.name for e in ours} >= set(declared), "run `make setup` again"
    for entry_point in ours:
        assert callable(entry_point.load()), entry_point


@pytest.mark.parametrize("target", sorted(set(re.findall(r"[`\n]make ([a-z]+)", README))))
def test_every_make_target_in_the_readme_exists(target: str) -> None:
    assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize("target", re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
def test_every_make_target_is_phony(target: str) -> None:
    phony = re.search(r"^\.PHONY:((?:.*\\\n)*.*)", MAKEFILE, re.MULTILINE)
    assert phony
    assert target in phony.group(1).split()


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`foreshard ([a-z]+)", README))))
def test_every_command_in_the_readme_exists(command: str) -> None:
    from foreshard.cli.main import app  # noqa: PLC0415 - loads the whole program

    names = {c.name or c.callback.__name__ for c in app.registered_commands if c.callback}
    names |= {str(group.name) for group in app.registered_groups}
    assert command in names


@pytest.mark.parametrize("link", re.findall(r"\]\((?!https?:)([^)#]+)", README))
def test_every_link_in_the_readme_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


def test_every_decision_is_in_the_list_and_has_its_parts() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = (folder / "README.md").read_text(encoding="utf-8")
    for path in sorted(folder.glob("[0-9]*.md")):
        text = path.read_text(encoding="utf-8")
        assert path.name in listed
        for part in ("Motivation", "Proposal", "Alternatives", "Consequences"):
            assert f"\n## {part}\n" in text, f"{path.name} has no {part}"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
