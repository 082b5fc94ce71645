"""This module is how a process of ours says that it lives: to systemd, to probes, to `health`.

The sign of life is the time of a file, which a full disk does not stop, and a datagram to the
init system where it asked for one (sd_notify(3)).
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from foreshard.app.places import unreadable
from foreshard.config import Settings
from foreshard.model.errors import StoreError

__all__ = ["age_s", "alive_file", "beater", "engine_age_s", "notify", "patience_s", "web_file"]

log = structlog.get_logger(__name__)

# A slow machine is no dead engine.
LEAST_PATIENCE_S = 20.0
PATIENCE_TICKS = 10.0


def alive_file(settings: Settings) -> Path:
    """Its time of change is the end of the engine's last turn."""
    return settings.data_dir / "engine.alive"


def web_file(settings: Settings) -> Path:
    """Its time of change is the API's last sign of life."""
    return settings.data_dir / "web.alive"


def patience_s(settings: Settings) -> float:
    """An engine whose last turn ended longer ago hangs."""
    return max(LEAST_PATIENCE_S, PATIENCE_TICKS * settings.tick_s)


def engine_age_s(settings: Settings) -> float | None:
    """How long ago the engine's last turn ended; None when none ever did.

    Raises:
        StoreError: Nobody may look there.
    """
    return age_s(alive_file(settings))


def age_s(path: Path) -> float | None:
    """How long ago a file was last touched; None when there is none.

    Raises:
        StoreError: Nobody may look there.
    """
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except PermissionError as error:
        raise StoreError(unreadable(path)) from error
    except OSError:
        return None


def beater(settings: Settings) -> Callable[[], None]:
    """What the engine calls after every turn."""
    path = alive_file(settings)

    def beat() -> None:
        notify("READY=1\nWATCHDOG=1")
        try:
            path.touch()
        except OSError as error:
            log.warning("alive.unwritable", file=str(path), error=str(error))

    return beat


def notify(message: str) -> None:
    """Tell the init system, if there is one that wants to hear; it may also be gone."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as wire:
        try:
            wire.sendto(message.encode(), address)
        except OSError as error:
            log.debug("notify.unheard", error=str(error))
