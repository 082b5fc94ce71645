from __future__ import annotations

from foreshard.config.scenario import load_scenario
from foreshard.lab.keeper import CellState, CellStatus
from foreshard.lab.live.watch import LifeLog, TableLog, said_by
from foreshard.lab.policy.outlier import outlier
from foreshard.lab.policy.program import table_of_draft
from foreshard.lab.policy.setting import setting_for
from foreshard.lab.policy.sticky import sticky

START_S = 1_000.0


def status(state: CellState, since_s: float) -> dict[str, CellStatus]:
    return {
        "eu-1": CellStatus(
            cell="eu-1", state=state, port=1, pid=None, restarts=0, since_s=START_S + since_s
        )
    }


def lives(*states: tuple[CellState, float]) -> list[tuple[str, float]]:
    log = LifeLog(start_s=START_S)
    for state, since_s in states:
        log.look(status(state, since_s))
    return [(each.what.value, each.at_s) for each in log.lives]


def test_a_crash_is_a_death_and_a_start() -> None:
    assert lives(
        (CellState.UP, -9.0),
        (CellState.RESTARTING, 5.0),
        (CellState.STARTING, 11.0),
        (CellState.UP, 12.0),
    ) == [("died", 5.0), ("started", 12.0)]


def test_a_gentle_restart_was_asked_for() -> None:
    assert lives(
        (CellState.UP, -9.0),
        (CellState.STOPPING, 5.0),
        (CellState.RESTARTING, 5.4),
        (CellState.STARTING, 11.0),
        (CellState.UP, 12.0),
    ) == [("asked", 5.0), ("died", 5.0), ("started", 12.0)]


def test_a_host_that_is_switched_off_was_not() -> None:
    assert lives(
        (CellState.UP, -9.0), (CellState.STOPPING, 5.0), (CellState.OFF, 5.2), (CellState.UP, 30.0)
    ) == [("died", 5.0), ("started", 30.0)]


def test_only_new_tables_are_noted() -> None:
    scenario = load_scenario("live-leak")
    setting = setting_for(scenario, scenario.fleet())
    log = TableLog(scenario)
    log.look(None, at_s=-3.0)
    for at_s, version, rule in ((-2.0, 0, outlier), (1.0, 0, sticky), (2.0, 1, sticky)):
        log.look(table_of_draft(rule(setting).draft, setting, version=version), at_s=at_s)
    moments, shares = log.shares().rows()
    assert moments.tolist()[0] == -2.0
    assert set(moments.tolist()) <= {-2.0, 2.0}
    assert abs(shares[0].sum(axis=2) - 1.0).max() < 1e-12
    assert abs(shares[0, 0, 0, :6] - 1.0 / 6.0).max() < 1e-6


def test_an_engines_reasons_are_read_from_its_status() -> None:
    entry = {"at_s": 1_007.5, "cell": "eu-2", "code": "cell.doubted", "text": "It leaks."}
    (said,) = said_by({"timeline": [{**entry, "moved": True}]}, start_s=START_S)
    assert (said.at_s, said.subject, said.code, said.moved) == (7.5, "eu-2", "cell.doubted", True)
    assert said_by(None, start_s=START_S) == ()
