"""This module is where things lie in the data directory."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from foreshard.config import Settings
from foreshard.model.errors import StoreError

__all__ = ["alone", "relay_dir", "state_dir"]


def state_dir(settings: Settings) -> Path:
    """Where the engine keeps its decisions and its state."""
    return settings.data_dir / "state"


def relay_dir(settings: Settings) -> Path:
    """Where a relay on this machine keeps its plans."""
    return settings.data_dir / "relay"


@contextmanager
def alone(directory: Path, role: str) -> Iterator[None]:
    """Be the only process of a role on a data directory, inside the block.

    Raises:
        StoreError: Another one is there already, or the directory cannot be used.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (directory / f"{role}.lock").open("a")
    except OSError as error:
        raise StoreError(f"data_dir {directory}: cannot be used ({error.strerror})") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(
                f"data_dir {directory}: another `foreshard {role}` uses it; stop that one, or "
                "choose another directory"
            ) from error
        yield
