from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from foreshard.lab.service import Site
from foreshard.lab.simulation.diary import Said
from foreshard.lab.simulation.world import Life, LifeEvent
from foreshard.lab.trial.chronicle import chronicle, told
from foreshard.lab.trial.page import page_of
from foreshard.lab.trial.score import Companions, score
from foreshard.lab.trial.tale import MOST_CELLS, _shown, tale_of
from tests.lab.trial.sample import EVEN, LEAK, SECONDS, record, scenario

SAID = Said(at_s=40.0, subject="b", code="cell.doubted", text="memory <runs> out", moved=True)
DIED = LifeEvent(at_s=60.0, cell="b", what=Life.DIED)


def tale(policy: str = "foreshard") -> dict[str, object]:
    of = scenario(LEAK)
    run = record(
        of,
        policy=policy,
        said=[SAID],
        lives=[DIED],
        shares=[(-1.0, EVEN), (40.0, (0.5, 0.0, 0.5, 0.0))],
    )
    hurt = record(of, bad=dict.fromkeys(range(60, 66), 10.0))
    own = score(run, of, Companions(calm=record(of), unrelieved=hurt))
    told_of: dict[str, object] = json.loads(json.dumps(tale_of(run, of, own), allow_nan=False))
    return told_of


def test_a_run_is_told_in_the_order_of_things() -> None:
    events = chronicle(tale())
    assert [event.at_s for event in events] == sorted(event.at_s for event in events)
    assert [event.text.split(",")[0] for event in events if event.who == "world"] == [
        "leak begins",
        "leak: from here on it hurts where nobody is relieved",
        "leak is over",
    ]
    text = told(tale())
    assert "memory <runs> out" in text
    assert "20 s before it hurts" in text or "19 s before it hurts" in text
    assert "the process died" in text


def test_a_quiet_run_says_that_it_was_quiet() -> None:
    of = scenario()
    own = tale_of(record(of), of, score(record(of), of, Companions()))
    assert told(own).endswith("nothing befell, nothing was said, nothing moved")


def test_a_page_escapes_what_it_was_told_and_loads_nothing() -> None:
    page = page_of(tale(), [tale("sticky")], about="A leak. It <hurts>.")
    assert "memory &lt;runs&gt; out" in page
    assert "It &lt;hurts&gt;." in page
    assert "default-src 'none'" in page.replace("&#x27;", "'")
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page
    assert 'data-theme="dark"' in page


def test_a_large_fleet_is_told_by_whom_something_happened_to() -> None:
    names = ["b", *(f"c{i:02}" for i in range(40))]
    sites = tuple(Site(name=name, region="eu", zone="eua") for name in names)
    share = np.full((SECONDS, len(names)), 1 / len(names))
    share[50:, 33] = 0.0
    shown = _shown(share, replace(scenario(LEAK), sites=sites))
    assert len(shown) == MOST_CELLS
    assert shown == sorted(shown)
    assert {0, 33} <= set(shown)
