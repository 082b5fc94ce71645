from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from foreshard.adapters.metrics.exposition import parse_page
from foreshard.model.errors import SourceError

WANTED = frozenset({"wanted", "wanted_total"})
label_text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20)


def escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


@given(st.floats(allow_nan=False), label_text)
def test_any_value_and_label_comes_back_as_written(value: float, label: str) -> None:
    page = parse_page(f'wanted{{a="{escaped(label)}"}} {value!r}\n', wanted=WANTED)
    (sample,) = page["wanted"]
    assert sample.value == value
    assert sample.labels == {"a": label}


BLANKS = st.sampled_from([" ", "  ", "\t", ""])
VALUES = st.sampled_from(["1", "-2.5", "+.5", "3.", "1e9", "0x1", "NaN", "+Inf", "1_0", "", "x"])
LABELS = st.sampled_from(
    [
        *("", "{}", '{a="b"}', '{a="b",c="d,}"}', '{a="b",}', '{a="b",a="c"}', '{a="""}'),
        *('{ a = "b" }', '{__name__="x"}', '{a="b" }', '{"a"="b"}', "{a='b'}", '{a="é"}'),
        *('{a="# b"}', "{a}"),
    ]
)
LINES = st.tuples(
    BLANKS,
    st.sampled_from(["wanted", "wanted_total", "wanted_not", "wante"]),
    LABELS,
    BLANKS,
    VALUES,
    st.sampled_from(["", " 1700000000000", " -5", " # {} 1", " x", "\r"]),
).map("".join)


@given(st.lists(LINES, max_size=3))
def test_plain_or_not_a_page_says_what_the_library_says(lines: list[str]) -> None:
    found: list[tuple[str, dict[str, str], str]] | None
    told: list[tuple[str, dict[str, str], str]] | None
    asked = [s for s in lines if s.split()[0].partition("{")[0] in WANTED]
    try:
        told = [
            (sample.name, sample.labels, repr(float(sample.value)))
            for family in text_string_to_metric_families("\n".join(asked) + "\n")
            for sample in family.samples
        ]
    except (ValueError, IndexError, KeyError):
        told = None
    try:
        page = parse_page("\n".join(lines), wanted=WANTED)
        found = [(n, dict(s.labels), repr(s.value)) for n, of in page.items() for s in of]
    except SourceError:
        found = None
    assert found == told or sorted(found or [], key=str) == sorted(told or [], key=str) != []


@given(st.text())
def test_any_text_is_a_page_or_a_source_error(text: str) -> None:
    for page in (text, f"wanted{text}", f"wanted{{{text}}} 1", f'wanted{{a="{text}"}} 1'):
        try:
            names = set(parse_page(page, wanted=WANTED))
        except SourceError:
            continue
        assert all(name.startswith("wanted") for name in names)


def test_lines_that_nobody_asked_for_may_be_broken() -> None:
    page = parse_page("junk{{{\n# TYPE wanted gauge\nwanted_total 3\n\n", wanted=WANTED)
    assert [sample.value for sample in page["wanted_total"]] == [3.0]


@pytest.mark.parametrize("line", ["wanted", "wanted x", 'wanted{a="b} 1', 'wanted{a="b" 1'])
def test_a_broken_line_is_refused(line: str) -> None:
    with pytest.raises(SourceError, match="not Prometheus text"):
        parse_page(line, wanted=WANTED)
