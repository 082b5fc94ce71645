import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import yaml

from foreshard.controller.process import hold_port
from foreshard.lab import service
from foreshard.lab.envoy import Envoy
from foreshard.lab.loadgen import Load, generate
from foreshard.lab.reactive import bootstrap, render
from foreshard.lab.records import Run, judge
from foreshard.lab.supervisor import Supervisor
from foreshard.lab.traffic import Demand, arrivals
from foreshard.model.errors import InvalidValueError, LabError
from foreshard.model.safety_net import SafetyNet

GOLDEN = Path(__file__).parents[1] / "golden" / "reactive_envoy.yaml"
CHECKOUT = 0
KILL_AT_S = 2.0
# Ten keys a second belong there; a handful is inside the cell, or spends its tries.
MOST_LOST = 6


def test_the_reactive_twin_is_configured_as_in_the_golden_file(
    golden: Callable[[str, str], None],
) -> None:
    ports = {site.name: 9001 + i for i, site in enumerate(service.SITES)}
    config = bootstrap(service.fleet(ports), service.CLASSES, listen_port=8001, admin_port=8002)
    text = render(config)
    golden("reactive_envoy.yaml", text)
    assert yaml.safe_load(text) == config


def test_health_checks_never_undo_an_ejection() -> None:
    config = yaml.safe_load(GOLDEN.read_text())
    for cluster in config["static_resources"]["clusters"]:
        ejection = cluster.get("outlier_detection", {})
        assert ejection.get("successful_active_health_check_uneject_host", False) is False


def test_keys_that_only_health_checks_move_are_asked_again_at_home() -> None:
    def policies(net: SafetyNet) -> Mapping[str, bool]:
        config = bootstrap(
            service.fleet(dict.fromkeys((site.name for site in service.SITES), 9001)),
            service.CLASSES,
            listen_port=8001,
            net=net,
        )
        text = yaml.safe_load(render(config))
        edge = text["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
        hosts = edge["typed_config"]["route_config"]["virtual_hosts"][0]
        return {
            route["route"]["cluster"]: "retry_host_predicate" in route["route"]["retry_policy"]
            for route in hosts["routes"]
        }

    assert policies(SafetyNet()) == {"keyed": True, "free": True}
    assert policies(SafetyNet(ejects_keyed=False)) == {"keyed": False, "free": True}


@pytest.mark.parametrize(
    "wrong",
    [{"retries": 0}, {"panic_ratio": 1.5}, {"eject_max_s": 1.0}, {"check_path": "health"}],
)
def test_a_net_with_holes_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidValueError, match=next(iter(wrong))):
        SafetyNet(**wrong)  # type: ignore[arg-type]


async def test_a_taken_port_is_said_in_one_sentence(tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda _r, w: w.close(), service.HOST, 0)
    port = server.sockets[0].getsockname()[1]
    try:
        with pytest.raises(LabError, match=f"port {port} is taken, choose another"):
            await Envoy.launch("{}", name="edge", directory=tmp_path, port=port)
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.e2e
async def test_a_refused_configuration_shows_what_envoy_said(tmp_path: Path) -> None:
    hold = hold_port()
    with pytest.raises(LabError, match="no_such_field"):
        await Envoy.launch("no_such_field: 1", name="edge", directory=tmp_path, port=hold.port)
    hold.release()


@pytest.mark.e2e
async def test_a_killed_cell_hurts_only_its_keys_and_those_move_by_themselves(
    tmp_path: Path,
) -> None:
    """What reached nobody is tried again: free classes elsewhere, keys once home is ejected."""
    seconds = 8.0
    mix = tuple(service.MIX[c.name] for c in service.CLASSES)
    demand = Demand(rate_rps=90.0, duration_s=seconds, mix=mix, keys=service.KEYS)
    names = ("eu-1", "eu-2", "us-1")
    hold = hold_port()
    async with Supervisor(cells=names, logs=tmp_path) as cells:
        config = bootstrap(cells.fleet, service.CLASSES, listen_port=hold.port)
        envoy = await Envoy.launch(
            render(config), name="reactive", directory=tmp_path, port=hold.port
        )
        try:
            load = Load(
                targets={"reactive": f"http://{service.HOST}:{hold.port}"},
                classes=service.CLASSES,
                schedule=arrivals(demand, seed=1),
                start_at_s=time.time() + 0.2,
                cells={f"{service.HOST}:{port}": name for name, port in cells.ports.items()},
            )
            killer = asyncio.create_task(_kill(cells, load.start_at_s + KILL_AT_S))
            run = await generate(load, stop=asyncio.Event(), report=_ignore)
            await killer
            counters = await envoy.counters("cluster.(free|keyed)")
        finally:
            await envoy.stop()
            hold.release()
    assert counters["cluster.free.upstream_rq_retry_success"] > 0
    _assert_only_keys_suffered(run)


async def _kill(cells: Supervisor, at_s: float) -> None:
    await asyncio.sleep(at_s - time.time())
    cells.kill("eu-2")


def _ignore(figures: Mapping[str, object]) -> None:
    """The live figures are not looked at here."""


def _assert_only_keys_suffered(run: Run) -> None:
    records = run.fleets["reactive"].finished()
    verdict = judge(records, service.CLASSES)
    is_keyed = records.request_class == CHECKOUT
    assert not np.any(verdict.failed & ~is_keyed)
    lost_s = records.t_s[verdict.failed & is_keyed]
    # Those inside the cell when it dies, and those whose tries were all spent before it was
    # ejected, after five failures in a row: the next key's second try is the fifth.
    assert np.all((lost_s > KILL_AT_S - 0.5) & (lost_s < KILL_AT_S + 1.0))
    assert len(lost_s) <= MOST_LOST
    dead = run.cells.index("eu-2")
    homes = np.bincount(records.cell[is_keyed & (records.t_s < KILL_AT_S)], minlength=3)
    assert homes[dead] > 0
    afterwards = is_keyed & (records.t_s > KILL_AT_S + 1.0) & (records.t_s < KILL_AT_S + 5.5)
    assert np.all(records.cell[afterwards] != dead)
