"""What is told since the last look, without any proxy."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from foreshard.adapters.routing.bill import ReportedCosts
from foreshard.model.cost import CostReport
from foreshard.model.errors import SinkError, SourceError

Costs = Mapping[str, Mapping[str, tuple[int, float]]]


class Ledger:
    """Adds up what it is told to say next."""

    def __init__(self, *says: Costs | SinkError) -> None:
        self._says = list(says)

    async def costs(self) -> Costs:
        said = self._says.pop(0)
        if isinstance(said, SinkError):
            raise said
        return said


def report(requests: float, cpu: float) -> CostReport:
    return CostReport(request_class="search", requests=requests, total={"cpu": cpu})


async def test_the_first_look_only_begins_and_the_next_ones_tell_differences() -> None:
    source = ReportedCosts(
        Ledger(
            {"search": {"cpu": (100, 5.0)}},
            {"search": {"cpu": (110, 5.5)}},
            {"search": {"cpu": (110, 5.5)}},
        )
    )
    assert await source.read() == ()
    (told,) = await source.read()
    assert told.requests == 10.0
    assert told.total["cpu"] == pytest.approx(0.5)
    assert await source.read() == ()


async def test_who_began_anew_told_everything_since() -> None:
    source = ReportedCosts(Ledger({"search": {"cpu": (100, 5.0)}}, {"search": {"cpu": (4, 0.5)}}))
    await source.read()
    assert await source.read() == (report(4.0, 0.5),)


async def test_a_class_that_is_new_is_told_whole() -> None:
    source = ReportedCosts(Ledger({}, {"search": {"cpu": (4, 0.5)}}))
    await source.read()
    assert await source.read() == (report(4.0, 0.5),)


async def test_costs_that_are_taken_back_are_not_told() -> None:
    source = ReportedCosts(Ledger({"search": {"cpu": (4, 5.0)}}, {"search": {"cpu": (9, 4.0)}}))
    await source.read()
    assert await source.read() == ()


async def test_nothing_is_lost_by_a_look_that_fails() -> None:
    source = ReportedCosts(
        Ledger({}, SinkError("gone"), {"search": {"cpu": (4, 0.5)}}),
    )
    await source.read()
    with pytest.raises(SourceError, match="gone"):
        await source.read()
    assert await source.read() == (report(4.0, 0.5),)
