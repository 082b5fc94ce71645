from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from foreshard.config.backtest import (
    BacktestSettings,
    backtest_schema_text,
    load_backtest,
    read_backtest,
)
from foreshard.config.backtest.consistency import backtest_contradictions
from foreshard.model.errors import ConfigError
from tests.architecture.source import ROOT

PUBLISHED = ROOT / "docs" / "schema" / "backtest.schema.json"
SHELF = sorted((ROOT / "examples" / "backtest").glob("*.yaml"))
SCHEMA = json.loads(backtest_schema_text())
VALIDATOR = Draft202012Validator(SCHEMA)
TEXT = """\
name: t
step_s: 60
data: {trusted: {column: fine, equals: 1}, load: {column: rps, query: q, counter: true}}
gauges:
  - {name: a, limit: {quantile: 0.9, of: train, min_headroom: 0.1}, query: a}
  - {name: b, limit: 3.5, column: bb, counter: true, query: b}
breach: {sustain: 2, merge_gap_s: 60, quiet_s: 0}
horizons_s: [60, 600]
train: {until: 2026-05-01T00:00:00Z}
refit_s: 3600
range: {days: 3}
"""


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as refused:
        read_backtest(text, name="spec.yaml")
    return str(refused.value)


def test_what_is_told_is_what_the_lab_gets() -> None:
    outline = read_backtest(TEXT).noun()
    one, two = outline.reading.gauges
    assert one.limit is not None
    assert (one.source, one.limit.quantile, one.limit.min_headroom) == ("a", 0.9, 0.1)
    assert two.limit is not None
    assert (two.source, two.limit.absolute, two.is_counter) == ("bb", 3.5, True)
    assert outline.reading.load is not None
    assert outline.reading.load.is_counter
    assert outline.reading.trusted == ("fine", 1.0)
    assert outline.rule.sustain == 2
    assert outline.train_until_s == 1777593600.0
    assert outline.train_fraction is None
    assert outline.calibration_s == 10 * 86400.0


def test_queries_stand_in_for_columns_and_a_missing_one_is_named() -> None:
    settings_ = read_backtest(TEXT.replace("column: fine", "column: fine, query: up"))
    outline = settings_.noun(from_prometheus=True)
    assert [gauge.source for gauge in outline.reading.gauges] == ["a", "b"]
    assert outline.reading.time == ""
    with pytest.raises(ConfigError, match=r"data\.trusted\.query is missing"):
        read_backtest(TEXT).noun(from_prometheus=True)


@pytest.mark.parametrize(
    ("moment", "seconds"),
    [("2026-05-01", 1777593600.0), ("'2026-05-01T02:00:00+02:00'", 1777593600.0), ("12.5", 12.5)],
)
def test_a_moment_may_be_said_in_several_ways(moment: str, seconds: float) -> None:
    told = TEXT.replace("2026-05-01T00:00:00Z", moment)
    assert read_backtest(told).noun().train_until_s == seconds


def test_everything_that_is_wrong_is_told_at_once_with_its_line() -> None:
    said = refusal(
        "name: x\nstep_s: 60\ngauges:\n - {name: a, limit: {quantile: 3}}\n"
        " - {name: a, limt: 3, limit: -1}\nhorizons_s: [90, 60]\n"
        "train: {fraction: 0.5, until: soon}\nbreach: {sustain: yes}\nrefit_s: 5\n"
    )
    for line in (
        "spec.yaml: 9 to mend",
        "line 4, column 22: gauges.0.limit.quantile is 3, must be less than 1",
        "line 5, column 5: gauges.1.name is 'a', which stands above already",
        "line 5, column 14: gauges.1.limt is unknown, did you mean limit?",
        "line 5, column 23: gauges.1.limit is -1, must be greater than 0",
        "line 6, column 1: horizons_s is [90, 60], must rise, each value once",
        "line 6, column 14: horizons_s.0 is 90, must be a multiple of step_s (60)",
        "train.until is 'soon', must be a moment, such as 2026-05-01T00:00:00Z",
        "line 8, column 10: breach.sustain is True, must be a number",
        "line 9, column 1: refit_s is 5, must be at least step_s (60)",
    ):
        assert line in said, said


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("limit: 3.5, ", ""), ""),
        (("train: {until: 2026-05-01T00:00:00Z}", "train: {}"), "is empty: say fraction or"),
        (("train: {until: 2026-05-01T00:00:00Z}", "train: {fraction: 1}"), "less than 1"),
        (("step_s: 60", "step_s: 0"), "step_s is 0, must be greater than 0"),
    ],
)
def test_single_mistakes_are_refused_in_words(change: tuple[str, str], words: str) -> None:
    told = TEXT.replace(*change)
    if words:
        assert words in refusal(told)
    else:
        assert read_backtest(told).noun().reading.gauges[1].limit is None


def test_gauges_without_any_limit_are_refused_unless_events_are_declared() -> None:
    bare = "name: x\nstep_s: 60\ngauges: [{name: a}]\n"
    assert "have no limit, so nothing can be reached" in refusal(bare)
    assert read_backtest(bare + "events: {column: label}\n").noun().reading.declared == "label"


@pytest.mark.parametrize("file", SHELF, ids=lambda file: file.stem)
def test_every_example_is_valid_in_both_ways(file: Path) -> None:
    assert load_backtest(file).noun().reading.gauges
    values = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert not [error.message for error in VALIDATOR.iter_errors(values)]


def test_the_published_schema_is_the_one_of_this_version() -> None:
    assert PUBLISHED.read_text(encoding="utf-8") == backtest_schema_text(), (
        "write it anew with `foreshard schema backtest`"
    )


def test_the_schema_is_a_schema_and_every_key_says_what_it_is_for() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    for owner in (SCHEMA, *SCHEMA["$defs"].values()):
        for name, each in owner.get("properties", {}).items():
            named = each.get("$ref", "").rpartition("/")[2]
            said = {**SCHEMA["$defs"].get(named, {}), **each}.get("description")
            assert said, name
            if name.endswith("_s"):
                assert "econd" in said, f"{name}: {said}"


EXAMPLE: dict[str, Any] = yaml.safe_load(TEXT.replace("2026-05-01T00:00:00Z", "12"))
ODD: st.SearchStrategy[object] = (
    st.none()
    | st.booleans()
    | st.integers(-3, 700)
    | st.floats(-2.0, 2.0)
    | st.sampled_from(["", "x", "a", "train", "2026-05-01"])
    | st.just([])
    | st.just({})
)


def paths(values: object, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if at:
        yield at
    pairs = values.items() if isinstance(values, dict) else ()
    for key, value in pairs or enumerate(values if isinstance(values, list) else ()):
        yield from paths(value, (*at, key))


PATHS = sorted(paths(EXAMPLE), key=str)


def changed(data: st.DataObject) -> dict[str, Any]:
    values = deepcopy(EXAMPLE)
    where = data.draw(st.sampled_from(PATHS))
    at: Any = values
    for part in where[:-1]:
        at = at[part]
    at[where[-1]] = data.draw(ODD)
    return values


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_what_is_accepted_is_accepted_by_the_schema_as_well(data: st.DataObject) -> None:
    values = changed(data)
    try:
        BacktestSettings.model_validate(values)
    except ValidationError:
        return
    assert VALIDATOR.is_valid(values)
    assert not backtest_contradictions(values)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_what_is_refused_is_refused_with_a_line(data: st.DataObject) -> None:
    text = yaml.safe_dump(changed(data))
    try:
        BacktestSettings.model_validate(yaml.safe_load(text))
    except ValidationError:
        with pytest.raises(ConfigError, match="line "):
            read_backtest(text)
