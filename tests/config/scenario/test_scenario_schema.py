from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from foreshard.config.scenario import scenario_schema_text, template_of_scenario
from foreshard.config.scenario.consistency import scenario_contradictions
from foreshard.config.scenario.schema import scenario_schema
from foreshard.config.scenario.settings import ScenarioSettings
from tests.architecture.source import ROOT

PUBLISHED = ROOT / "docs" / "schema" / "scenario.schema.json"
SHELF = sorted((ROOT / "src" / "foreshard" / "lab" / "scenarios").glob("*.yaml"))
VALIDATOR = Draft202012Validator(scenario_schema())
ODD: st.SearchStrategy[object] = (
    st.none()
    | st.booleans()
    | st.integers(-3, 70)
    | st.floats(-2.0, 2.0)
    | st.sampled_from(["", "x", "eu", "eu-001", "leak", "surge", "load", "never", "trap", "ps"])
    | st.just([])
    | st.just({})
)
MORE = """
cell: {cpus: 3, discipline: fifo}
telemetry: {lag_s: 0.2}
classes:
  - {name: a, share: 1, priority: normal, objective_s: 1, timeout_s: 2, cpu_s: 0.1, keyed: true}
"""


def example() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(template_of_scenario() + MORE)
    return values


def paths(values: object, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in a scenario."""
    if at:
        yield at
    if isinstance(values, dict):
        for key, value in values.items():
            yield from paths(value, (*at, key))
    elif isinstance(values, list):
        for number, value in enumerate(values):
            yield from paths(value, (*at, number))


EXAMPLE = example()
PATHS = sorted(paths(EXAMPLE), key=str)


def changed(data: st.DataObject) -> dict[str, Any]:
    values = deepcopy(EXAMPLE)
    where = data.draw(st.sampled_from(PATHS))
    at: Any = values
    for part in where[:-1]:
        at = at[part]
    at[where[-1]] = data.draw(ODD)
    return values


def test_the_published_schema_is_the_one_of_this_version() -> None:
    assert PUBLISHED.read_text(encoding="utf-8") == scenario_schema_text(), (
        "write it anew from config.scenario.scenario_schema_text"
    )


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(scenario_schema())


@pytest.mark.parametrize("file", SHELF, ids=lambda file: file.stem)
def test_every_shipped_scenario_is_valid_against_it(file: Path) -> None:
    values = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert not [error.message for error in VALIDATOR.iter_errors(values)]


def test_the_template_is_valid_against_it() -> None:
    assert not [error.message for error in VALIDATOR.iter_errors(EXAMPLE)]
    assert ScenarioSettings.model_validate(EXAMPLE).name == "my-scenario"


def test_every_key_says_what_it_is_for_and_every_duration_its_unit() -> None:
    whole = scenario_schema()
    objects = [part for part in (whole, *whole["$defs"].values()) if "properties" in part]
    assert len(objects) == 7
    for owner in objects:
        assert owner["description"]
        assert owner["additionalProperties"] is False
        for name, each in properties(owner, whole):
            assert each.get("description"), name
            if name.endswith("_s"):
                assert "econd" in each["description"], f"{name}: {each['description']}"


def properties(
    owner: Mapping[str, Any], whole: Mapping[str, Any]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, each in owner["properties"].items():
        named = each.get("$ref", "").rpartition("/")[2]
        yield name, {**whole["$defs"].get(named, {}), **each}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_what_the_schema_accepts_is_accepted_but_for_contradictions(data: st.DataObject) -> None:
    values = changed(data)
    if VALIDATOR.is_valid(values) and not scenario_contradictions(values):
        assert ScenarioSettings.model_validate(values).noun().sites


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_what_is_accepted_is_accepted_by_the_schema_as_well(data: st.DataObject) -> None:
    values = changed(data)
    try:
        ScenarioSettings.model_validate(values)
    except ValidationError:
        return
    problems = [error.message for error in VALIDATOR.iter_errors(json.loads(json.dumps(values)))]
    # Python reads "true" and 1 as each other; an editor may be stricter than that.
    assert not [p for p in problems if "is not of type" not in p and "is not one of" not in p]
