"""This module is what a person asks of a running Foreshard, and tells it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from foreshard.adapters.routing.client import ServeSink
from foreshard.adapters.store.reading import SqliteReader
from foreshard.app.heartbeat import age_s, engine_age_s, patience_s, web_file
from foreshard.app.places import state_dir
from foreshard.app.relaying import PATIENCE_S, relay_age_s
from foreshard.config import Settings
from foreshard.controller.profiling import KEY
from foreshard.controller.scouting import ENDPOINTS
from foreshard.model.errors import ConfigError, SinkError, StoreError

__all__ = [
    "engine_status",
    "freeze",
    "frozen_because",
    "health",
    "latest_decision",
    "thaw",
    "workload_profile",
]

# A probe must have its answer soon.
HEALTH_TIMEOUT_S = 4.0
# It beats every two seconds.
WEB_PATIENCE_S = 20.0


def engine_status(settings: Settings) -> Mapping[str, Any] | None:
    """What the engine last said of itself and the fleet; None before it first did."""
    try:
        with SqliteReader(state_dir(settings)) as reader:
            return reader.get("status")
    except StoreError:
        return None


def workload_profile(settings: Settings) -> Mapping[str, Any] | None:
    """What requests cost, as the engine last wrote it; None before it first did.

    With `unclassed`, which endpoints no class takes, where it has said that.
    """
    try:
        with SqliteReader(state_dir(settings)) as reader:
            costs, endpoints = reader.get(KEY), reader.get(ENDPOINTS)
            return costs and ({**costs, "unclassed": endpoints} if endpoints else costs)
    except StoreError:
        return None


def latest_decision(settings: Settings, cell: str) -> Mapping[str, Any] | None:
    """The newest decision with a reason about a cell.

    Raises:
        StoreError: No engine has ever kept anything there, or it cannot be read.
    """
    with SqliteReader(state_dir(settings)) as reader:
        return reader.latest(cell)


def freeze(settings: Settings, reason: str) -> str:
    """Refuse every new table until `thaw`; what is wrong with it although it holds, or "".

    Raises:
        SinkError: The serve process cannot be reached.
    """

    async def work() -> str:
        async with ServeSink(settings.data_dir) as sink:
            return await sink.freeze(reason)

    return asyncio.run(work())


def thaw(settings: Settings) -> None:
    """Accept tables again.

    Raises:
        SinkError: The serve process cannot be reached.
    """

    async def work() -> None:
        async with ServeSink(settings.data_dir) as sink:
            await sink.thaw()

    asyncio.run(work())


def health(settings: Settings, role: str) -> tuple[bool, str]:
    """Whether a process is alive and does its work, and how that is known.

    Args:
        settings: Of the Foreshard asked.
        role: `serve`, `engine`, `web` or `relay` (one that keeps its plans in the data directory).

    Raises:
        ConfigError: There is no such role.
        StoreError: Nobody may look into the data directory.
    """
    if role == "engine":
        return _by_age(role, settings, engine_age_s(settings), patience_s(settings))
    if role == "relay":
        return _by_age(role, settings, relay_age_s(settings), PATIENCE_S)
    if role == "web":
        return _by_age(role, settings, age_s(web_file(settings)), WEB_PATIENCE_S)
    if role != "serve":
        raise ConfigError(f"process is {role!r}, must be serve, engine, web or relay")

    async def work() -> str:
        async with ServeSink(settings.data_dir, timeout_s=HEALTH_TIMEOUT_S) as sink:
            status = await sink.status()
        nodes = status["nodes"]
        count = len(nodes) if isinstance(nodes, list) else 0
        return f"serve: serves version {status['version']} to {count} Envoys"

    try:
        return True, asyncio.run(work())
    except SinkError as error:
        return False, str(error)


def _by_age(
    role: str, settings: Settings, age_s: float | None, limit_s: float
) -> tuple[bool, str]:
    if age_s is None:
        return False, f"{role}: has never run with data_dir {settings.data_dir}"
    is_well = age_s <= limit_s
    text = f"{role}: its last sign of life is {age_s:.1f} s old"
    return is_well, text if is_well else f"{text}, more than {limit_s:g} s"


def frozen_because(settings: Settings) -> str:
    """Why an operator froze the plan; "" when it is not frozen, or nobody can be asked."""

    async def work() -> str:
        async with ServeSink(settings.data_dir) as sink:
            frozen = (await sink.status()).get("frozen")
            return str(frozen["reason"]) if isinstance(frozen, Mapping) else ""

    try:
        return asyncio.run(work())
    except SinkError:
        return ""
