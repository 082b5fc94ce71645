from __future__ import annotations

import numpy as np

from foreshard.config.scenario import load_scenario
from foreshard.lab.live.ledger import ledger_of
from foreshard.lab.records import Outcome, Records
from foreshard.lab.simulation.plant import LATENCY_EDGES_S, Fate

CELLS = ("eu-1", "us-3")


def records(*rows: tuple[float, int, float, int, int]) -> Records:
    """Moment, class, latency, status (0 = never answered) and cell of each request."""
    found = Records.blank(
        np.array([row[0] for row in rows]), np.array([row[1] for row in rows], dtype=np.uint8)
    )
    for at, (_, _, latency_s, status, cell) in enumerate(rows):
        found.lateness_s[at], found.latency_s[at] = 0.0, latency_s
        found.status[at], found.cell[at] = status, cell
        found.outcome[at] = Outcome.ANSWERED if status else Outcome.TIMED_OUT
    return found


def test_every_request_is_booked_once_by_what_became_of_it() -> None:
    scenario = load_scenario("live-leak")
    ledger = ledger_of(
        records(
            (12.5, 0, 0.05, 200, 0),
            (12.9, 0, 0.60, 200, 1),
            (13.0, 1, 0.01, 429, 255),
            (13.1, 1, 0.01, 503, 0),
            (13.2, 2, 7.00, 0, 255),
            (99.9, 2, 0.50, 200, 1),
        ),
        scenario,
        cells=CELLS,
    )
    assert ledger.fates.shape == (100, 1, 3, 4)
    assert ledger.fates.sum() == 6.0
    assert ledger.fates[12, 0, 0].tolist() == [1.0, 0.0, 1.0, 0.0]
    assert ledger.fates[13, 0, 1, Fate.SHED] == ledger.fates[13, 0, 1, Fate.FAILED] == 1.0
    assert ledger.fates[13, 0, 2, Fate.FAILED] == 1.0
    # Slow or not, it ended well: in the second of its end, the last at most.
    assert ledger.served[12, 0, 0] == ledger.served[13, 5, 0] == ledger.served[99, 5, 2] == 1.0
    assert ledger.served.sum() == 3.0
    assert ledger.crossed[13] == ledger.crossed[99] == 1.0


def test_latency_is_told_of_answers_after_the_warm_up() -> None:
    scenario = load_scenario("live-leak")
    ledger = ledger_of(
        records((1.0, 0, 0.05, 200, 0), (20.0, 0, 0.05, 200, 0), (21.0, 0, 0.05, 503, 0)),
        scenario,
        cells=CELLS,
    )
    assert ledger.latency.sum() == 1.0
    place = int(np.argmax(ledger.latency[0]))
    assert LATENCY_EDGES_S[place] <= 0.05 < LATENCY_EDGES_S[place + 1]


def test_what_was_cut_off_is_nobodys_fault() -> None:
    of = records((1.0, 0, 0.05, 200, 0), (2.0, 0, 0.0, 0, 255))
    of.outcome[1] = Outcome.OPEN
    assert ledger_of(of, load_scenario("live-leak"), cells=CELLS).fates.sum() == 1.0
