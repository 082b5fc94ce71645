"""This module is what of the world a configuration reaches: what can be seen, and done."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from foreshard.adapters.cells.webhook import WebhookCellDriver
from foreshard.adapters.events.file import FileEventSource
from foreshard.adapters.metrics.envoy import EnvoyAdmin, EnvoyTrafficSource
from foreshard.adapters.metrics.prometheus import CellScrape, ScrapeOptions
from foreshard.adapters.routing.client import ServeSink
from foreshard.app.gauges import gauge_of
from foreshard.config import Settings
from foreshard.ports import Clock

__all__ = ["Reach", "reach"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """The ports to the world around one fleet.

    Attributes:
        cells: Their pages.
        traffic: The balancers' counters.
        events: What is announced; None = nobody announces anything.
        sink: The `serve` process.
        driver: Whoever restarts cells; None = nobody.
    """

    cells: CellScrape
    traffic: EnvoyTrafficSource
    events: FileEventSource | None
    sink: ServeSink
    driver: WebhookCellDriver | None


async def reach(settings: Settings, clock: Clock, stack: AsyncExitStack) -> Reach:
    """Put the ports of a configuration together; whoever closes the stack closes them."""
    gauges = [gauge_of(spec) for spec in settings.scrape.gauges]
    options = ScrapeOptions(
        metrics_path=settings.scrape.path,
        health_path=settings.scrape.health_path,
        timeout_s=settings.scrape.timeout_s,
    )
    admins = [EnvoyAdmin(origin=b.origin, address=b.admin) for b in settings.balancers]
    events, driver = settings.events_file, None
    if settings.driver is not None:
        driver = await stack.enter_async_context(
            WebhookCellDriver(settings.driver.webhook, clock=clock)
        )
    return Reach(
        cells=await stack.enter_async_context(
            CellScrape(gauges, now_s=clock.now_s, options=options)
        ),
        traffic=await stack.enter_async_context(
            EnvoyTrafficSource(admins, settings.fleet().cells, now_s=clock.now_s)
        ),
        events=FileEventSource(events, now_s=clock.now_s) if events else None,
        sink=await stack.enter_async_context(ServeSink(settings.data_dir)),
        driver=driver,
    )
