"""This module is the `relay` process, put together from a configuration."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from foreshard.adapters.routing.relay import RelaySettings, run_relay
from foreshard.app.places import alone, relay_dir
from foreshard.app.sealing import seal_of
from foreshard.app.signals import stop_on_signals
from foreshard.config import Settings
from foreshard.model.errors import ConfigError

__all__ = ["run_relay_process"]


def run_relay_process(settings: Settings, *, origins: tuple[str, ...], keep: Path | None) -> None:
    """Keep the plans of some origins, and give them to Envoys that start without Foreshard.

    Raises:
        ConfigError: There is no address for a relay.
        SinkError: It is taken.
    """
    if settings.envoy.relay is None:
        raise ConfigError(
            "envoy.relay is missing: say where the relay listens, such as 127.0.0.1:18010, and "
            "print the bootstrap of the Envoys anew"
        )
    host, _, port = settings.envoy.relay.rpartition(":")
    upstream_host, _, upstream_port = settings.envoy.discovery.rpartition(":")
    directory = relay_dir(settings) if keep is None else keep
    relay = RelaySettings(
        directory=directory,
        origins=origins,
        upstream=(upstream_host, int(upstream_port)),
        host=host,
        port=int(port),
        seal=seal_of(settings),
    )

    async def work(stop: asyncio.Event) -> None:
        async with alone(directory, "relay"):
            running = asyncio.create_task(run_relay(relay))
            stopped = asyncio.create_task(stop.wait())
            await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    stop_on_signals(work)
