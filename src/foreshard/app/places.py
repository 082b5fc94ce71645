"""This module is where things lie in the data directory."""

from __future__ import annotations

from pathlib import Path

from foreshard.config import Settings

__all__ = ["state_dir"]


def state_dir(settings: Settings) -> Path:
    """Where the engine keeps its decisions and its state."""
    return settings.data_dir / "state"
