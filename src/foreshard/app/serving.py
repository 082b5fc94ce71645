"""This module is the `serve` process, put together from a configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from foreshard.adapters.page import Answer, Ask, pages
from foreshard.adapters.routing.client import ServeSink
from foreshard.adapters.routing.envoy.bootstrap import bootstrap_text
from foreshard.adapters.routing.envoy.renderer import Renderer
from foreshard.adapters.routing.envoy.settings import EnvoySettings
from foreshard.adapters.routing.serve import ServeSettings, run_serve
from foreshard.app.heartbeat import notify
from foreshard.app.places import private
from foreshard.app.sealing import seal_of
from foreshard.app.signals import stop_on_signals
from foreshard.config import Settings
from foreshard.controller.page import serve_page
from foreshard.controller.process import LOOPBACK
from foreshard.model.errors import SinkError
from foreshard.model.safety_net import SafetyNet

__all__ = ["bootstrap_of", "envoy_settings", "run_serve_process"]

# We ask ourselves; nobody else is on the way.
ANSWER_S = 5.0
# Well within the watchdog of the unit file.
BEAT_S = 2.0


def run_serve_process(settings: Settings) -> None:
    """Serve balancers until a signal ends it."""
    host, port = _address(settings.envoy.discovery)
    envoy = envoy_settings(settings)
    serving = ServeSettings(
        data_dir=settings.data_dir,
        render=Renderer(envoy),
        host=host,
        port=port,
        seal=seal_of(settings),
    )

    async def work(stop: asyncio.Event) -> None:
        async with (
            ServeSink(settings.data_dir, timeout_s=ANSWER_S) as itself,
            pages(settings.metrics.serve, _pages_of(itself)),
        ):
            server = asyncio.create_task(run_serve(serving, started=lambda _: _is_ready()))
            stopped = asyncio.create_task(stop.wait())
            beating = asyncio.create_task(_beat(itself))
            await asyncio.wait({server, stopped}, return_when=asyncio.FIRST_COMPLETED)
            for task in (stopped, beating, server):
                task.cancel()
            with suppress(asyncio.CancelledError):
                await server

    with private():
        stop_on_signals(work)


def _is_ready() -> None:
    notify("READY=1")


async def _beat(itself: ServeSink) -> None:
    """Tell the init system that we answer, as long as we do."""
    while True:
        await asyncio.sleep(BEAT_S)
        with suppress(SinkError):
            await itself.status()
            notify("WATCHDOG=1")


def _pages_of(itself: ServeSink) -> Mapping[str, Ask]:
    """Answers come through our own control socket: a page proves that it answers."""

    async def metrics() -> Answer:
        return Answer(text=serve_page(await itself.status()))

    async def health() -> Answer:
        await itself.status()
        return Answer(text="answers\n")

    async def ready() -> Answer:
        version = (await itself.status())["version"]
        return Answer(text=f"serves version {version}\n", is_well=version is not None)

    return {
        path: _or_unwell(ask)
        for path, ask in {"/metrics": metrics, "/healthz": health, "/readyz": ready}.items()
    }


def _or_unwell(ask: Ask) -> Ask:
    async def answer() -> Answer:
        try:
            return await ask()
        except SinkError as error:
            return Answer(text=f"{error}\n", is_well=False)

    return answer


def bootstrap_of(
    settings: Settings,
    *,
    node_id: str,
    admin_port: int,
    region: str,
    admin_host: str = LOOPBACK,
    discovery: str | None = None,
) -> str:
    """Bootstrap of an Envoy that is to be steered, YAML.

    Args:
        settings: Of the Foreshard that steers it.
        node_id: Unique among the Envoys.
        admin_port: Of its admin page.
        region: Where it stands.
        admin_host: Of its admin page.
        discovery: host:port under which it reaches Foreshard; None = where that listens.
    """
    relay = settings.envoy.relay
    return bootstrap_text(
        node_id=node_id,
        region=region,
        zone=region,
        discovery=_address(discovery or settings.envoy.discovery),
        admin=(admin_host, admin_port),
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
        path_sample_ratio=settings.envoy.path_sample_ratio,
    )


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)
