"""The same scenario on both stages: what is averted, and who is better than whom."""

from __future__ import annotations

import numpy as np
import pytest

from foreshard.app.lab.real import live_runs
from foreshard.app.trying import foreshard
from foreshard.config.scenario import read_scenario
from foreshard.lab.policy.registry import policy
from foreshard.lab.run import Core, run
from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.plant import Fate
from foreshard.lab.simulation.record import RunRecord
from foreshard.lab.simulation.requests.core import RequestPlant

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(240)]

# The lab's `live-` scenarios, made smaller: three fleets of four fit on two busy cores.
FRAME = """
name: small
family: predictable
about: >
  One fault, as in the scenario of the lab that is like it, in a smaller fleet.
  A good engine does what it does there.
duration_s: 44
warm_up_s: 6
pace: 15
regions:
  eu: {cells: 2}
  us: {cells: 2}
load: {utilisation: 0.5, period_s: 120}
faults:
"""
FAULTS = {
    "leak": "- {kind: leak, cells: [eu-002], at_s: 8, grows_s: 24}",
    "creep": "- {kind: creep, cells: [us-001], at_s: 8, grows_s: 24, holds_s: 8, magnitude: 0.2}",
    "slow_dependency": "- {kind: slow_dependency, cells: [eu-001], request_class: search, "
    "at_s: 8, grows_s: 24, holds_s: 8, magnitude: 1.5}",
}
POLICIES = ("sticky", "foreshard", "oracle")
SIMULATED = Core(name="requests", plant=lambda scenario, seed: RequestPlant(scenario, seed=seed))
# A few hundred bad requests of some ten thousand, once each, beside other tests.
AVERTED_WITHIN = 0.35
# Differences below this part of the worst policy's harm are chance.
TELLING = 0.25


def harm(record: RunRecord, scenario: Scenario) -> float:
    """Weighted bad requests after the warm-up."""
    bad = record.ledger.fates[int(scenario.warm_up_s) :, ..., Fate.FAILED :].sum(axis=(0, 1, 3))
    return float(bad @ np.array([each.weight for each in scenario.classes]))


def simulated(scenario: Scenario) -> dict[str, float]:
    made = {name: foreshard() if name == "foreshard" else policy(name) for name in POLICIES}
    return {
        name: harm(run(scenario, one, seed=1, core=SIMULATED, is_told=name == "oracle"), scenario)
        for name, one in made.items()
    }


def averted(bad: dict[str, float]) -> float:
    return (bad["sticky"] - bad["foreshard"]) / (bad["sticky"] - bad["oracle"])


@pytest.mark.parametrize("fault", list(FAULTS))
def test_both_stages_say_the_same_of_who_averts_what(fault: str) -> None:
    scenario = read_scenario(f"{FRAME}  {FAULTS[fault]}\n", name=fault)
    records = live_runs(scenario, POLICIES, [1], side_by_side=len(POLICIES))
    live = {}
    for record in records:
        live[record.played.policy] = harm(record, scenario)
        asked = record.ledger.fates.sum()
        assert asked == pytest.approx(scenario.rate_rps() * scenario.duration_s, rel=0.15)
        assert record.played.core == "live"
    sim = simulated(scenario)
    told = f"simulated {sim}, live {live}"
    assert averted(live) == pytest.approx(averted(sim), abs=AVERTED_WITHIN), told
    for better in POLICIES:
        for worse in POLICIES:
            if sim[worse] - sim[better] > TELLING * max(sim.values()):
                assert live[better] < live[worse], told
