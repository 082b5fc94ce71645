"""The shop inside a cell, without its sockets."""

from __future__ import annotations

import pytest

from foreshard.lab.cell.draw import ERRORS, uniform
from foreshard.lab.cell.faults import Fault, FaultKind
from foreshard.lab.cell.shop import Shop
from foreshard.model.errors import InvalidValueError

AT_ONCE_S = 1e-6


def shop(**fault: object) -> Shop:
    one = Shop(cell="eu-1", version="1.0", memory_room_bytes=64 * 1024 * 1024)
    one.inject(Fault(duration_s=AT_ONCE_S, **fault))  # type: ignore[arg-type]  # a table
    return one


async def test_errors_befall_their_share_of_one_class_the_same_on_every_fleet() -> None:
    broken = shop(kind=FaultKind.ERRORS, magnitude=0.5, request_class="checkout")
    draws = range(40)
    statuses = [(await broken.serve("checkout", key="k1", draw=d)).status for d in draws]
    assert statuses == [503 if uniform(d, ERRORS) < 0.5 else 200 for d in draws]
    assert {200, 503} == set(statuses)
    assert (await broken.serve("search", key="", draw=statuses.index(503))).status == 200


def test_latency_makes_its_class_wait_and_no_other() -> None:
    well, slow = (
        shop(kind=FaultKind.LATENCY, magnitude=magnitude, request_class="search")
        for magnitude in (1e-9, 0.3)
    )
    for name, longer_s in (("checkout", 0.0), ("search", 0.3), ("report", 0.0)):
        waits_s = [one._wait_s(name, "k1", 1) for one in (well, slow)]
        assert waits_s[1] - waits_s[0] == pytest.approx(longer_s, abs=1e-6), name


def test_draws_of_errors_are_even() -> None:
    ratio = sum(uniform(draw, ERRORS) < 0.25 for draw in range(4_000)) / 4_000
    assert ratio == pytest.approx(0.25, abs=0.03)


def test_only_what_befalls_one_class_names_one() -> None:
    fault = Fault(kind=FaultKind.ERRORS, magnitude=0.5, request_class="search")
    assert Fault.from_json(fault.to_json()) == fault
    with pytest.raises(InvalidValueError, match="befalls all classes alike"):
        Fault(kind=FaultKind.CREEP, magnitude=0.5, request_class="search")
