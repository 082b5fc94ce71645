"""This module is a fleet of real cells and the real Envoy before it, steered or not.

Whatever is started is put on the caller's stack, which ends it in the reverse order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from foreshard.controller.process import Child, free_port, hold_port, start
from foreshard.lab import service
from foreshard.lab.envoy import Envoy
from foreshard.lab.reactive import bootstrap, render
from foreshard.lab.steering import Site
from foreshard.lab.supervisor import Supervisor
from foreshard.lab.webhook import Webhook
from foreshard.model.errors import LabError
from foreshard.model.safety_net import SafetyNet
from foreshard.model.workload import RequestClass

__all__ = ["PLANNED_WITHIN_S", "configured_envoy", "foreshard", "site_of", "steered_envoy"]

PLANNED_WITHIN_S = 30.0
LOOK_S = 0.1


async def configured_envoy(
    stack: AsyncExitStack,
    fleet: Supervisor,
    classes: Sequence[RequestClass],
    *,
    name: str,
    directory: Path,
    net: SafetyNet | None = None,
) -> str:
    """An Envoy that nobody steers; returns its base URL."""
    port = _held_port(stack)
    config = render(bootstrap(fleet.fleet, classes, listen_port=port, net=net))
    envoy = await Envoy.launch(config, name=name, directory=directory, port=port)
    stack.push_async_callback(envoy.stop)
    return f"http://{service.HOST}:{port}"


def site_of(
    stack: AsyncExitStack, fleet: Supervisor, directory: Path, *, events: Path, door: Webhook
) -> Site:
    """Where the parts of a steered fleet will be.

    Args:
        stack: Gives the listener's port back.
        fleet: Runs already.
        directory: Of everything that is kept.
        events: File of announced events.
        door: Takes restarts.
    """
    return Site(
        fleet=fleet.fleet,
        data_dir=directory / "data",
        events=events,
        webhook=f"{door.url}/events",
        listen=f"{service.HOST}:{_held_port(stack)}",
        # Known to be weak: neither listens beside a holder, so these two are only likely free.
        admin=f"{service.HOST}:{free_port()}",
        discovery=f"{service.HOST}:{free_port()}",
    )


async def foreshard(
    stack: AsyncExitStack,
    argv: Sequence[str],
    *,
    log: Path,
    has_plan: Callable[[], Awaitable[bool]],
) -> Child:
    """Start a command of Foreshard's and wait until there is a plan to serve.

    Args:
        stack: Ends it.
        argv: Program and arguments.
        log: Gets what it says.
        has_plan: Asked ten times a second.

    Raises:
        LabError: It ended, or made no plan in time.
    """
    child = await start(argv, name="foreshard", log=log)
    stack.push_async_callback(child.terminate)
    try:
        async with asyncio.timeout(PLANNED_WITHIN_S):
            while not await has_plan():
                if not child.is_running:
                    raise LabError(f"Foreshard ended at its start; its log ends: {child.tail()}")
                await asyncio.sleep(LOOK_S)
    except TimeoutError as error:
        raise LabError(
            f"Foreshard made no plan within {PLANNED_WITHIN_S:g} s; its log ends: {child.tail(15)}"
        ) from error
    return child


async def steered_envoy(
    stack: AsyncExitStack, text: str, site: Site, *, name: str, directory: Path
) -> str:
    """An Envoy with a bootstrap that Foreshard has written; returns its base URL."""
    port = int(site.listen.rpartition(":")[2])
    envoy = await Envoy.launch(text, name=name, directory=directory, port=port)
    stack.push_async_callback(envoy.stop)
    return f"http://{site.listen}"


def _held_port(stack: AsyncExitStack) -> int:
    """A port that nobody else gets while its Envoy is not there yet."""
    hold = hold_port()
    stack.callback(hold.release)
    return hold.port
