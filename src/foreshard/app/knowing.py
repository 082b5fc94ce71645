"""This module is what a living engine last said of its classes: what flies, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foreshard.adapters.store.decision_json import decode
from foreshard.adapters.store.reading import SqliteReader
from foreshard.app.places import state_dir
from foreshard.config import Settings
from foreshard.model.category import WorkloadProfile
from foreshard.model.errors import InvalidValueError, StoreError

__all__ = ["FLOWN", "PROFILE", "last_flown", "last_profile"]

FLOWN = "classes"
"""Name under which the engine's store says which edition flies."""
PROFILE = "profile"
"""Name under which it says what classes cost."""


def last_flown(settings: Settings) -> Mapping[str, Any]:
    """Version that flies, since when, and what was passed over; {} = no engine ever said."""
    return _said(settings, FLOWN)


def last_profile(settings: Settings) -> WorkloadProfile | None:
    """What classes were found to cost; None = no engine ever said, or not so that it is read."""
    try:
        return decode(WorkloadProfile, _said(settings, PROFILE).get("profile"))
    except InvalidValueError:
        return None


def _said(settings: Settings, key: str) -> Mapping[str, Any]:
    try:
        with SqliteReader(state_dir(settings)) as reader:
            return reader.get(key) or {}
    except StoreError:
        return {}
