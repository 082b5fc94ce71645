"""This module is the how-to of first use, done literally on a service that is not ours."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from contextlib import AsyncExitStack

import aiohttp
import pytest

from foreshard.controller.process import free_port, start
from foreshard.lab import service
from foreshard.lab.cell.faults import Fault, FaultKind
from foreshard.lab.envoy import Envoy
from foreshard.lab.steering import HORIZONS_S, PATIENCE
from tests.e2e.stage import until
from tests.e2e.stranger import Stranger, foreshard, strange

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(240)]

LEAK_S = 40.0
KEYS = 300
CLIENTS = 6
PAUSE_S = 0.03


class Customers:
    """Requests with keys that may not be asked twice; what became of them, by cell."""

    def __init__(self, port: int, cell_of: dict[str, str]) -> None:
        self._url = f"http://127.0.0.1:{port}/checkout"
        self._cell_of = cell_of
        self.lost: list[str] = []
        self.served: Counter[str] = Counter()

    async def go_on(self, first: int) -> None:
        """Ask until cancelled, one key after the other."""
        timeout = aiohttp.ClientTimeout(total=5.0)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            key = first
            while True:
                key = (key + 1) % KEYS
                headers = {service.KEY_HEADER: f"customer-{key}"}
                try:
                    async with session.post(self._url, headers=headers) as answer:
                        if answer.status != 200:
                            self.lost.append(f"{answer.status}")
                        node = answer.headers.get("x-served-by", "")
                        self.served[self._cell_of.get(node, node)] += 1
                except (aiohttp.ClientError, TimeoutError) as error:
                    self.lost.append(type(error).__name__)
                await asyncio.sleep(PAUSE_S)


def hasten(stranger: Stranger, *, port: int, admin: int) -> None:
    """What the owner writes into the file: act, and do not wait for minutes in a test."""
    thresholds = "\n".join(f"  {name}: {value}" for name, value in PATIENCE.items())
    horizons = list(HORIZONS_S)
    stranger.edit(
        ("mode: observe", "mode: act"),
        ("127.0.0.1:18000", f"127.0.0.1:{free_port()}"),
        (
            f"listen: 127.0.0.1:{stranger.hold.port}",
            f"listen: 127.0.0.1:{port}\n  served_by_header: x-served-by",
        ),
        (stranger.admin, f"127.0.0.1:{admin}"),
    )
    with stranger.config.open("a", encoding="utf-8") as file:
        file.write(
            f"\nforecast: {{every_s: 1.0, window_s: 90.0, horizons_s: {horizons}}}\n"
            f"thresholds:\n{thresholds}\nbudget: {{stale_s: 5.0, confirm_s: 2.0}}\n"
        )


async def test_traffic_leaves_a_strangers_cell_before_its_leak_bites() -> None:
    async with AsyncExitStack() as stack:
        stranger = await stack.enter_async_context(strange())
        at = stranger.directory
        said = await foreshard("init", "--from-envoy", stranger.admin, "--service", "shop", cwd=at)
        assert said.status == 0, said.err
        said = await foreshard("check", "foreshard.yaml", cwd=at)
        assert said.status == 0, said.out
        port, admin = free_port(), free_port()
        hasten(stranger, port=port, admin=admin)
        said = await foreshard("bootstrap", "foreshard.yaml", "--admin-port", str(admin), cwd=at)
        assert said.status == 0, said.err
        argv = [sys.executable, "-m", "foreshard", "run", str(stranger.config)]
        run = await start(argv, name="run", log=at / "run.log")
        stack.push_async_callback(run.terminate)
        steered = await Envoy.launch(said.out, name="steered", directory=at, port=port)
        stack.push_async_callback(steered.stop)

        nodes = {f"127.0.0.1:{number}": name for name, number in stranger.cells.ports.items()}
        customers = Customers(port, nodes)

        async def is_open() -> bool:
            async with aiohttp.ClientSession() as session:
                try:
                    async with session.get(f"http://127.0.0.1:{port}/search") as answer:
                        return answer.status == 200
                except aiohttp.ClientError:
                    return False

        await until(is_open, f"the steered Envoy serves; the log ends: {run.tail(15)}")
        group = await stack.enter_async_context(asyncio.TaskGroup())
        asking = [group.create_task(customers.go_on(50 * n)) for n in range(CLIENTS)]
        stack.callback(lambda: [task.cancel() for task in asking])
        await asyncio.sleep(14.0)
        assert customers.served["eu-2"] > 0.2 * customers.served.total(), "it has its keys"

        victim = stranger.cells.status()["eu-2"].pid
        await stranger.cells.inject(
            "eu-2", Fault(kind=FaultKind.LEAK, magnitude=1.0, duration_s=LEAK_S)
        )
        before = customers.served["eu-2"]
        asked = []
        for _ in range(int(2.0 * LEAK_S)):
            await asyncio.sleep(1.0)
            asked.append(customers.served["eu-2"] - before)
            before = customers.served["eu-2"]
            if stranger.cells.status()["eu-2"].pid != victim:
                break
        else:
            pytest.fail("the leak never bit")
        assert sum(asked[-4:-1]) == 0, f"it was asked until the end: {asked}"
        await asyncio.sleep(3.0)
        assert not customers.lost, "nobody noticed"
        said = await foreshard("why", "eu-2", "--config", "foreshard.yaml", cwd=at)
        assert said.status == 0, said.err
        assert "eu-2" in said.out
