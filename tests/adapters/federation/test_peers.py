from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.adapters.federation.aggregate_json import decode, encode
from foreshard.adapters.federation.cells import PeerCells
from foreshard.adapters.federation.peers import HttpPeers
from foreshard.adapters.page import Answer, pages
from foreshard.model.errors import SourceError
from foreshard.model.federation import Aggregate
from foreshard.model.telemetry import CellMetrics, Fresh, Health, Missing
from foreshard.model.topology import Cell, Node
from foreshard.ports import Heard
from foreshard.testing import FakeClock
from tests.adapters.routing.envoy_bench import free_port

NODE = (Node(host="127.0.0.1", port=9),)
OWN = Cell(name="eu-1", region="eu", zone="eu", nodes=NODE)
PEER = Cell(name="us", region="us", zone="us", nodes=NODE, is_peer=True)
amounts = st.dictionaries(st.sampled_from(["cpu", "memory"]), st.floats(0.0, 1e9), max_size=2)


def aggregate(made_at_s: float = 1.0, grant: float = 2.5, region: str = "us") -> Aggregate:
    return Aggregate(
        region=region,
        made_at_s=made_at_s,
        offers={"cpu": 9.0},
        uses={"cpu": 4.0},
        grants={"eu": {"cpu": grant}},
    )


@given(
    amounts, amounts, st.dictionaries(st.sampled_from(["eu", "ap"]), amounts), st.floats(0, 1e9)
)
def test_an_aggregate_comes_back_as_it_was(
    offers: dict[str, float], uses: dict[str, float], grants: dict[str, Any], at_s: float
) -> None:
    one = Aggregate(region="us", made_at_s=at_s, offers=offers, uses=uses, grants=grants)
    assert decode(encode(one), region="us") == one


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no aggregate"),
        ("[]", "no aggregate"),
        (encode(aggregate()).replace('"format": 1', '"format": 2'), "format is 2, must be 1"),
        (encode(aggregate(region="ap")), "of region 'ap'"),
        (encode(aggregate()).replace("2.5", "-2.5"), "must be 0"),
        (encode(aggregate()).replace("2.5", "NaN"), "must be 0"),
        (encode(aggregate()).replace('"made_at_s": 1.0', '"made_at_s": NaN'), "must be finite"),
        (encode(aggregate()).replace('"made_at_s": 1.0', f'"made_at_s": 1{400 * "0"}'), "no agg"),
        ("[" * 100_000, "no aggregate"),
    ],
)
def test_what_is_no_aggregate_is_refused_in_words(text: str, says: str) -> None:
    with pytest.raises(SourceError, match=says):
        decode(text, region="us")


class Inner:
    async def read(self, cells: tuple[Cell, ...]) -> dict[str, tuple[Health, Fresh | Missing]]:
        metrics = CellMetrics(gauges={}, capacity={"cpu": 3.0})
        return {c.name: (Health.UP, Fresh(metrics=metrics, age_s=0.1)) for c in cells}


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("waited for 10 s in vain")


async def test_a_peer_is_heard_ages_while_the_link_is_cut_and_is_heard_again() -> None:
    clock = FakeClock(100.0)
    port, told = free_port(), [aggregate()]

    async def page() -> Answer:
        return Answer(text=encode(told[0]))

    peers = HttpPeers(
        {"us": f"http://127.0.0.1:{port}/aggregate"}, now_s=clock.now_s, every_s=0.02
    )
    cells = PeerCells(Inner(), peers, region="eu", now_s=clock.now_s)
    async with peers:
        health, reading = (await cells.read((OWN, PEER)))["us"]
        assert health is Health.UNKNOWN
        assert isinstance(reading, Missing)
        async with pages(f"127.0.0.1:{port}", {"/aggregate": page}):
            await until(lambda: "us" in peers.heard())
            said = await cells.read((OWN, PEER))
            assert said["eu-1"][1] == Fresh(
                metrics=CellMetrics(gauges={}, capacity={"cpu": 3.0}), age_s=0.1
            )
            granted = CellMetrics(gauges={}, capacity={"cpu": 2.5})
            assert said["us"] == (Health.UP, Fresh(metrics=granted, age_s=0.0))
            # An engine that hangs says the same again.
            clock.advance(7.0)
            await asyncio.sleep(0.1)
            assert (await cells.read((PEER,)))["us"][1] == Fresh(metrics=granted, age_s=7.0)
        clock.advance(5.0)
        assert (await cells.read((PEER,)))["us"][1] == Fresh(metrics=granted, age_s=12.0)
        told[0] = aggregate(made_at_s=2.0, grant=0.0)
        async with pages(f"127.0.0.1:{port}", {"/aggregate": page}):
            await until(lambda: peers.heard()["us"].aggregate.made_at_s == 2.0)
            _, reading = (await cells.read((PEER,)))["us"]
            assert isinstance(reading, Fresh)
            assert reading.age_s == 0.0
            assert 0.0 < reading.metrics.capacity["cpu"] < 1e-6


async def test_a_late_copy_is_no_news_until_nothing_newer_comes_any_more() -> None:
    clock = FakeClock(100.0)
    port, told = free_port(), [aggregate(made_at_s=50.0)]
    asked = [0]

    async def page() -> Answer:
        asked[0] += 1
        return Answer(text=encode(told[0]))

    async def ask_twice() -> None:
        until_asked = asked[0] + 3
        await until(lambda: asked[0] >= until_asked)

    url = f"http://127.0.0.1:{port}/aggregate"
    peers = HttpPeers({"us": url}, now_s=clock.now_s, every_s=0.02)
    async with pages(f"127.0.0.1:{port}", {"/aggregate": page}), peers:
        await until(lambda: "us" in peers.heard())
        told[0] = aggregate(made_at_s=49.0, grant=7.0)
        await ask_twice()
        assert peers.heard()["us"].aggregate.made_at_s == 50.0
        # It was started anew, and its clock is behind.
        clock.advance(1.0)
        await until(lambda: peers.heard()["us"].aggregate.made_at_s == 49.0)


async def test_an_answer_in_many_parts_is_read_whole() -> None:
    port, text = free_port(), encode(aggregate())

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n".encode())
        for part in (text[:9], text[9:30], text[30:]):
            await writer.drain()
            await asyncio.sleep(0.02)
            writer.write(part.encode())
        writer.close()

    url = f"http://127.0.0.1:{port}/aggregate"
    peers = HttpPeers({"us": url}, now_s=FakeClock(1.0).now_s, every_s=0.02)
    async with await asyncio.start_server(answer, "127.0.0.1", port), peers:
        await until(lambda: "us" in peers.heard())


async def test_a_peer_that_names_this_region_no_more_grants_it_nothing() -> None:
    class Told:
        def publish(self, own: Aggregate) -> None: ...

        def heard(self) -> dict[str, Heard]:
            return {"us": Heard(aggregate=aggregate(), at_s=1.0)}

    cells = PeerCells(Inner(), Told(), region="ap", now_s=FakeClock(1.0).now_s)
    _, reading = (await cells.read((PEER,)))["us"]
    assert isinstance(reading, Fresh)
    assert 0.0 < reading.metrics.capacity["cpu"] < 1e-6
