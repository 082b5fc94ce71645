"""What is generated for the reference is whole: nothing in the code is without its words."""

from __future__ import annotations

import tomllib
from xml.etree import ElementTree as ET

import pytest
import yaml

from docs.machinery import commands, configuration, lifecycle, reasons, samples, source
from foreshard.planning.objections import GUARDS
from foreshard.planning.phases import TRANSITIONS, Phase
from tests.architecture.source import ROOT
from tests.engine.shop import Shop, calm, engine_of, fleet_of, leaking


def test_every_reason_that_the_code_gives_is_explained_and_no_other() -> None:
    given = {saying.code for saying in source.sayings()}
    listed = set(reasons.documented())
    assert not given - listed, "explain them in docs/reference/reasons.yaml"
    assert not listed - given, "no code gives them; take them out of docs/reference/reasons.yaml"
    for code, told in reasons.documented().items():
        assert set(told) == {"means", "do"}, code
        assert all(text.strip().endswith(".") for text in told.values()), code


def test_a_reason_that_is_given_at_run_time_is_found_in_the_source() -> None:
    fleet = fleet_of()
    shop = Shop(engine=engine_of(fleet), fleet=fleet)
    shop.run(12, calm(0.0))
    shop.run(20, calm(0.0, eu_2=leaking()))
    said = {r.code for d in shop.decisions for r in (*d.routing.because, *d.alternatives)}
    assert "cell.doubted" in said
    assert said <= {saying.code for saying in source.sayings()}


def test_every_guard_is_in_the_table() -> None:
    table = reasons.guards_table()
    assert table.count("\n") == len(GUARDS) + 2
    assert "|  |" not in table


def test_every_key_of_the_configuration_says_what_it_means() -> None:
    silent = [key.path for key in configuration.every_key() if not key.meaning]
    assert not silent, "give the field a description in config/settings.py"


def test_every_key_of_the_example_is_in_the_reference() -> None:
    known = {key.path.replace("[]", "") for key in configuration.every_key()}
    example = yaml.safe_load((ROOT / "examples" / "foreshard.yaml").read_text(encoding="utf-8"))
    free = ("classes.needs", "latency_ms")
    found = {path for path in _paths(example, "") if not path.startswith(free)}
    assert found
    assert found <= known


def _paths(value: object, prefix: str) -> set[str]:
    if isinstance(value, dict):
        return {p for k, v in value.items() for p in {f"{prefix}{k}", *_paths(v, f"{prefix}{k}.")}}
    if isinstance(value, list):
        return {p for item in value for p in _paths(item, prefix)}
    return set()


def test_every_command_is_in_the_reference_with_its_options() -> None:
    page = commands.commands_page()
    for name, command in commands.commands().items():
        assert f"\n## foreshard {name}\n" in page
        assert all(option in page for p in command.params for option in p.opts if "--" in option)


def test_the_life_of_a_cell_is_drawn_whole() -> None:
    picture = ET.fromstring(lifecycle.lifecycle_svg())  # noqa: S314 - our own
    texts = {text.strip() for text in picture.itertext()}
    assert {p.value for p in Phase} <= texts
    assert {trigger.value for _, trigger in TRANSITIONS} <= texts
    assert lifecycle.lifecycle_table().count("\n") == len(TRANSITIONS) + 1


def test_recorded_runs_are_told_in_the_words_of_today() -> None:
    assert samples.why_text("cell.doubted").startswith("cell eu-2, ")
    assert "frozen: lunch" in samples.why_text("cell.doubted", frozen="lunch")
    assert "weighted bad requests per fault" in samples.report_text()
    picture = samples.screen_svg()
    assert "http" not in picture.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert ET.fromstring(picture).tag.endswith("svg")  # noqa: S314 - our own


@pytest.mark.parametrize("name", ["sphinx", "furo", "myst-parser"])
def test_what_builds_the_pages_is_not_installed_with_the_program(name: str) -> None:
    run = (ROOT / "requirements" / "run.txt").read_text(encoding="utf-8")
    dev = (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8")
    assert f"\n{name}==" not in run
    assert f"\n{name}==" in dev
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert name in groups["dependency-groups"]["docs"]
