"""Foreshard: a predictive sharding engine for cell-based services.

What an application uses is found here, and loaded when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foreshard.app.following import following, following_in_thread
    from foreshard.router import Nowhere, Refused, Router
    from foreshard.router.placement import (
        Move,
        NoAlternative,
        Stay,
        shard_request,
        shard_requests,
    )
    from foreshard.router.request import (
        CellHistory,
        Request,
        ShardPolicy,
        ShardRule,
        WorkloadProfile,
    )

__all__ = [
    "CellHistory",
    "Move",
    "NoAlternative",
    "Nowhere",
    "Refused",
    "Request",
    "Router",
    "ShardPolicy",
    "ShardRule",
    "Stay",
    "WorkloadProfile",
    "following",
    "following_in_thread",
    "shard_request",
    "shard_requests",
]

__version__ = "0.1.0"

_ROOMS = {
    "app.following": ("following", "following_in_thread"),
    "router": ("Nowhere", "Refused", "Router"),
    "router.placement": ("Move", "NoAlternative", "Stay", "shard_request", "shard_requests"),
    "router.request": ("CellHistory", "Request", "ShardPolicy", "ShardRule", "WorkloadProfile"),
}


def __getattr__(name: str) -> object:
    for room, names in _ROOMS.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{room}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
