"""The page of a backtest in a real browser: nothing clipped, nothing faint, nothing fetched."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from foreshard.lab.backtest.page import page_of
from foreshard.lab.backtest.trial import Outcome
from tests.browser import Browser, chromium
from tests.lab.backtest.sample import outcome

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180), pytest.mark.may_block]

AUDIT = (Path(__file__).parent / "page_audit.js").read_text(encoding="utf-8")
WIDTHS = (1440, 1024, 390)
LONG = "an-entity-with-a-name-that-nobody-would-choose-but-somebody-did"


def renamed() -> Outcome:
    came = outcome()
    history = replace(came.record.history, cells=(LONG, "<b>", "cell-2"))
    return replace(came, record=replace(came.record, history=history))


RUNS: Mapping[str, Callable[[], Outcome]] = {
    "default": outcome,
    "fitted once": lambda: outcome(None),
    "odd names": renamed,
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.mark.parametrize("run", RUNS)
def test_nothing_is_clipped_covered_or_faint_in_either_theme(
    run: str, browser: Browser, tmp_path: Path
) -> None:
    file = tmp_path / "backtest.html"
    page = page_of(RUNS[run](), command="foreshard backtest --data x", version="1")
    file.write_text(page, encoding="utf-8")
    for width in WIDTHS:
        for dark in (False, True):
            browser.show(file, width=width, dark=dark)
            found = browser.run(AUDIT)
            assert found["texts"] > 100
            assert found["wrong"] == [], f"{width} px, {'dark' if dark else 'light'}"
            assert browser.run("return document.documentElement.scrollWidth <= innerWidth")


def test_the_page_fetches_nothing_and_says_no_error(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "backtest.html"
    file.write_text(page_of(outcome(), command="x", version="1"), encoding="utf-8")
    browser.log("browser")
    browser.log("performance")
    browser.show(file, width=1024, dark=False)
    events = [json.loads(each["message"])["message"] for each in browser.log("performance")]
    asked = [each["params"] for each in events if each["method"] == "Network.requestWillBeSent"]
    # What the browser's own first tab asked for comes late and is not ours.
    ours = [each["request"]["url"] for each in asked if each["documentURL"] == file.as_uri()]
    assert ours == [file.as_uri()]
    assert browser.log("browser") == []
