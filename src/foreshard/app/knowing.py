"""This module is what a living engine last said of its classes: what flies, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from foreshard.adapters.store.reading import SqliteReader
from foreshard.app.places import state_dir
from foreshard.config import Settings
from foreshard.model.category import WorkloadProfile
from foreshard.model.cost import Cost
from foreshard.model.errors import StoreError

__all__ = ["FLOWN", "PROFILE", "last_flown", "last_profile", "report_of"]

FLOWN = "classes"
"""Name under which the engine's store says which edition flies."""
PROFILE = "profile"
"""Name under which it says what classes cost, as `report_of` tells it."""


def last_flown(settings: Settings) -> Mapping[str, Any]:
    """Version that flies, since when, and what was passed over; {} = no engine ever said."""
    return _said(settings, FLOWN)


def last_profile(settings: Settings) -> Mapping[str, Any]:
    """What classes were found to cost; {} = no engine ever said."""
    return _said(settings, PROFILE)


def report_of(profile: WorkloadProfile) -> Mapping[str, Any]:
    """A profile as JSON values; what is not known is null."""
    return {
        "at_s": profile.at_s,
        "classes": {
            name: {
                "rate_rps": round(each.rate_rps, 3),
                "costs": {resource: _cost(cost) for resource, cost in each.costs.items()},
                "found": each.found.name if each.found is not None else "",
                "confidence": round(each.confidence, 3),
                "depends": [
                    {
                        "dependency": one.dependency,
                        "source": one.source.value,
                        "confidence": round(one.confidence, 3),
                        "evidence": one.evidence,
                    }
                    for one in each.depends
                ],
            }
            for name, each in profile.classes.items()
        },
        "joint": [
            {"classes": list(joint.request_classes), "text": str(joint)} for joint in profile.joint
        ],
    }


def _cost(cost: Cost) -> Mapping[str, Any]:
    numbers = {"per_request": cost.per_request, "low": cost.low, "high": cost.high}
    told = {name: value if isfinite(value) else None for name, value in numbers.items()}
    return {**told, "because": cost.because}


def _said(settings: Settings, key: str) -> Mapping[str, Any]:
    try:
        with SqliteReader(state_dir(settings)) as reader:
            return reader.get(key) or {}
    except StoreError:
        return {}
