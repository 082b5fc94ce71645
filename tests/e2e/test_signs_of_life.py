"""What each process tells an init system, probes and Prometheus, asked of real processes."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import yaml

from foreshard.app.asking import health
from foreshard.app.heartbeat import alive_file, beater, patience_s
from foreshard.config import Settings, load
from foreshard.controller.process import free_port, start
from foreshard.lab.steering import demo_config
from tests.docs.page import script_of
from tests.e2e.stage import until
from tests.test_config import site

PAGES = ("watch", "logs", "upgrade", "ask-for-help")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


@asynccontextmanager
async def running(*roles: str) -> AsyncIterator[tuple[Settings, list[str]]]:
    """Processes without any Envoy or cell, and what they tell the init system."""
    async with AsyncExitStack() as stack:
        # Not pytest's folder: the path of a control socket has 107 bytes.
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fs-")))
        ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        stack.callback(ear.close)
        ear.bind(str(directory / "notify"))
        told: list[str] = []

        async def listen() -> None:
            loop = asyncio.get_running_loop()
            while True:
                told.append((await loop.sock_recv(ear, 4096)).decode())

        listening = asyncio.create_task(listen())
        stack.callback(listening.cancel)
        values = {
            **demo_config(site()),
            "data_dir": "data",
            "events_file": None,
            "metrics": {role: f"127.0.0.1:{free_port()}" for role in ("serve", "engine")},
            "api": {"listen": f"127.0.0.1:{free_port()}"},
            "envoy": {"discovery": f"127.0.0.1:{free_port()}", "listen": "127.0.0.1:10000"},
        }
        config = directory / "foreshard.yaml"
        config.write_text(yaml.safe_dump(values))
        for role in roles:
            child = await start(
                [sys.executable, "-m", "foreshard", role, str(config)],
                name=role,
                log=directory / f"{role}.log",
                env={"NOTIFY_SOCKET": str(directory / "notify")},
            )
            stack.push_async_callback(child.terminate)
        yield load(config), told


async def ask(address: str | None, path: str) -> tuple[int, str]:
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{address}{path}") as answer,
        ):
            return answer.status, await answer.text()
    except aiohttp.ClientError:
        return 0, ""


async def test_web_tells_the_init_system_that_it_answers() -> None:
    async with running("web") as (settings, told):

        async def beats() -> bool:
            return "READY=1\nWATCHDOG=1" in told and health(settings, "web")[0]

        await until(beats, "web tells the init system that it lives")


async def test_serve_is_alive_before_it_has_a_plan_and_ready_only_then() -> None:
    async with running("serve") as (settings, told):

        async def beats() -> bool:
            return "READY=1" in told and "WATCHDOG=1" in told

        await until(beats, "serve tells the init system that it lives")
        page = settings.metrics.serve
        assert (await ask(page, "/healthz"))[0] == 200
        assert (await ask(page, "/readyz"))[0] == 503
        status, text = await ask(page, "/metrics")
        assert status == 200
        assert 'foreshard_build_info{role="serve"' in text
        assert "foreshard_serve_plan_version " not in text
        assert (await asyncio.to_thread(health, settings, "serve"))[0]
        is_well, why = await asyncio.to_thread(health, settings, "engine")
        assert not is_well
        assert "has never run" in why


async def test_an_engine_that_achieves_nothing_is_alive_and_has_no_heartbeat() -> None:
    async with running("engine") as (settings, told):

        async def beats() -> bool:
            return any("WATCHDOG=1" in message for message in told)

        await until(beats, "the engine tells the init system that it turns")
        page = settings.metrics.engine
        assert (await ask(page, "/healthz"))[0] == 200
        assert (await ask(page, "/readyz"))[0] == 503
        _, text = await ask(page, "/metrics")
        assert 'foreshard_ticks_total{outcome="unadopted"} ' in text
        assert "foreshard_heartbeat_timestamp_seconds " not in text
        assert health(settings, "engine")[0]


async def test_a_page_that_cannot_be_had_does_not_stop_the_process() -> None:
    async with running("serve") as (settings, told):

        async def is_ready() -> bool:
            return "READY=1" in told

        await until(is_ready, "the first serve is ready")
        other = settings.data_dir / "second.yaml"
        values = yaml.safe_load((settings.data_dir.parent / "foreshard.yaml").read_text())
        values |= {"data_dir": "other", "envoy": {"discovery": f"127.0.0.1:{free_port()}"}}
        other.write_text(yaml.safe_dump(values))
        log = settings.data_dir / "second.log"
        child = await start(
            [sys.executable, "-m", "foreshard", "serve", str(other)], name="second", log=log
        )
        try:

            async def goes_on() -> bool:
                text = log.read_text()
                return "page.unavailable" in text and "serve.started" in text

            await until(goes_on, "it says that the page is taken, and serves")
        finally:
            await child.terminate()


async def test_the_commands_on_the_pages_for_operators_work() -> None:
    async with running("serve", "engine") as (settings, told):

        async def are_up() -> bool:
            return sum("READY=1" in message for message in told) >= 2

        await until(are_up, "both processes are up")
        folder = settings.data_dir.parent
        programs = Path(sys.executable).parent
        typed = [c for page in PAGES for c in script_of(f"docs/how-to/{page}.md")]
        assert len(typed) >= 6
        for command in typed:
            shell = await asyncio.create_subprocess_shell(
                command,
                cwd=folder,
                env={**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
                stdout=PIPE,
                stderr=STDOUT,
            )
            said, _ = await shell.communicate()
            assert shell.returncode == 0, f"{command}: {said.decode()}"
        assert (folder / "foreshard-bundle.zip").exists()


def test_an_engine_whose_last_turn_is_long_ago_is_not_well(tmp_path: Path) -> None:
    config = tmp_path / "foreshard.yaml"
    config.write_text(yaml.safe_dump({**demo_config(site()), "data_dir": "data"}))
    settings = load(config)
    settings.data_dir.mkdir()
    beater(settings)()
    assert health(settings, "engine")[0]
    long_ago_s = time.time() - 10.0 * patience_s(settings)
    os.utime(alive_file(settings), (long_ago_s, long_ago_s))
    is_well, why = health(settings, "engine")
    assert not is_well
    assert "more than 20 s" in why
