from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
