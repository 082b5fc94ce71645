"""What becomes of requests when a whole region is gone, under the shipped loop."""

from __future__ import annotations

from dataclasses import replace

from foreshard.app.lab.cast import CORES, policy_named
from foreshard.config.scenario import load_scenario
from foreshard.lab.run import run
from foreshard.lab.simulation.plant import Fate


def test_when_a_region_is_lost_only_reports_are_refused_and_invoices_stay_at_home() -> None:
    told = load_scenario("region-loss")
    # As shipped, but for its length.
    short = tuple(replace(fault, at_s=90.0, holds_s=60.0) for fault in told.faults)
    scenario = replace(told, duration_s=180.0, faults=short)
    record = run(scenario, policy_named("foreshard"), seed=2, core=CORES["requests"])
    names = [offer.name for offer in scenario.classes]
    became = dict(zip(names, record.ledger.fates[90:150].sum(axis=(0, 1)), strict=True))
    for name in ("invoice", "checkout", "search"):
        assert became[name][Fate.SHED] == 0.0
        # What was under way when the region went, and what came before it was seen.
        assert became[name][Fate.FAILED] <= 0.02 * became[name].sum()
    assert became["report"][Fate.SHED] > 0.2 * became["report"].sum()
    assert became["report"][Fate.GOOD] > 0.2 * became["report"].sum()
    abroad = [c for c, site in enumerate(scenario.sites) if site.region == "us"]
    assert record.ledger.served[:, abroad, names.index("invoice")].sum() == 0.0
    assert record.ledger.served[91:150, abroad].sum() == 0.0
    assert record.ledger.served[160:, abroad].sum() > 0.0
