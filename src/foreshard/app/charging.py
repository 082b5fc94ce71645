"""This module is what services post of the costs of their requests, on its way to `serve`.

There it is added to what load reports bring, so that the profiler hears of both in one way.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from foreshard.adapters.routing.client import ServeSink
from foreshard.app.matching import Matcher
from foreshard.config import Settings
from foreshard.config.catalogue import Catalogue
from foreshard.model.errors import EditError, SinkError, UnheardError
from foreshard.model.sighting import Sighting

__all__ = ["charge"]

# One that hangs must not hold the places of all who ask.
TIMEOUT_S = 5.0
MOST_TOLD = 10

Report = Mapping[str, Any]


def charge(
    settings: Settings, catalogue: Catalogue, reports: Sequence[Report]
) -> Mapping[str, Any]:
    """Hand on what requests cost; all of it, or nothing.

    Args:
        settings: Whose `serve`.
        catalogue: The classes that there are.
        reports: As `api.wire.CostReport` has them.

    Raises:
        EditError: Something in them is wrong; all of it is told.
        UnheardError: `serve` cannot be reached.
    """
    _refuse(settings, catalogue, reports)
    costs: dict[str, dict[str, tuple[int, float]]] = {}
    requests: Counter[str] = Counter()
    seen, matcher = [], Matcher(catalogue)
    for each in reports:
        name, count = each["class"], each["requests"]
        if name is None:
            name = matcher.find(each["method"], each["path"], each["headers"])
            if name is None:
                name = catalogue.default_class
                seen.append(_sighting(each))
        requests[name] += count
        account = costs.setdefault(name, {})
        for resource, total in each["costs"].items():
            before = account.get(resource, (0, 0.0))
            account[resource] = before[0] + count, before[1] + total

    async def work() -> None:
        async with ServeSink(settings.data_dir, timeout_s=TIMEOUT_S) as sink:
            await sink.report(costs, seen)

    try:
        asyncio.run(work())
    except SinkError as error:
        raise UnheardError(f"costs: nothing was taken in: {error}") from error
    return {"requests": requests.total(), "classes": dict(sorted(requests.items()))}


def _sighting(each: Report) -> Sighting:
    count = float(each["requests"])
    told = {resource: (count, total) for resource, total in each["costs"].items()}
    return Sighting(method=each["method"], path=each["path"], requests=count, told=told)


def _refuse(settings: Settings, catalogue: Catalogue, reports: Sequence[Report]) -> None:
    """Name what is wrong.

    Raises:
        EditError: Something is.
    """
    gauges = [gauge.resource for gauge in settings.scrape.gauges]
    classes = {each.name for each in catalogue.classes}
    wrong = []
    for n, each in enumerate(reports):
        if (each["class"] is None) == (each["path"] is None):
            said = "both" if each["path"] is not None else "neither"
            wrong.append(f"reports.{n}: {said} of class and path are given, must be one of them")
        if each["class"] is not None and each["class"] not in classes:
            there = ", ".join(sorted(classes))
            wrong.append(f"reports.{n}: class is {each['class']!r}, must be one of {there}")
        wrong += [
            f"reports.{n}: {resource!r} is no gauge of the cells, must be one of "
            f"{', '.join(gauges) or 'those in scrape.gauges, of which there are none'}"
            for resource in each["costs"]
            if resource not in gauges
        ]
    if wrong:
        more = f"; and {len(wrong) - MOST_TOLD} more" if len(wrong) > MOST_TOLD else ""
        raise EditError("; ".join(wrong[:MOST_TOLD]) + more)
