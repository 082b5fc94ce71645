"""This module is what requests said that they cost, as load reports bring it to `serve`.

A service tells it with each answer (ORCA's header `endpoint-load-metrics`, such as
`TEXT named_metrics.cost.cpu=0.02`); proxies add up, `serve` adds up over proxies, and here the
sums of two moments are subtracted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from foreshard.model.cost import CostReport
from foreshard.model.errors import SinkError, SourceError

__all__ = ["Accounts", "ReportedCosts"]

Costs = Mapping[str, Mapping[str, tuple[int, float]]]


class Accounts(Protocol):
    """Who adds up, such as `client.ServeSink`."""

    async def costs(self) -> Costs:
        """By class, then resource: how many requests told their cost so far, and the sum.

        Raises:
            SinkError: It cannot be asked.
        """


class ReportedCosts:
    """A `ports.CostSource` over sums that only ever rise.

    Args:
        accounts: Who adds up.
    """

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._before: Costs | None = None

    async def read(self) -> tuple[CostReport, ...]:
        """See `ports.CostSource`."""
        try:
            now = await self._accounts.costs()
        except SinkError as error:
            raise SourceError(f"costs of requests: {error}") from error
        before, self._before = self._before, now
        # What was told before the first look is of a time that is not known.
        return () if before is None else tuple(_told_since(before, now))


def _told_since(before: Costs, now: Costs) -> list[CostReport]:
    """A report for each class and resource of which something was told."""
    told = []
    for request_class, costs in now.items():
        for resource, (count, total) in costs.items():
            count_before, total_before = before.get(request_class, {}).get(resource, (0, 0.0))
            if count < count_before:
                # Who adds up began anew.
                count_before, total_before = 0, 0.0
            more, cost = count - count_before, total - total_before
            # A service that takes costs back says nothing that can be used.
            if more > 0 and cost >= 0.0:
                told.append(
                    CostReport(
                        request_class=request_class,
                        requests=float(more),
                        total={resource: cost},
                    )
                )
    return told
