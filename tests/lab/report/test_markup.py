from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from foreshard.lab.report.markup import Html, join, tag


class Seen(HTMLParser):
    """Elements with their attributes, and all text."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text(), st.text())
def test_no_text_becomes_an_element_or_leaves_its_attribute(text: str, value: str) -> None:
    seen = Seen()
    seen.feed(tag("p", tag("b", text), text, title=value))
    seen.close()
    assert [name for name, _ in seen.elements] == ["p", "b"]
    assert set(seen.elements[0][1]) == {"title"}


def test_a_text_comes_back_as_it_was() -> None:
    hostile = "\"'><script>alert(1)</script>&amp;<!--"
    seen = Seen()
    seen.feed(tag("p", hostile, title=hostile))
    seen.close()
    assert seen.text == hostile
    assert seen.elements == [("p", {"title": hostile})]


def test_what_turns_the_direction_of_writing_is_made_visible() -> None:
    assert join(["safe\u202egpj.exe\x00"]) == "safe\ufffdgpj.exe\ufffd"


def test_markup_is_escaped_once_and_attributes_are_short() -> None:
    inner = tag("i", "a & b")
    assert tag("p", inner, class_="x", width=0.5, title=None) == (
        '<p class="x" width="0.5"><i>a &amp; b</i></p>'
    )
    assert isinstance(inner, Html)
    assert tag("path", d="M0 0") == '<path d="M0 0"/>'
