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

from foreshard.config import Settings
from foreshard.config.consistency import contradictions
from foreshard.config.schema import schema, schema_text
from tests.architecture.source import ROOT
from tests.test_config import text

PUBLISHED = ROOT / "docs" / "schema" / "foreshard.schema.json"
VALIDATOR = Draft202012Validator(schema())
ODD: st.SearchStrategy[object] = (
    st.none()
    | st.booleans()
    | st.integers(-3, 70_000)
    | st.floats(-2.0, 2.0)
    | st.sampled_from(["", "x", "eu", "/p", "127.0.0.1:9", "1.2.3.4:70000", "act", "normal"])
    | st.just([])
    | st.just({})
)


def paths(values: object, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in a configuration."""
    if at:
        yield at
    if isinstance(values, dict):
        for key, value in values.items():
            yield from paths(value, (*at, key))
    elif isinstance(values, list):
        for number, value in enumerate(values):
            yield from paths(value, (*at, number))


def example() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(text())
    return values


EXAMPLE = example()
PATHS = sorted(paths(EXAMPLE), key=str)


def test_the_published_schema_is_the_one_of_this_version() -> None:
    assert PUBLISHED.read_text(encoding="utf-8") == schema_text(), (
        "write it anew: foreshard schema > docs/schema/foreshard.schema.json"
    )


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("file", sorted((ROOT / "examples").glob("foreshard*.yaml")))
def test_every_example_is_valid_against_it(file: Path) -> None:
    values = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert not [error.message for error in VALIDATOR.iter_errors(values)]


def test_the_demo_s_configuration_is_valid_against_it() -> None:
    assert not [error.message for error in VALIDATOR.iter_errors(example())]


def test_every_setting_says_what_it_is_for_and_every_duration_its_unit() -> None:
    def settings_of(part: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for name, each in part.get("properties", {}).items():
            named = each.get("$ref", "").rpartition("/")[2]
            yield name, {**whole["$defs"].get(named, {}), **each}

    whole = schema()
    for owner in (whole, *whole["$defs"].values()):
        assert owner["description"]
        assert owner["additionalProperties"] is False
        for name, each in settings_of(owner):
            assert each.get("description"), name
            if name.endswith("_s"):
                assert "econd" in each["description"], f"{name}: {each['description']}"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_what_the_schema_accepts_is_accepted_but_for_contradictions(data: st.DataObject) -> None:
    values = deepcopy(EXAMPLE)
    for _ in range(data.draw(st.integers(1, 3))):
        where = data.draw(st.sampled_from(PATHS))
        replace_at(values, where, data.draw(ODD))
    if not VALIDATOR.is_valid(values):
        return
    if not contradictions(values):
        assert Settings.model_validate(values).cells


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_what_is_accepted_is_accepted_by_the_schema_as_well(data: st.DataObject) -> None:
    values = deepcopy(EXAMPLE)
    replace_at(values, data.draw(st.sampled_from(PATHS)), data.draw(ODD))
    try:
        Settings.model_validate(values)
    except ValidationError:
        return
    problems = [error.message for error in VALIDATOR.iter_errors(json.loads(json.dumps(values)))]
    # Python reads "true" and 1 as each other; an editor may be stricter than that.
    assert not [p for p in problems if "is not of type" not in p and "is not one of" not in p]


def replace_at(values: dict[str, Any], where: tuple[str | int, ...], new: object) -> None:
    at: Any = values
    for part in where[:-1]:
        try:
            at = at[part]
        except (KeyError, IndexError, TypeError):
            return
    last = where[-1]
    if isinstance(last, str) and isinstance(at, dict):
        at[last] = deepcopy(new)
    if isinstance(last, int) and isinstance(at, list) and last < len(at):
        at[last] = deepcopy(new)
