from __future__ import annotations

import asyncio
import json
import sys

import aiohttp
import pytest

from foreshard.adapters.inspection import envoy as inspected
from foreshard.adapters.routing import serve
from foreshard.adapters.routing.envoy import bootstrap
from foreshard.app.checking import looking
from foreshard.app.checking.check import check
from foreshard.app.checking.finding import Checkup, Mark
from foreshard.config import load
from foreshard.controller.process import free_port, start
from foreshard.lab import service
from foreshard.lab.envoy import Envoy
from foreshard.model.plan import Mode
from tests.e2e.stage import until
from tests.e2e.stranger import Stranger, foreshard, frozen_cell, strange, with_node

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(180),
    # `check` brings a loop of its own and runs in a thread beside this one, which only sends
    # requests: on a busy machine the two wait for each other's turn at the interpreter.
    pytest.mark.may_block,
]


async def begun(stranger: Stranger) -> None:
    """`init` as the how-to has it, with a discovery port that is free here."""
    said = await foreshard(
        "init", "--from-envoy", stranger.admin, "--service", "shop", cwd=stranger.directory
    )
    assert said.status == 0, said.err
    stranger.edit(("127.0.0.1:18000", f"127.0.0.1:{free_port()}"))


async def checked(stranger: Stranger) -> Checkup:
    """What `check` finds; in this process, which has loaded everything already."""
    return await asyncio.to_thread(check, load(stranger.config), file="foreshard.yaml")


def marked(found: Checkup, mark: Mark) -> list[str]:
    return [one.says for one in found.findings if one.mark is mark]


async def test_init_then_check_finds_everything_a_stranger_has() -> None:
    async with strange() as stranger:
        await begun(stranger)
        settings = load(stranger.config)
        assert settings.mode is Mode.OBSERVE
        assert settings.fleet() == stranger.cells.fleet
        classes = {each.name: each for each in settings.classes}
        assert list(classes) == [each.name for each in service.CLASSES]
        assert classes["checkout"].key_header == service.KEY_HEADER
        assert classes["checkout"].match.method == "POST"
        assert classes["search"].retriable
        assert settings.envoy.listen == f"127.0.0.1:{stranger.hold.port}"
        assert settings.scrape.health_path == "/health"
        resources = {gauge.resource for gauge in settings.scrape.gauges}
        assert resources == {"cpu", "memory", "disk", "connections"}
        schema = json.loads((stranger.directory / "foreshard.schema.json").read_text())
        assert schema["title"] == "Foreshard configuration"

        found = await checked(stranger)
        assert not marked(found, Mark.RED)
        assert any("is not steered by Foreshard yet" in says for says in marked(found, Mark.AMBER))
        assert any("gauge memory" in says for says in marked(found, Mark.GREEN))

        said = await foreshard("check", "foreshard.yaml", "--strict", cwd=stranger.directory)
        assert said.status == 1
        assert "what is lost, what matters most first" in said.out
        assert "\033[" not in said.out

        before = stranger.config.read_text()
        again = await foreshard("init", "--from-envoy", stranger.admin, cwd=stranger.directory)
        assert again.status == 1
        assert "is there already; --force overwrites it" in again.err
        assert stranger.config.read_text() == before


async def test_what_is_broken_is_the_red_line() -> None:
    async with strange() as stranger:
        await begun(stranger)
        good = stranger.config.read_text()

        async def red(*changes: tuple[str, str]) -> str:
            stranger.edit(*changes)
            found = await checked(stranger)
            stranger.config.write_text(good)
            return "\n".join(marked(found, Mark.RED))

        says = await red(("used: {metric: cell_cpu_seconds_total}", "used: {metric: cpu_seconds}"))
        assert "gauge cpu: no page has cpu_seconds" in says
        nobody = free_port()
        says = await red((f'admin: "{stranger.admin}"', f'admin: "127.0.0.1:{nobody}"'))
        assert says == f"envoy 127.0.0.1:{nobody}: refuses connections"
        other = f"127.0.0.1:{stranger.cells.ports['eu-1']}"
        says = await red((f'admin: "{stranger.admin}"', f'admin: "{other}"'))
        assert says == f"envoy {other}: answers, but is no Envoy"
        says = await red(("health_path: /health ", "health_path: /nowhere "))
        assert "health path /nowhere answers 404" in says
        says = await red(("path: /metrics", "path: /report"))
        assert "metrics page /report" in says or "no page has" in says

        stranger.cells.power_off("eu-2")

        async def is_gone() -> bool:
            return not stranger.cells.status()["eu-2"].pid

        await until(is_gone, "eu-2 is off")
        port = stranger.cells.ports["eu-2"]
        assert await red() == f"cell eu-2: 127.0.0.1:{port} refuses connections"


async def test_counters_that_stand_still_under_requests_are_a_lie() -> None:
    page = (
        "process_cpu_seconds_total 17.5\n"
        "process_open_fds 7\nprocess_max_fds 1000\n"
        "process_resident_memory_bytes 1e8\n"
        'cell_cpu_seconds_total 12\ncell_resource_limit{resource="cpu"} 3\n'
        'cell_info{cell="us-1",version="1"} 1\n'
    )
    async with (
        frozen_cell(page) as node,
        strange(lambda fleet: with_node(fleet, "us-1", node)) as stranger,
    ):
        said = await foreshard(
            "init", "--from-envoy", stranger.admin, "--cpus", "3", cwd=stranger.directory
        )
        assert said.status == 0, said.err
        stranger.edit(("127.0.0.1:18000", f"127.0.0.1:{free_port()}"))
        found = await checked(stranger)
        says = "\n".join(marked(found, Mark.RED))
        assert "gauge cpu: cell_cpu_seconds_total stood still for" in says
        assert "us-1" in says
        assert "eu-1" not in says


async def test_after_run_and_bootstrap_everything_is_steered() -> None:
    async with strange() as stranger:
        await begun(stranger)
        stranger.edit(("mode: observe", "mode: act"))
        port, admin = free_port(), free_port()
        # Beside the old one here; a user stops that and takes its ports.
        stranger.edit(
            (f"listen: 127.0.0.1:{stranger.hold.port}", f"listen: 127.0.0.1:{port}"),
            (stranger.admin, f"127.0.0.1:{admin}"),
        )
        said = await foreshard("bootstrap", "foreshard.yaml", cwd=stranger.directory)
        assert said.status == 0, said.err
        argv = [sys.executable, "-m", "foreshard", "run", str(stranger.config)]
        run = await start(argv, name="run", log=stranger.directory / "run.log")
        steered = None
        try:
            steered = await Envoy.launch(
                said.out, name="steered", directory=stranger.directory, port=port
            )
            stranger.edit((f"127.0.0.1:{admin}", steered.admin.removeprefix("http://")))

            async def serves() -> bool:
                async with aiohttp.ClientSession() as session:
                    try:
                        async with session.get(f"http://127.0.0.1:{port}/search") as answer:
                            return answer.status == 200
                    except aiohttp.ClientError:
                        return False

            await until(serves, f"the steered Envoy serves; the log ends: {run.tail(15)}")
            found = await checked(stranger)
            green = "\n".join(marked(found, Mark.GREEN))
            assert not marked(found, Mark.RED)
            assert "steered from 127.0.0.1" in green
            assert "engine is process" in green
            assert "serve is process" in green
            assert "a steered Envoy listens" in green
            assert not marked(found, Mark.AMBER)
        finally:
            if steered is not None:
                await steered.stop()
            await run.terminate()


def test_what_check_looks_for_is_what_bootstrap_writes() -> None:
    assert inspected.DISCOVERY_CLUSTER == bootstrap.DISCOVERY_CLUSTER
    assert looking.MAX_SOCKET_PATH == serve.MAX_SOCKET_PATH
