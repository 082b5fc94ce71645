"""Foreshard: a predictive sharding engine for cell-based services.

What an application uses is found here, and loaded when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foreshard.router import Nowhere, Refused, Router

__all__ = ["Nowhere", "Refused", "Router"]

__version__ = "0.1.0"

_HOMES = {"Nowhere": "router", "Refused": "router", "Router": "router"}


def __getattr__(name: str) -> object:
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
