"""The page of a report in a real browser: nothing clipped, nothing unreadable, nothing fetched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from foreshard.lab.report import page, parse
from foreshard.lab.scores import REACTIVE
from foreshard.lab.traffic import Surge
from tests.architecture.source import ROOT
from tests.browser import Browser, chromium
from tests.lab.report.sample import Made, made, text_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

AUDIT = (Path(__file__).parent / "page_audit.js").read_text(encoding="utf-8")
KEPT = ROOT / "docs" / "pictures" / "report.json"
WIDTHS = (1440, 1024, 390)
LONG = "a-cell-with-a-name-that-nobody-would-choose-but-somebody-did"
SURGE = Surge(request_class=2, factor=4.4, at_s=20.0, lasts_s=20.0)
RUNS = {
    "default": Made(),
    "surge": Made(has_faults=False, surges=(SURGE,)),
    "quiet": Made(has_faults=False),
    "cut short": Made(ran_s=33.0),
    "one side": Made(sides=(REACTIVE,)),
    "long names": Made(cells=("eu-1", LONG, "us-1"), reason=f"{LONG}; {'no-space' * 20}"),
    "fifty cells": Made(cells=tuple(f"zone-{i:02}" for i in range(50)), seconds=600),
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def drawn(like: Made, folder: Path) -> Path:
    file = folder / "report.html"
    file.write_text(page(parse(text_of(made(like)))), encoding="utf-8")
    return file


def look(browser: Browser, file: Path) -> None:
    """At every width, in both themes."""
    for width in WIDTHS:
        for dark in (False, True):
            browser.show(file, width=width, dark=dark)
            found = browser.run(AUDIT)
            assert found["texts"] > 40
            assert found["wrong"] == [], f"{width} px, {'dark' if dark else 'light'}"


@pytest.mark.parametrize("run", RUNS)
def test_nothing_is_clipped_covered_or_faint_in_either_theme(
    run: str, browser: Browser, tmp_path: Path
) -> None:
    look(browser, drawn(RUNS[run], tmp_path))


def test_the_run_of_the_pictures_is_still_drawn_without_a_fault(
    browser: Browser, tmp_path: Path
) -> None:
    file = tmp_path / "kept.html"
    file.write_text(page(parse(KEPT.read_text(encoding="utf-8"))), encoding="utf-8")
    look(browser, file)


def test_every_picture_is_there_and_small_enough_for_a_readme() -> None:
    for part in ("harm", "cells"):
        for theme in ("light", "dark"):
            picture = KEPT.with_name(f"{part}-{theme}.png")
            assert picture.read_bytes().startswith(b"\x89PNG")
            assert picture.stat().st_size < 300_000


SPOILT = {
    "clipped": ".chip { display: block; width: 9px; overflow: hidden; white-space: nowrap }",
    "lies on": ".lanes > .place { left: 0 !important; bottom: 0 !important }",
    "contrast": ".lead { color: #b0b0b0 !important }",
    "wide in": ".tiles { width: 2000px }",
    "reaches from": ".facts { position: relative; left: -40px }",
}


@pytest.mark.parametrize("fault", SPOILT)
def test_the_audit_sees_what_it_is_there_to_see(
    fault: str, browser: Browser, tmp_path: Path
) -> None:
    browser.show(drawn(Made(), tmp_path), width=1024, dark=False)
    browser.run(
        "const s = new CSSStyleSheet(); s.replaceSync(arguments[0]);"
        "document.adoptedStyleSheets = [s];",
        SPOILT[fault],
    )
    assert any(fault in sentence for sentence in browser.run(AUDIT)["wrong"])


def test_nothing_is_fetched_and_nothing_is_complained_of(browser: Browser, tmp_path: Path) -> None:
    browser.log("performance")
    browser.log("browser")
    file = drawn(Made(), tmp_path)
    browser.show(file, width=1024, dark=False)
    probe(browser, 0.4)
    events = [json.loads(e["message"])["message"] for e in browser.log("performance")]
    asked = [e["params"] for e in events if e["method"] == "Network.requestWillBeSent"]
    # What the browser's own first tab asked for comes late and is not ours.
    ours = [a["request"]["url"] for a in asked if a["documentURL"] == file.as_uri()]
    assert ours == [file.as_uri()]
    assert browser.log("browser") == []


def probe(browser: Browser, at: float) -> None:
    """Move the pointer over the picture of harm."""
    browser.run(
        "const box = document.querySelector('.harm .box'), b = box.getBoundingClientRect();"
        "box.dispatchEvent(new PointerEvent('pointermove',"
        " {clientX: b.left + arguments[0] * b.width, bubbles: true}));",
        at,
    )


def test_the_pointer_reads_the_same_moment_in_every_picture(
    browser: Browser, tmp_path: Path
) -> None:
    browser.show(drawn(Made(), tmp_path), width=1440, dark=False)
    probe(browser, 0.51)
    told = browser.run("return [...document.querySelectorAll('.now')].map(n => n.textContent)")
    assert told[0].startswith("30 s: reactive ")
    assert told[2] == "30 s, share 0.0 %"
    assert "30 s, share 50.0 %, P 0 % (0 to 0 %)" in told
    assert browser.run(AUDIT)["wrong"] == []
    browser.run(
        "document.querySelector('.harm .box').dispatchEvent("
        "new KeyboardEvent('keydown', {key: 'ArrowLeft'}))"
    )
    moved = browser.run("return document.querySelector('#harm .now').textContent")
    assert moved.startswith("29 s: ")


def test_the_theme_can_be_chosen_against_the_system(browser: Browser, tmp_path: Path) -> None:
    browser.show(drawn(Made(), tmp_path), width=1024, dark=False)
    ground = "return getComputedStyle(document.documentElement).backgroundColor"
    light = browser.run(ground)
    browser.run("document.getElementById('theme').click()")
    assert browser.run(ground) != light
    assert browser.run("return document.getElementById('theme').textContent") == "Light theme"
    assert browser.run(AUDIT)["wrong"] == []


def test_a_number_in_a_picture_leads_to_its_reason(browser: Browser, tmp_path: Path) -> None:
    browser.show(drawn(Made(), tmp_path), width=1024, dark=False)
    leads = browser.run(
        "return [...document.querySelectorAll('.mark[href], .flag, .chip')]"
        ".map(a => [a.textContent, document.querySelector(a.hash)?.textContent])"
    )
    assert len(leads) == 3 + 2 + 2
    for number, reason in leads:
        assert reason, number
    assert any("memory reaches its limit" in reason for _, reason in leads)


def test_without_scripts_the_page_says_the_same(browser: Browser, tmp_path: Path) -> None:
    file = drawn(Made(), tmp_path)
    browser.tell("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.show(file, width=1024, dark=False)
        # The driver itself may still run scripts.
        assert browser.run("return document.getElementById('theme').hidden") is True
        assert browser.run(AUDIT)["wrong"] == []
    finally:
        browser.tell("Emulation.setScriptExecutionDisabled", {"value": False})
