from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreshard.lab.report import parse
from foreshard.lab.report.figures import FORMAT, written
from foreshard.model.errors import LabError
from tests.lab.report.sample import Made, made, text_of

SAMPLE = made(Made(seconds=30))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401 - JSON values
    """Every place of a document, of long lists the first."""
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    if isinstance(value, list) and value:
        yield from places(value[0], (*path, 0))


PLACES = [p for p in places(SAMPLE) if p]
UNREAD = {"budget", "p", "bad", "bad_weighted_ratio", "objective_s", "keyed", "by_class"}


def test_what_was_written_is_read() -> None:
    report = parse(text_of(SAMPLE))
    assert report.seed == 7
    assert report.fleets["reactive"].bad_weighted == SAMPLE["fleets"]["reactive"]["bad_weighted"]
    assert [f.kind for f in report.faults] == ["leak", "crash"]
    assert sum(report.mix.values()) == pytest.approx(1.0)
    assert [s.at_s for s in report.said] == sorted(s.at_s for s in report.said)
    assert report.samples.risk[60.0][15][1] is not None
    assert not report.was_cut_short


def test_figures_can_be_read_by_people_and_series_do_not_get_in_their_way() -> None:
    lines = text_of(SAMPLE).splitlines()
    assert '"seed": 7,' in lines
    assert sum(line.startswith('"samples"') for line in lines) == 1
    assert len(lines) < 600
    assert json.loads(written(SAMPLE)) == SAMPLE


@pytest.mark.parametrize("text", ["", "no json", "[1]", "3", '{"a": 1', "[" * 100_000])
def test_what_is_no_report_is_refused(text: str) -> None:
    with pytest.raises(LabError, match="this is no report"):
        parse(text)


@pytest.mark.parametrize(("value", "words"), [(None, "no format"), (FORMAT + 1, "format 2")])
def test_a_report_of_another_format_is_refused_with_the_way_out(value: Any, words: str) -> None:  # noqa: ANN401 - JSON values
    other = {**SAMPLE, "format": value}
    with pytest.raises(LabError, match=f"{words}, .*write it anew with `foreshard demo"):
        parse(text_of(other))


def at(values: Any, path: tuple[Any, ...]) -> Any:  # noqa: ANN401 - JSON values
    for step in path:
        values = values[step]
    return values


@pytest.mark.parametrize("path", [p for p in PLACES if not UNREAD & set(p)], ids=str)
@pytest.mark.parametrize("wrong", [{"x": 1}, "nan", float("inf")])
def test_damage_is_refused_or_does_no_harm_and_never_a_traceback(
    path: tuple[Any, ...], wrong: object
) -> None:
    damaged = copy.deepcopy(SAMPLE)
    at(damaged, path[:-1])[path[-1]] = wrong
    refused = ""
    try:
        parse(text_of(damaged))
    except LabError as error:
        refused = str(error)
    assert len(refused.splitlines()) <= 1
    assert len(refused) < 400


@pytest.mark.parametrize("key", [k for k in SAMPLE if k != "format"])
def test_a_key_that_is_missing_is_named(key: str) -> None:
    less = {k: v for k, v in SAMPLE.items() if k != key}
    with pytest.raises(LabError, match=f"the report is damaged: {key}"):
        parse(text_of(less))


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        (("faults", 0, "at_s"), "soon", r"faults\[0\]\.at_s is \"soon\", must be a number"),
        (("duration_s",), 1e300, "duration_s is 1e.300, must be a number from 1 to 86400"),
        (("samples", "t_s", 3), -9.0, "samples.t_s .* that rise"),
        (
            ("samples", "share", 2),
            [],
            r"samples.share\[2\] is \[\], must be a list of 3, not of 0",
        ),
        (("series", "bad_weighted", "reactive"), [1], "must be a list of 30, not of 1"),
        (("samples", "risk", "60", 0, 0), [2, 0, 0], "must be a number from 0 to 1"),
        (("fleets",), {}, "at least one side"),
        (("timeline", 0, "moved"), 1, "must be true or false"),
    ],
)
def test_damage_is_named_by_its_place(path: tuple[Any, ...], value: object, place: str) -> None:
    damaged = copy.deepcopy(SAMPLE)
    at(damaged, path[:-1])[path[-1]] = value
    with pytest.raises(LabError, match=place):
        parse(text_of(damaged))


@given(st.integers(0, len(text_of(SAMPLE)) - 4))
@settings(max_examples=30)
def test_a_torn_file_is_refused(cut: int) -> None:
    with pytest.raises(LabError, match="this is no report"):
        parse(text_of(SAMPLE)[:cut])
