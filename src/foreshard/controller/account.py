"""This module is the account of what requests cost, as JSON: for others, and for a restart."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from foreshard.model.category import Category, Level, WorkloadProfile
from foreshard.model.cost import Cost
from foreshard.profile.catalogue import Catalogue

__all__ = ["catalogue_of", "report_of"]


def report_of(
    profile: WorkloadProfile,
    *,
    idle: Mapping[str, float],
    centres: Mapping[str, Mapping[str, float]],
) -> Mapping[str, Any]:
    """A profile as JSON.

    Args:
        profile: What is known.
        idle: By resource, what a mean cell uses without requests.
        centres: By category, what a request of it costs, by resource.
    """
    return {
        "at_s": profile.at_s,
        "idle": {r: _number(v) for r, v in idle.items()},
        "classes": {
            name: {
                "rate_rps": round(c.rate_rps, 3),
                "costs": {r: _cost(cost) for r, cost in c.costs.items()},
                "category": c.category,
                "found": c.found.name if c.found is not None else "",
                "confidence": round(c.confidence, 3),
                "tag": {"by": c.tag.by, "at_s": c.tag.at_s, "note": c.tag.note} if c.tag else None,
                "disagreement": c.disagreement,
                "depends": [
                    {
                        "dependency": d.dependency,
                        "source": d.source.value,
                        "confidence": round(d.confidence, 3),
                        "evidence": d.evidence,
                    }
                    for d in c.depends
                ],
            }
            for name, c in profile.classes.items()
        },
        "joint": [
            {
                "resource": j.resource,
                "classes": list(j.request_classes),
                "text": str(j),
                **_cost(j.cost),
            }
            for j in profile.joint
        ],
        "categories": {
            name: {
                "levels": {r: level.value for r, level in c.levels.items()},
                "bound": c.bound,
                "dependencies": sorted(c.dependencies),
                "centre": dict(centres.get(name, {})),
            }
            for name, c in profile.categories.items()
        },
        "changes": [
            {"at_s": c.at_s, "class": c.request_class, "text": str(c)} for c in profile.changes
        ],
    }


def catalogue_of(kept: Mapping[str, Any]) -> Catalogue:
    """The categories of a report, so that they keep their names.

    Raises:
        KeyError: It is not such a report; also `AttributeError`, `TypeError`, `ValueError`.
    """
    categories = {
        name: Category(
            name=name,
            levels={r: Level(level) for r, level in each["levels"].items()},
            bound=each["bound"],
            dependencies=frozenset(each["dependencies"]),
        )
        for name, each in kept["categories"].items()
    }
    return Catalogue(
        categories=categories,
        centre={name: dict(each["centre"]) for name, each in kept["categories"].items()},
        of_class={n: c["found"] for n, c in kept["classes"].items() if c["found"] in categories},
        confidence={n: float(c["confidence"]) for n, c in kept["classes"].items()},
    )


def _cost(cost: Cost) -> dict[str, Any]:
    return {
        "per_request": _number(cost.per_request),
        "low": _number(cost.low),
        "high": _number(cost.high),
        "because": cost.because,
    }


def _number(value: float) -> float | None:
    return float(f"{value:.6g}") if isfinite(value) else None
