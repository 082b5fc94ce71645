from __future__ import annotations

import math
import threading

import pytest
import structlog
from structlog.testing import capture_logs

from foreshard.lab.simulation import hearing
from foreshard.lab.simulation.hearing import heard

log = structlog.get_logger("test")


def test_what_is_logged_in_a_run_is_kept_and_goes_nowhere_else() -> None:
    with capture_logs() as outside:
        with heard(lambda: 12.5) as kept:
            log.info("plan.applied", version=3)
        log.info("afterwards")
    assert list(kept) == [{"at_s": 12.5, "level": "info", "event": "plan.applied", "version": "3"}]
    assert [line["event"] for line in outside] == ["afterwards"]


def test_who_logs_beside_a_run_is_not_heard() -> None:
    with capture_logs() as outside, heard(lambda: 0.0) as kept:
        beside = threading.Thread(target=lambda: log.info("beside"))
        beside.start()
        beside.join()
    assert not kept
    assert [line["event"] for line in outside] == ["beside"]


def test_two_runs_at_once_hear_themselves_alone() -> None:
    def other() -> None:
        with heard(lambda: 2.0) as theirs:
            log.info("theirs")
            found.extend(theirs)

    found: list[object] = []
    with heard(lambda: 1.0) as ours:
        beside = threading.Thread(target=other)
        beside.start()
        beside.join()
        log.info("ours")
    assert [line["event"] for line in ours] == ["ours"]
    assert found == [{"at_s": 2.0, "level": "info", "event": "theirs"}]


def test_the_configuration_is_as_it_was_also_after_an_error() -> None:
    before = list(structlog.get_config()["processors"])
    with pytest.raises(ArithmeticError), heard(lambda: 0.0):
        math.exp(1e9)
    assert structlog.get_config()["processors"] == before


def test_only_the_last_lines_are_kept() -> None:
    with heard(lambda: 0.0) as kept:
        for number in range(hearing.KEPT_LINES + 10):
            log.info("line", number=number)
    assert len(kept) == hearing.KEPT_LINES
    assert kept[-1]["number"] == str(hearing.KEPT_LINES + 9)
