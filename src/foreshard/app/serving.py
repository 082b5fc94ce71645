"""This module is the `serve` process, put together from a configuration."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from foreshard.adapters.routing.envoy.bootstrap import bootstrap_text
from foreshard.adapters.routing.envoy.render import render
from foreshard.adapters.routing.envoy.settings import EnvoySettings
from foreshard.adapters.routing.serve import ServeSettings, run_serve
from foreshard.app.sealing import seal_of
from foreshard.app.signals import stop_on_signals
from foreshard.config import Settings
from foreshard.model.safety_net import SafetyNet

__all__ = ["bootstrap_of", "envoy_settings", "run_serve_process"]


def run_serve_process(settings: Settings) -> None:
    """Serve balancers until a signal ends it."""
    host, port = _address(settings.envoy.discovery)
    envoy = envoy_settings(settings)
    serving = ServeSettings(
        data_dir=settings.data_dir,
        render=lambda table, origin: render(table, origin=origin, settings=envoy),
        host=host,
        port=port,
        seal=seal_of(settings),
    )

    async def work(stop: asyncio.Event) -> None:
        server = asyncio.create_task(run_serve(serving))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({server, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        server.cancel()
        with suppress(asyncio.CancelledError):
            await server

    stop_on_signals(work)


def bootstrap_of(settings: Settings, *, node_id: str, admin_port: int, region: str) -> str:
    """Bootstrap of an Envoy that is to be steered, YAML."""
    relay = settings.envoy.relay
    return bootstrap_text(
        node_id=node_id,
        region=region,
        zone=region,
        discovery=_address(settings.envoy.discovery),
        admin_port=admin_port,
        relay=None if relay is None else _address(relay),
    )


def envoy_settings(settings: Settings) -> EnvoySettings:
    """What every steered Envoy shares."""
    host, port = _address(settings.envoy.listen)
    return EnvoySettings(
        listen_host=host,
        listen_port=port,
        net=SafetyNet(check_path=settings.scrape.health_path or "/"),
        served_by_header=settings.envoy.served_by_header,
    )


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)
