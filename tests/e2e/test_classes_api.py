"""Classes that are changed over HTTP while requests run: the real processes, the real Envoy."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from foreshard.controller.process import free_port
from foreshard.model.routing import WeightRow
from tests.e2e.stage import STEERED, Stage, is_running, judged, staged, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

GOLD = {
    "priority": "critical",
    "weight": 5,
    "objective_s": 0.5,
    "timeout_s": 2.5,
    "match": {"method": "GET", "path_prefix": "/search", "headers": {"x-tier": "gold"}},
    "retriable": True,
    "needs": {"cpu": 0.024},
}


async def secret_for(config: Path, name: str, role: str) -> str:
    made = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "foreshard", "token", "create", str(config), name),
        *("--role", role),
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await made.communicate()
    return told.decode().strip()


def role_of(stage: Stage, role: str) -> psutil.Process:
    children = psutil.Process(stage.foreshard.pid).children()
    return next(child for child in children if role in child.cmdline())


class Client:
    """An operator who takes what there is and changes it."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """What is read there."""
        answer = await self._http.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def is_answered(self) -> bool:
        """Whether anybody answers."""
        try:
            return (await self._http.get("/healthz")).status_code == 200
        except httpx.TransportError:
            return False

    async def change(self, method: str, path: str, **more: Any) -> Any:  # noqa: ANN401 - JSON
        """What became of a change to what there is now."""
        tag = (await self._http.get("/v1/classes")).headers["etag"]
        answer = await self._http.request(method, path, headers={"if-match": tag}, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def flies(self, version: int) -> None:
        """Return once the engine flies a version."""

        async def holds() -> bool:
            return bool((await self.get("/v1/status"))["flown_version"] == version)

        await until(holds, f"version {version} flies")


async def test_a_class_that_is_defined_over_the_api_gets_its_requests_at_once() -> None:
    address = f"127.0.0.1:{free_port()}"
    async with (
        staged(altered={"api": {"listen": address}}) as stage,
        httpx.AsyncClient(base_url=f"http://{address}", timeout=20.0) as http,
    ):
        secret = await secret_for(stage.config, "on call", "operator")
        http.headers["authorization"] = f"Bearer {secret}"
        client = Client(http)
        await until(client.is_answered, "the API answers")
        engine = role_of(stage, "engine")

        async def arrived(name: str) -> int:
            found = await stage.envoys[STEERED].counters(rf"^foreshard\.arrived\.class\.{name}$")
            return sum(found.values())

        async def ask() -> int:
            async with httpx.AsyncClient() as caller:
                to = f"{stage.targets[STEERED]}/search"
                return (await caller.get(to, headers={"x-tier": "gold"})).status_code

        async def story() -> None:
            await stage.ticks(12)
            proposed = await client.change(
                "PUT", "/v1/classes/gold", json=GOLD, params={"dry_run": True, "taken_ratio": 0.1}
            )
            assert proposed["version"] == 0
            assert proposed["says"].startswith("this change would move ")
            made = await client.change("PUT", "/v1/classes/gold", json=GOLD)
            assert made["version"] == 1
            await client.flies(1)

            async def is_live() -> bool:
                names = [r.request_class.name for r in (await stage.live()).classes]
                return names == ["checkout", "gold", "search", "report"]

            await until(is_live, "the class is in the live table")
            before = await arrived("gold")
            assert before == 0
            assert await ask() == 200

            async def is_counted() -> bool:
                return await arrived("gold") == 1

            await until(is_counted, "Envoy counts the request under the new class")
            assert is_running(engine), "no engine was started anew"
            # What a hung engine does not hear, it takes up when it moves again.
            engine.suspend()
            kept = {**GOLD, "cells": ["eu-1", "eu-2"]}
            assert (await client.change("PUT", "/v1/classes/gold", json=kept))["version"] == 2
            assert (await client.get("/v1/status"))["flown_version"] == 1
            engine.resume()
            await client.flies(2)

            async def is_kept() -> bool:
                routes = {r.request_class.name: r for r in (await stage.live()).classes}
                rows = [row for row in routes["gold"].rows.values() if isinstance(row, WeightRow)]
                return {cell for row in rows for cell in row.weights} <= {"eu-1", "eu-2"}

            await until(is_kept, "the class leaves the other cells")

            async def is_known() -> bool:
                return (await client.get("/v1/classes/gold"))["profile"] is not None

            await until(is_known, "the engine says what it knows of its cost")

        run = await stage.play(story)
        # The search requests of the load went on undisturbed under all of it.
        assert judged(run, STEERED).failed.mean() < 0.01


async def test_the_api_dies_alone_and_outlives_the_engine() -> None:
    address = f"127.0.0.1:{free_port()}"
    async with (
        staged(altered={"api": {"listen": address}}) as stage,
        httpx.AsyncClient(base_url=f"http://{address}", timeout=20.0) as http,
    ):
        http.headers["authorization"] = (
            f"Bearer {await secret_for(stage.config, 'on call', 'operator')}"
        )
        client = Client(http)
        await until(client.is_answered, "the API answers")
        others = {role: role_of(stage, role).pid for role in ("serve", "engine")}
        web = role_of(stage, "web")
        web.kill()

        async def is_back() -> bool:
            return not is_running(web) and await client.is_answered()

        await until(is_back, "the API is started again")
        assert {role: role_of(stage, role).pid for role in others} == others
        # Written and not yet taken up when the engine dies: the next one flies it.
        engine = role_of(stage, "engine")
        engine.suspend()
        made = await client.change("PUT", "/v1/classes/gold", json=GOLD)
        engine.kill()
        assert (await client.get("/v1/classes"))["version"] == made["version"] == 1
        await client.flies(1)

        async def is_live() -> bool:
            return "gold" in {r.request_class.name for r in (await stage.live()).classes}

        await until(is_live, "the next engine serves the class")
