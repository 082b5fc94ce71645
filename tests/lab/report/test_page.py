from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import pytest

from foreshard.lab.report import page, parse
from foreshard.lab.report.verdict import cost, headline
from foreshard.lab.scores import FORESHARD, REACTIVE
from foreshard.lab.traffic import Surge
from tests.lab.report.sample import Made, made, text_of
from tests.lab.report.test_markup import Seen

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'`${x}"


def drawn(like: Made | None = None, **changes: object) -> str:
    return page(parse(text_of({**made(like), **changes})))


def seen(text: str) -> Seen:
    found = Seen()
    found.feed(text)
    found.close()
    return found


def test_the_page_of_a_small_run_is_as_it_was_looked_at(
    golden: Callable[[str, str], None],
) -> None:
    golden("report/page.html", drawn(Made(seconds=60)))


def test_the_same_figures_give_the_same_page() -> None:
    assert drawn() == drawn()


def test_the_page_needs_nothing_from_anywhere() -> None:
    text = drawn()
    assert not re.findall(r"(?:https?:)?//[a-z]", text)
    found = seen(text)
    links = [a.get("href") or "" for _, a in found.elements if "href" in a or "src" in a]
    assert links
    assert all(link.startswith("#") for link in links)
    identifiers = {a["id"] for _, a in found.elements if "id" in a}
    assert {link[1:] for link in links} <= identifiers


def test_names_and_reasons_stay_words_whatever_they_hold() -> None:
    kind = Made(cells=("eu-1", "eu-2", "us-1"))
    hostile = Made(cells=(HOSTILE, f"b{HOSTILE}", "us-1"), reason=f"{HOSTILE}; {HOSTILE}")
    expected, found = seen(drawn(kind)), seen(drawn(hostile, story=HOSTILE, version=HOSTILE))
    assert Counter(name for name, _ in found.elements) == Counter(
        name for name, _ in expected.elements
    )
    assert Counter(key for _, a in found.elements for key in a) == Counter(
        key for _, a in expected.elements for key in a
    )
    assert HOSTILE in found.text


def test_a_name_in_the_command_is_quoted_for_the_shell() -> None:
    assert "--story &#x27;x; rm -r .&#x27;" in drawn(story="x; rm -r .")


def test_every_decision_is_in_the_list_with_its_time_and_reason() -> None:
    text = seen(drawn()).text
    for words in ("18.0 s", "half of its work leaves", "memory reaches its limit in 12 s"):
        assert words in text


def said(like: Made | None = None) -> str:
    report = parse(text_of(made(like)))
    return f"{headline(report)} {cost(report)}"


def test_the_headline_compares_both_sides() -> None:
    words = said()
    assert re.match(r"[\d.]+ % less harm: \d+ weighted bad requests with Foreshard, \d+ ", words)
    assert (
        "Relieved before onset: 1 of the 1 predictable faults that bit the reactive side" in words
    )
    assert "3 changes of routing" in words
    assert "201 MB of memory" in words


def test_the_headline_of_a_worse_run_says_so() -> None:
    values = made()
    values["fleets"][FORESHARD]["bad_weighted"] = 1e6
    assert headline(parse(text_of(values))).startswith("Foreshard did more harm than it saved")
    values["fleets"][FORESHARD] = values["fleets"][REACTIVE]
    assert headline(parse(text_of(values))).startswith("No difference")


def test_a_quiet_run_claims_nothing() -> None:
    words = said(Made(has_faults=False))
    assert words.startswith("Nothing was broken: 0 weighted bad requests with Foreshard")
    assert "predictable" not in words
    assert 'id="faults"' not in drawn(Made(has_faults=False))


SURGE = Made(
    has_faults=False,
    surges=(Surge(request_class=2, factor=4.4, at_s=20.0, lasts_s=20.0),),
)


def test_a_surge_is_shown_listed_and_held_against_what_had_to_be_bad() -> None:
    assert "Nothing was broken" not in said(SURGE)
    text = drawn(SURGE)
    assert 'class="surge"' in text
    assert text.count('class="oracle"') == 2
    words = seen(text).text
    for expected in ("surge of report, x 4.4", "3.1 % had to be bad"):
        assert expected in words


def test_a_run_cut_short_says_where_and_what_was_not_run() -> None:
    words = said(Made(ran_s=33.0))
    assert "cut short at 33.0 s of 60.0 s" in words
    text = drawn(Made(ran_s=33.0))
    assert "not run" in text
    assert 'class="unrun"' in text
    early = seen(drawn(Made(ran_s=20.0))).text
    assert "onset not until the end" in early
    assert "onset never" not in early


@pytest.mark.parametrize("side", [REACTIVE, FORESHARD])
def test_one_side_alone_is_drawn_and_not_compared(side: str) -> None:
    words = said(Made(sides=(side,)))
    assert "was not measured: nothing can be compared" in words
    assert "not measured" in drawn(Made(sides=(side,)))


def test_with_many_cells_the_quiet_ones_are_drawn_small() -> None:
    text = drawn(Made(cells=tuple(f"zone-{i:02}" for i in range(50)), seconds=600))
    assert text.count('class="cell small"') == 48
    assert len(text) < 2_000_000


def test_a_probability_that_was_not_stated_leaves_a_gap() -> None:
    risk = re.findall(r'class="line risk" d="([^"]+)"', drawn())
    assert [path.count("M") for path in risk] == [1, 2, 1]


def test_a_time_without_a_word_of_the_engine_is_no_line() -> None:
    text = drawn(Made(unheard=range(3, 15)))
    risk = re.findall(r'class="line risk" d="([^"]+)"', text)
    assert [path.count("M") for path in risk] == [2, 3, 2]
    assert "nothing was heard of the engine" in text
    assert "nothing was heard of the engine" not in drawn(Made(unheard=range(3, 6)))
