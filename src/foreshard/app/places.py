"""This module is where things lie in the data directory."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO

from foreshard.config import Settings
from foreshard.model.errors import StoreError

__all__ = [
    "alone",
    "catalogue_dir",
    "history_dir",
    "models_dir",
    "outlook_file",
    "private",
    "relay_dir",
    "state_dir",
    "turns_dir",
    "unreadable",
]

# How often a lock that is held is tried again.
AGAIN_S = 0.05


def state_dir(settings: Settings) -> Path:
    """Where the engine keeps its decisions and its state."""
    return settings.data_dir / "state"


def catalogue_dir(settings: Settings) -> Path:
    """Where editions of the request classes and keys to the API are kept."""
    return settings.data_dir / "catalogue"


def relay_dir(settings: Settings) -> Path:
    """Where a relay on this machine keeps its plans."""
    return settings.data_dir / "relay"


@asynccontextmanager
async def alone(directory: Path, role: str, *, patience_s: float = 5.0) -> AsyncIterator[None]:
    """Be the only process of a role on a data directory, inside the block.

    Args:
        directory: The data directory.
        role: Of the process.
        patience_s: One that is just ending (killed, or replaced by a newer one) is waited for.

    Raises:
        StoreError: Another one stays there, or the directory cannot be used.
    """
    with _opened(directory, f"{role}.lock") as lock:
        deadline_s = time.monotonic() + patience_s
        while not _taken(lock):
            if time.monotonic() >= deadline_s:
                raise StoreError(
                    f"data_dir {directory}: another `foreshard {role}` uses it; stop that one, or "
                    "choose another directory"
                )
            await asyncio.sleep(AGAIN_S)
        yield


@contextmanager
def private() -> Iterator[None]:
    """What is made inside the block is its user's alone: directories 0700, files 0600.

    One rule for all of our processes, whoever makes the data directory, and for what they start.
    """
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def unreadable(path: Path) -> str:
    """What to say when the rights of whoever asks do not reach."""
    return f"{path}: you may not look there; ask as the user that Foreshard runs as (sudo -u)"


def turns_dir(settings: Settings) -> Path:
    """Where the engine keeps its last turns for replay."""
    return settings.data_dir / "replay"


def history_dir(settings: Settings) -> Path:
    """Where the engine keeps the metric history."""
    return settings.data_dir / "history"


def models_dir(settings: Settings) -> Path:
    """Where trained models stand."""
    return settings.data_dir / "models"


def outlook_file(settings: Settings) -> Path:
    """What the champion last said, for the engine."""
    return settings.data_dir / "outlook.parcel"


def _opened(directory: Path, name: str) -> IO[str]:
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        # For both: to open a pipe for writing alone is to wait for a reader.
        return (directory / name).open("a+")
    except OSError as error:
        raise StoreError(
            f"data_dir {directory}: cannot be used ({error.strerror or error})"
        ) from error


def _taken(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
