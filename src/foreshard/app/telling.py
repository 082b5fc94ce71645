"""This module is a relay's page; apart, because most relays have none and should stay small."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager

from foreshard.adapters.page import Answer, Ask, pages
from foreshard.adapters.routing.relay import Relay
from foreshard.controller.page import relay_page

__all__ = ["relay_pages"]


def relay_pages(address: str) -> Callable[[Relay], AbstractAsyncContextManager[None]]:
    """What serves the pages of a relay at host:port inside a block."""
    return lambda relay: pages(address, _pages_of(relay))


def _pages_of(relay: Relay) -> Mapping[str, Ask]:
    async def metrics() -> Answer:
        return Answer(text=relay_page(relay.status()))

    async def health() -> Answer:
        return Answer(text="answers\n")

    async def ready() -> Answer:
        without = [name for name, each in relay.status().items() if each["version"] is None]
        text = f"no plan for {', '.join(without)}\n" if without else "has a plan\n"
        return Answer(text=text, is_well=not without)

    return {"/metrics": metrics, "/healthz": health, "/readyz": ready}
