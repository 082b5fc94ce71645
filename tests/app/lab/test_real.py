from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from foreshard.app.lab.real import live_runs, live_wiring
from foreshard.app.trying import settings_for
from foreshard.config import load
from foreshard.config.scenario import load_scenario
from foreshard.lab import service
from foreshard.lab.steering import Site
from foreshard.model.errors import LabError

PORTS = {site.name: 9_000 + number for number, site in enumerate(service.SITES)}


def test_the_live_configuration_is_the_simulations_at_real_addresses(tmp_path: Path) -> None:
    scenario = load_scenario("live-leak")
    site = Site(
        fleet=service.fleet(PORTS),
        data_dir=tmp_path / "data",
        events=tmp_path / "events.json",
        webhook="http://127.0.0.1:9100/events",
        listen="127.0.0.1:9101",
        admin="127.0.0.1:9102",
        discovery="127.0.0.1:9103",
    )
    path = tmp_path / "foreshard.yaml"
    path.write_text(live_wiring().config(scenario, site, forecast="none"))
    real, simulated = load(path), settings_for(scenario, forecast="none")
    for same in ("forecast", "thresholds", "budget", "classes", "tick_s", "mode"):
        assert getattr(real, same) == getattr(simulated, same), same
    assert real.fleet() == site.fleet
    assert [b.admin for b in real.balancers] == [site.admin]
    gauges = {gauge.resource: gauge for gauge in real.scrape.gauges}
    assert set(gauges) == {"cpu", "connections", "memory", "disk"}
    assert gauges["cpu"].used.metric == "cell_cpu_seconds_total"
    assert yaml.safe_load(path.read_text())["driver"] == {"webhook": site.webhook}


def test_nothing_is_started_for_what_cannot_be_played() -> None:
    with pytest.raises(LabError, match="packet-loss cannot be played live"):
        next(live_runs(load_scenario("packet-loss"), ["sticky"], [1]))
    with pytest.raises(LabError, match="prequal cannot be played live"):
        next(live_runs(load_scenario("live-leak"), ["sticky", "prequal"], [1]))
