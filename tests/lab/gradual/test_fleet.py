from __future__ import annotations

import numpy as np
import pytest

from foreshard.forecast.history import ALONE
from foreshard.forecast.onset import find_onsets
from foreshard.lab.gradual.fault import Cause, FaultPlan
from foreshard.lab.gradual.fleet import RULE, FleetPlan, Run, Trial, generate
from foreshard.lab.gradual.growth import Growth
from foreshard.lab.gradual.vitals import GAUGES
from foreshard.model.errors import InvalidValueError

QUIET = FaultPlan(per_cell_day=0.0)
GAUGE_OF = {
    Cause.LEAK: "memory",
    Cause.PACKET_LOSS: "packet_loss",
    Cause.DISK_FILL: "disk",
    Cause.POOL_STARVATION: "connections",
}


def fleet(*causes: Cause, days: float = 3.0, seed: int = 1, a_day: float = 0.8) -> Trial:
    faults = FaultPlan(causes=causes or tuple(Cause), per_cell_day=a_day)
    return generate(FleetPlan(groups=2, siblings=4, days=days, faults=faults), seed=seed)


def test_the_same_seed_gives_the_same_fleet_and_another_another() -> None:
    one, same, other = fleet(), fleet(), fleet(seed=2)
    np.testing.assert_array_equal(one.history.value, same.history.value)
    assert one.runs == same.runs
    assert not np.array_equal(one.history.value, other.history.value, equal_nan=True)


def test_nobody_fails_without_a_fault() -> None:
    for seed in range(4):
        plan = FleetPlan(days=7.0, faults=QUIET)
        trial = generate(plan, seed=seed)
        assert not trial.runs
        assert not trial.ill.any()
        assert len(find_onsets(trial.history, RULE)) == 0


def test_a_healthy_fleet_is_not_calm() -> None:
    history = generate(FleetPlan(days=7.0, faults=QUIET), seed=3).history
    cpu, memory = (history.value[:, GAUGES.index(g)] for g in ("cpu", "memory"))
    spread = np.nanquantile(cpu, 0.99, axis=1) - np.nanquantile(cpu, 0.01, axis=1)
    assert np.all(spread > 0.15)
    assert np.all(np.nanmax(memory, axis=1) - np.nanmin(memory, axis=1) > 0.05)
    missing = np.isnan(history.value).mean()
    assert 0.002 < missing < 0.05
    assert np.any(np.diff(history.up_s, axis=1) < 0.0)


@pytest.mark.parametrize("cause", list(GAUGE_OF))
def test_each_fault_takes_its_own_gauge_to_the_limit(cause: Cause) -> None:
    trial = fleet(cause)
    onsets = find_onsets(trial.history, RULE)
    assert len(trial.runs) >= 5
    named = {
        (int(c), int(b)): GAUGES[int(g)]
        for c, b, g in zip(onsets.cell, onsets.begin, onsets.gauge, strict=True)
    }
    found = [named[run.fault.cell, run.onset] for run in trial.runs]
    assert found.count(GAUGE_OF[cause]) >= 0.9 * len(found)


@pytest.mark.parametrize("growth", list(Growth))
def test_a_run_begins_before_it_fails_and_is_marked_ill_until_after(growth: Growth) -> None:
    faults = FaultPlan(growths=(growth,), per_cell_day=0.8)
    trial = generate(FleetPlan(groups=1, siblings=6, days=4.0, faults=faults), seed=4)
    assert trial.runs
    for run in trial.runs:
        assert run.fault.begin < run.onset
        assert trial.ill[run.fault.cell, run.fault.begin : run.onset + 60].all()
    onsets = find_onsets(trial.history, RULE)
    assert trial.ill[onsets.cell, onsets.begin].all()
    assert 0.4 < 1.0 - trial.ill.mean() < 0.95


def test_after_a_failure_the_cell_is_restarted_and_well() -> None:
    trial = fleet(Cause.LEAK)
    memory = trial.history.value[:, GAUGES.index("memory")]
    for run in trial.runs:
        after = slice(run.onset, run.onset + 60)
        assert np.nanmin(trial.history.up_s[run.fault.cell, after]) < 60.0
        assert np.nanmean(memory[run.fault.cell, run.onset + 30 : run.onset + 60]) < 0.8


def test_siblings_resemble_each_other_more_than_strangers() -> None:
    history = generate(FleetPlan(days=5.0, faults=QUIET), seed=5).history
    cpu = history.value[:, GAUGES.index("cpu")]
    heard = ~np.isnan(cpu).any(axis=0)
    like = np.asarray(np.corrcoef(cpu[:, heard]))
    same = history.sibling[:, None] == history.sibling[None, :]
    off_diagonal = ~np.eye(len(cpu), dtype=bool)
    assert like[same & off_diagonal].min() > 0.8
    assert like[same & off_diagonal].mean() > like[~same].mean() + 0.2


def test_a_fleet_of_single_cells_has_no_siblings() -> None:
    history = generate(FleetPlan(groups=3, siblings=1, days=1.0), seed=1).history
    assert history.sibling.tolist() == [ALONE] * 3


def test_relief_changes_the_relieved_cell_from_then_on_and_nothing_else() -> None:
    plan = FleetPlan(groups=1, siblings=4, days=2.0, faults=FaultPlan(per_cell_day=0.5))
    as_it_was = generate(plan, seed=6).history
    relief = np.ones((4, as_it_was.samples))
    relief[2, 1000:] = 0.5
    relieved = generate(plan, seed=6, relief=relief).history
    np.testing.assert_array_equal(relieved.value[[0, 1, 3]], as_it_was.value[[0, 1, 3]])
    np.testing.assert_array_equal(relieved.value[2, :, :1000], as_it_was.value[2, :, :1000])
    np.testing.assert_allclose(relieved.load[2, 1000:], 0.5 * as_it_was.load[2, 1000:], rtol=0.01)


def test_a_lighter_load_cures_what_load_causes_and_no_leak() -> None:
    def survivors(*causes: Cause) -> tuple[int, int]:
        faults = FaultPlan(causes=causes, growths=(Growth.LINEAR,), per_cell_day=0.6)
        plan = FleetPlan(groups=2, siblings=4, days=3.0, faults=faults)
        trial = generate(plan, seed=7)
        relief = np.ones(trial.ill.shape)
        for run in trial.runs:
            relief[run.fault.cell, run.onset - 20 : run.onset + 40] = 0.5
        relieved = generate(plan, seed=7, relief=relief)
        still = {run.fault for run in relieved.runs if _as_before(run, trial.runs)}
        return len(trial.runs), len(trial.runs) - len(still)

    failed, cured = survivors(Cause.SURGE, Cause.CREEP)
    assert failed >= 5
    assert cured == failed
    failed, cured = survivors(Cause.LEAK)
    assert failed >= 5
    assert cured == 0


def _as_before(run: Run, others: tuple[Run, ...]) -> bool:
    """While the relief lasted; what grows on breaks even half of the load in the end."""
    return any(run.fault == other.fault and abs(run.onset - other.onset) < 40 for other in others)


def test_bad_plans_are_refused_with_the_value() -> None:
    with pytest.raises(InvalidValueError, match="siblings 0"):
        FleetPlan(siblings=0)
    with pytest.raises(InvalidValueError, match=r"days is 0\.0"):
        FleetPlan(days=0.0)
    with pytest.raises(InvalidValueError, match=r"per_cell_day is -1\.0"):
        FaultPlan(per_cell_day=-1.0)
    with pytest.raises(InvalidValueError, match=r"longest_s 1\.0"):
        FaultPlan(longest_s=1.0)
    with pytest.raises(InvalidValueError, match="causes and growths"):
        FaultPlan(causes=())
    with pytest.raises(InvalidValueError, match="relief has shape"):
        generate(FleetPlan(days=1.0), seed=1, relief=np.ones((1, 1)))
