"""This module is the `relay` process, put together from a configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from pathlib import Path

from foreshard.adapters.routing.relay import Relay, RelaySettings
from foreshard.app.heartbeat import age_s, notify
from foreshard.app.places import alone, private, relay_dir
from foreshard.app.sealing import seal_of
from foreshard.app.signals import stop_on_signals
from foreshard.config import Settings
from foreshard.model.errors import ConfigError

__all__ = ["PATIENCE_S", "Tell", "alive_file", "relay_age_s", "run_relay_process", "silent"]


# Well within the watchdog of the unit file.
BEAT_S = 2.0
# The same as for an engine: a slow machine is no dead relay.
PATIENCE_S = 20.0


Tell = Callable[[Relay], AbstractAsyncContextManager[None]]


def silent(_: Relay) -> AbstractAsyncContextManager[None]:
    """Nobody is told how a relay fares."""
    return nullcontext()


def run_relay_process(
    settings: Settings,
    *,
    origins: tuple[str, ...],
    keep: Path | None,
    upstream: str,
    tell: Tell = silent,
) -> None:
    """Keep the plans of some origins, and give them to Envoys that start without Foreshard.

    Args:
        settings: Of Foreshard.
        origins: Regions of the Envoys beside it.
        keep: Where plans are kept; None = in the data directory.
        upstream: host:port of the discovery service, as it is reached from here.
        tell: Tells others how it fares, inside its block.

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
    upstream_host, _, upstream_port = upstream.rpartition(":")
    directory = relay_dir(settings) if keep is None else keep
    relay = Relay(
        RelaySettings(
            directory=directory,
            origins=origins,
            upstream=(upstream_host, int(upstream_port)),
            host=host,
            port=int(port),
            seal=seal_of(settings),
        )
    )

    async def work(stop: asyncio.Event) -> None:
        async with (
            alone(directory, "relay"),
            tell(relay),
        ):
            running = asyncio.create_task(relay.run(started=lambda _: notify("READY=1")))
            stopped = asyncio.create_task(stop.wait())
            beating = asyncio.create_task(_beat(alive_file(directory)))
            await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
            for task in (stopped, beating, running):
                task.cancel()
            with suppress(asyncio.CancelledError):
                await running

    with private():
        stop_on_signals(work)


def alive_file(directory: Path) -> Path:
    """Its time of change is the relay's last sign of life."""
    return directory / "relay.alive"


def relay_age_s(settings: Settings) -> float | None:
    """How long ago a relay that keeps its plans in the data directory last showed a sign of life.

    None = none ever did.

    Raises:
        StoreError: Nobody may look there.
    """
    return age_s(alive_file(relay_dir(settings)))


async def _beat(file: Path) -> None:
    """Say that our event loop turns."""
    while True:
        notify("WATCHDOG=1")
        # A full disk is said where plans are kept.
        with suppress(OSError):
            await asyncio.to_thread(file.touch)
        await asyncio.sleep(BEAT_S)
