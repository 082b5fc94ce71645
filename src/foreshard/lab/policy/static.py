"""This module is the least that anybody does: every request goes to its own region, evenly.

What the safety net does underneath (health checks, ejection, retries, backups of slots) is all
that ever reacts. It is AWS's "static stability" taken at its word.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from foreshard.lab.policy.policy import Stage
from foreshard.model.plan import Plan, Split
from foreshard.model.topology import Fleet
from foreshard.model.workload import Flow, RequestClass
from foreshard.planning.table import table_of

__all__ = ["Static", "even_split"]


def even_split(
    origin: str, request_class: RequestClass, fleet: Fleet, origins: Collection[str]
) -> Split:
    """The same for every cell of the own region, and of regions that nobody else would use.

    Where neither may serve the class, every cell that may gets the same.

    Args:
        origin: Where the requests come from.
        request_class: Whose they are.
        fleet: The cells.
        origins: Where requests come from at all.
    """
    able = [cell for cell in fleet.cells if request_class.allows_region(cell.region)]
    own = [c for c in able if c.region == origin or c.region not in origins] or able
    return Split(shares={cell.name: 1.0 / len(own) for cell in own})


class Static:
    """A `Policy` that decides once."""

    @property
    def name(self) -> str:
        """As on the command line."""
        return "static"

    async def steer(self, stage: Stage, stop: asyncio.Event) -> None:
        """Give out the even table, and wait for the end."""
        scenario, fleet = stage.scenario, stage.fleet
        splits = {
            Flow(origin, each.name): even_split(origin, each, fleet, scenario.origins)
            for origin in scenario.origins
            for each in scenario.classes
        }
        table = table_of(
            Plan(splits=splits),
            version=1,
            fleet=fleet,
            classes=scenario.classes,
            default_class=scenario.default_class,
            previous=None,
        )
        await stage.sink.apply(table)
        await stop.wait()
