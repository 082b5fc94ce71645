"""This module is what a living engine last said of its classes: what flies, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foreshard.adapters.store.reading import SqliteReader
from foreshard.app.places import state_dir
from foreshard.config import Settings
from foreshard.controller.profiling import KEY
from foreshard.controller.scouting import ENDPOINTS
from foreshard.model.errors import StoreError

__all__ = ["FLOWN", "last_endpoints", "last_flown", "last_profile"]

FLOWN = "classes"
"""Name under which the engine's store says which edition flies."""


def last_flown(settings: Settings) -> Mapping[str, Any]:
    """Version that flies, since when, and what was passed over; {} = no engine ever said."""
    return _said(settings, FLOWN)


def last_profile(settings: Settings) -> Mapping[str, Any]:
    """What classes were found to cost; {} = no engine ever said."""
    return _said(settings, KEY)


def last_endpoints(settings: Settings) -> Mapping[str, Any]:
    """Which endpoints no class takes; {} = no engine ever said."""
    return _said(settings, ENDPOINTS)


def _said(settings: Settings, key: str) -> Mapping[str, Any]:
    try:
        with SqliteReader(state_dir(settings)) as reader:
            return reader.get(key) or {}
    except StoreError:
        return {}
