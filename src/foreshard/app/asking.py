"""This module is what a person asks of a running Foreshard, and tells it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from foreshard.adapters.routing.client import ServeSink
from foreshard.adapters.store.reading import SqliteReader
from foreshard.app.places import state_dir
from foreshard.config import Settings
from foreshard.model.errors import SinkError, StoreError

__all__ = ["engine_status", "freeze", "frozen_because", "latest_decision", "thaw"]


def engine_status(settings: Settings) -> Mapping[str, Any] | None:
    """What the engine last said of itself and the fleet; None before it first did."""
    try:
        with SqliteReader(state_dir(settings)) as reader:
            return reader.get("status")
    except StoreError:
        return None


def latest_decision(settings: Settings, cell: str) -> Mapping[str, Any] | None:
    """The newest decision with a reason about a cell.

    Raises:
        StoreError: No engine has ever kept anything there, or it cannot be read.
    """
    with SqliteReader(state_dir(settings)) as reader:
        return reader.latest(cell)


def freeze(settings: Settings, reason: str) -> None:
    """Refuse every new table until `thaw`.

    Raises:
        SinkError: The serve process cannot be reached.
    """

    async def work() -> None:
        async with ServeSink(settings.data_dir) as sink:
            await sink.freeze(reason)

    asyncio.run(work())


def thaw(settings: Settings) -> None:
    """Accept tables again.

    Raises:
        SinkError: The serve process cannot be reached.
    """

    async def work() -> None:
        async with ServeSink(settings.data_dir) as sink:
            await sink.thaw()

    asyncio.run(work())


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
