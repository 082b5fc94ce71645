from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from foreshard.app.trying import foreshard
from foreshard.lab.policy.policy import Policy, Stage, Truth
from foreshard.lab.policy.static import Static
from foreshard.lab.run import run
from foreshard.lab.scenario.fault import FaultLine, Kind
from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.calm import Calm
from foreshard.lab.simulation.foresight import Foresight
from foreshard.lab.simulation.plant import Fate
from foreshard.lab.simulation.record import RunRecord
from foreshard.lab.simulation.world import Life, Sky
from foreshard.model.errors import LabError
from tests.lab.simulation.small import FORMULA, scenario_of

LEAK = FaultLine(kind=Kind.LEAK, cells=("eu-2",), at_s=25.0, grows_s=50.0)


class Odd:
    """A policy that routes as `static` does, and then does something else."""

    name = "odd"

    def __init__(self, then: Callable[[Stage, asyncio.Event], object]) -> None:
        self._then = then
        self.stages: list[Stage] = []

    async def steer(self, stage: Stage, stop: asyncio.Event) -> None:
        self.stages.append(stage)
        over = asyncio.Event()
        over.set()
        await Static().steer(stage, over)
        done = self._then(stage, stop)
        if asyncio.iscoroutine(done):
            await done


@pytest.fixture(scope="module")
def leaks() -> dict[str, RunRecord]:
    scenario = scenario_of(LEAK, duration_s=85.0, pace=15.0)
    policies: tuple[Policy, ...] = (Static(), foreshard("none"), foreshard())
    return {p.name: run(scenario, p, seed=3, core=FORMULA) for p in policies}


def test_foreshard_moves_the_work_before_the_kill_that_static_loses_it_to(
    leaks: dict[str, RunRecord],
) -> None:
    lost = {
        name: record.ledger.fates[..., Fate.FAILED].sum()
        + record.ledger.fates[..., Fate.SHED].sum()
        for name, record in leaks.items()
    }
    # Four seconds of one of six cells.
    assert lost["static"] == pytest.approx(4.0 * 450.0 / 6.0, rel=0.05)
    assert 0.0 < lost["foreshard-none"] < 0.5 * lost["static"]
    assert lost["foreshard"] == 0.0
    moments, rows = leaks["foreshard"].shares.rows()
    emptied_s = moments[rows[:, 0, :, 1].sum(axis=1) == 0.0]
    assert 25.0 < emptied_s[0] < 75.0


def test_a_record_says_who_died_and_why_whom_was_moved(leaks: dict[str, RunRecord]) -> None:
    static = [(one.cell, one.what) for one in leaks["static"].lives]
    assert static == [("eu-2", Life.DIED), ("eu-2", Life.STARTED)]
    assert leaks["foreshard"].lives[0].what is Life.ASKED
    codes = [one.code for one in leaks["foreshard"].said if one.subject == "eu-2"]
    assert codes[:4] == ["cell.doubted", "phase.draining", "cell.evacuated", "phase.drained"]
    risk = leaks["foreshard"].risk
    assert risk.horizons_s == (20.0, 240.0)
    before, doubted = risk.at_s < 25.0, (risk.at_s > 30.0) & (risk.at_s < 38.0)
    assert np.nanmax(risk.p[before, 1, 1]) < 0.5 < np.nanmax(risk.p[doubted, 1, 1])
    assert len(leaks["static"].said) == len(leaks["static"].risk.at_s) == 0


def test_the_same_run_gives_the_same_bits_and_another_seed_does_not(
    leaks: dict[str, RunRecord],
) -> None:
    scenario = scenario_of(LEAK, duration_s=85.0, pace=15.0)
    again = run(scenario, foreshard(), seed=3, core=FORMULA)
    first = leaks["foreshard"]
    assert again.values() == first.values()
    assert again.digest() == first.digest()
    other = run(scenario, Static(), seed=4, core=FORMULA)
    assert other.digest() != leaks["static"].digest()


def test_a_record_survives_its_file(leaks: dict[str, RunRecord], tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    for record in leaks.values():
        record.save(path)
        kept = RunRecord.load(path)
        assert kept.digest() == record.digest()
        assert kept.played == record.played
        assert kept.cost_s == record.cost_s
    path.write_bytes(b"something else")
    with pytest.raises(LabError, match=r"run\.npz cannot be read"):
        RunRecord.load(path)
    np.savez(path, other=np.zeros(3))
    with pytest.raises(LabError, match="holds no run"):
        RunRecord.load(path)


def test_a_record_says_what_was_played(leaks: dict[str, RunRecord]) -> None:
    played = leaks["foreshard"].played
    assert (played.scenario, played.seed, played.core) == ("small", 3, "formula")
    assert len(played.scenario_hash) == 64
    assert '"kind":"leak"' in played.text
    assert played.scenario_hash == leaks["static"].played.scenario_hash


def test_the_first_table_is_there_before_the_first_request() -> None:
    record = run(scenario_of(duration_s=5.0), Static(), seed=1, core=FORMULA)
    assert record.shares.at_s.max() < 0.0
    assert record.shares.at(0.0)[..., :-1].sum(axis=2) == pytest.approx(1.0)


def test_progress_is_told_up_to_the_end() -> None:
    told: list[float] = []
    run(scenario_of(duration_s=25.0), Static(), seed=1, core=FORMULA, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 25.0
    assert len(told) >= 3


def test_each_seed_looks_at_another_moment_of_the_second() -> None:
    scenario = scenario_of(duration_s=1.0)
    records = [run(scenario, Static(), seed=seed, core=FORMULA) for seed in range(8)]
    phases = {round(each.shares.at_s[0] % 1.0, 6) for each in records}
    assert len(phases) > 3
    assert 0.0 not in phases, "faults begin on whole seconds"


def test_only_who_is_told_knows_the_truth() -> None:
    odd = Odd(lambda _, stop: stop.wait())
    scenario = scenario_of(duration_s=2.0)
    run(scenario, odd, seed=1, core=FORMULA)
    run(scenario, odd, seed=1, core=FORMULA, is_told=True)
    assert odd.stages[0].truth is None
    assert isinstance(odd.stages[1].truth, Foresight)


def test_a_policy_that_gives_up_is_an_error() -> None:
    with pytest.raises(LabError, match="odd: gave up"):
        run(scenario_of(), Odd(lambda _, __: None), seed=1, core=FORMULA)


def test_a_policy_s_own_error_is_seen() -> None:
    def fail(_: Stage, __: asyncio.Event) -> None:
        raise ArithmeticError("of its own")

    with pytest.raises(ArithmeticError, match="of its own"):
        run(scenario_of(), Odd(fail), seed=1, core=FORMULA)


def test_an_error_in_a_task_that_nobody_awaits_is_seen() -> None:
    async def fail() -> None:
        raise ArithmeticError("unseen")

    async def start(_: Stage, stop: asyncio.Event) -> None:
        task = asyncio.ensure_future(fail())
        await asyncio.sleep(1.0)
        del task
        await stop.wait()

    with pytest.raises(LabError, match="unseen"):
        run(scenario_of(), Odd(start), seed=1, core=FORMULA)


def test_a_policy_that_does_not_stop_is_an_error() -> None:
    with pytest.raises(LabError, match="odd: still runs 60 s after"):
        run(
            scenario_of(duration_s=5.0),
            Odd(lambda stage, _: stage.clock.sleep(1_000.0)),
            seed=1,
            core=FORMULA,
        )


def test_whoever_waits_for_a_thread_is_told_so() -> None:
    with pytest.raises(LabError, match="on a thread"):
        run(scenario_of(), Odd(lambda *_: asyncio.to_thread(print)), seed=1, core=FORMULA)


def test_a_core_may_bring_its_own_weather() -> None:
    def gone(scenario: Scenario, _: int) -> tuple[Sky, Truth]:
        calm = Calm(scenario, gone={"us-1": (10.0, 20.0)})
        return calm, calm

    record = run(scenario_of(), Static(), seed=1, core=replace(FORMULA, sky=gone))
    assert [one.cell for one in record.lives] == ["us-1", "us-1"]


def test_calm_weather_knows_the_truth_about_itself() -> None:
    scenario = scenario_of()
    calm = Calm(scenario, gone={"us-1": (10.0, 20.0)})
    assert calm.effects(15.0).is_up.sum() == 5
    assert sum(calm.demand_rps(0.0).values()) == pytest.approx(scenario.rate_rps())
