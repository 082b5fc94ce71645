"""This module is costs and paths as `serve` and those who ask it write them down: JSON values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite

from foreshard.adapters.routing.json_document import Document
from foreshard.model.sighting import Sighting

__all__ = ["Costs", "decode_costs", "decode_sightings", "encode_costs", "encode_sightings"]

Costs = Mapping[str, Mapping[str, tuple[int, float]]]
"""By class, then resource: how many requests told their cost, and the sum."""


def encode_costs(costs: Costs) -> list[Mapping[str, object]]:
    """Costs as JSON values."""
    return [
        {"request_class": request_class, "costs": _told(account)}
        for request_class, account in costs.items()
    ]


def decode_costs(document: Document) -> Costs:
    """Costs from the `classes` of a document.

    Raises:
        SinkError: They are damaged.
    """
    return {
        told.text("request_class"): {
            cost.text("resource"): (cost.whole("requests"), cost.number("sum"))
            for cost in told.children("costs")
        }
        for told in document.children("classes")
    }


def encode_sightings(seen: Iterable[Sighting]) -> list[Mapping[str, object]]:
    """Paths as JSON values."""
    return [
        {
            "method": each.method,
            "path": each.path,
            "requests": each.requests,
            "told": _told(each.told),
        }
        for each in seen
    ]


def decode_sightings(document: Document) -> tuple[Sighting, ...]:
    """Paths from the `sightings` of a document.

    Raises:
        SinkError: They are damaged.
        InvalidValueError: One is no path, or was seen less than once.
    """
    return tuple(
        Sighting(
            method=each.text("method"),
            path=each.text("path"),
            requests=each.number("requests"),
            told={
                cost.text("resource"): (cost.number("requests"), cost.number("sum"))
                for cost in each.children("told")
            },
        )
        for each in document.children("sightings")
    )


def _told(account: Mapping[str, tuple[float, float]]) -> list[Mapping[str, object]]:
    return [
        {"resource": resource, "requests": count, "sum": total}
        for resource, (count, total) in account.items()
        # JSON knows no infinity; whoever reported it has said nothing.
        if isfinite(total)
    ]
