"""The discovery service over real gRPC, with proxies that hang, refuse and come late."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
import pytest
from envoy.service.discovery.v3.ads_pb2_grpc import AggregatedDiscoveryServiceStub

from foreshard.adapters.routing.envoy.discovery import Discovery, DiscoverySettings
from foreshard.adapters.routing.envoy.resources import CLUSTER_TYPE, ROUTE_TYPE, Resources
from foreshard.model.errors import InvalidValueError, SinkError
from foreshard.model.routing import RoutingTable
from foreshard.model.topology import Cell, Node
from foreshard.ports import Applied, Rejected
from tests.adapters.routing.serve_bench import shop_table
from tests.adapters.routing.xds_peer import BAD, Peer, small_world

ACK_TIMEOUT_S = 0.5
CELL = Cell(name="a", region="eu", zone="eua", nodes=(Node(host="127.0.0.1", port=1),))


def table(version: int) -> RoutingTable:
    return shop_table(version, (CELL,))


@dataclass
class Plane:
    """A discovery service whose tables render to whatever is said here."""

    discovery: Discovery
    port: int
    routes: dict[int, Mapping[str, Iterable[str]]]

    async def publish(self, version: int, *clusters: str) -> Applied | Rejected:
        """Put out one route table that names these clusters."""
        self.routes[version] = {"r": clusters}
        return await self.discovery.publish(table(version))


@asynccontextmanager
async def plane() -> AsyncIterator[Plane]:
    routes: dict[int, Mapping[str, Iterable[str]]] = {}

    def render(table: RoutingTable, _: str) -> Resources:
        if table.version not in routes:
            raise SinkError(f"nothing to render for {table.version}")
        return small_world(routes[table.version])

    settings = DiscoverySettings(ack_timeout_s=ACK_TIMEOUT_S, linger_s=0.0)
    discovery = Discovery(render, settings)
    port = await discovery.start("127.0.0.1", 0)
    try:
        yield Plane(discovery=discovery, port=port, routes=routes)
    finally:
        await discovery.stop()


@dataclass
class Proxy:
    """A peer on a socket."""

    peer: Peer
    is_silent: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def clusters(self) -> set[str]:
        return set(self.peer.held[CLUSTER_TYPE])

    def routes(self) -> set[str]:
        route = self.peer.held[ROUTE_TYPE]["r"]
        return set(route.virtual_hosts[0].domains)  # type: ignore[attr-defined]

    async def run(self, port: int) -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = AggregatedDiscoveryServiceStub(channel)
            method = (
                stub.DeltaAggregatedResources
                if self.peer.is_incremental
                else stub.StreamAggregatedResources
            )
            stream = method()
            try:
                while True:
                    while self.peer.outbox and not self.is_silent:
                        await stream.write(self.peer.outbox.popleft())
                    message = await stream.read()
                    if message == grpc.aio.EOF:  # type: ignore[attr-defined]
                        return
                    self.peer.take(message)
            finally:
                self.ended.set()


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline_s = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline_s, "waited too long"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def proxy(on: Plane, *, is_incremental: bool = True) -> AsyncIterator[Proxy]:
    """A connected proxy; in step, if there is something to be in step with."""
    one = Proxy(peer=Peer(is_incremental=is_incremental))
    known = {node["connected_at_s"] for node in on.discovery.nodes()}
    task = asyncio.create_task(one.run(on.port))
    try:
        await until(
            lambda: any(
                bool(node["synced"]) or not on.routes
                for node in on.discovery.nodes()
                if node["connected_at_s"] not in known
            )
        )
        yield one
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_every_proxy_counts_in_either_dialect() -> None:
    async with plane() as on:
        await on.publish(1, "c0")
        async with proxy(on) as delta, proxy(on, is_incremental=False) as sotw:
            outcome = await on.publish(2, "c1")
            assert isinstance(outcome, Applied)
            assert outcome.acks == 2
            assert 0.0 < outcome.push_to_ack_s < ACK_TIMEOUT_S
            assert delta.routes() == sotw.routes() == {"c1"}
            assert on.discovery.push_to_ack_s() == (outcome.push_to_ack_s,)


async def test_one_refusal_takes_the_table_back_everywhere() -> None:
    async with plane() as on:
        await on.publish(1, "c0")
        async with proxy(on) as strict, proxy(on) as lenient:
            lenient.peer.refuses = set()
            outcome = await on.publish(2, "c0", BAD)
            assert outcome == Rejected(version=2, because="peer: cluster bad is bad")
            assert strict.routes() == lenient.routes() == {"c0"}
            assert isinstance(await on.publish(3, "c0", "c1"), Applied)
            assert strict.routes() == lenient.routes() == {"c0", "c1"}


async def test_a_proxy_that_hangs_is_cut_off_and_the_others_are_steered() -> None:
    async with plane() as on:
        await on.publish(1, "c0")
        async with proxy(on) as well, proxy(on) as hung:
            hung.is_silent = True
            outcome = await on.publish(2, "c1")
            assert isinstance(outcome, Applied)
            assert outcome.acks == 1
            assert well.routes() == {"c1"}
            async with asyncio.timeout(5):
                await hung.ended.wait()


async def test_a_table_that_nobody_acknowledges_is_taken_back() -> None:
    async with plane() as on:
        await on.publish(1, "c0")
        async with proxy(on) as hung:
            hung.is_silent = True
            outcome = await on.publish(2, "c1")
            assert isinstance(outcome, Rejected)
            assert "no acknowledgement in 0.5 s" in outcome.because
        async with proxy(on) as later:
            assert later.routes() == {"c0"}


async def test_a_proxy_that_is_gone_holds_nothing_up() -> None:
    async with plane() as on:
        await on.publish(1, "c0")
        async with proxy(on) as well:
            async with proxy(on) as leaving:
                leaving.is_silent = True
                publishing = asyncio.create_task(on.publish(2, "c1"))
                await asyncio.sleep(0.05)
            outcome = await publishing
            assert isinstance(outcome, Applied)
            assert outcome.push_to_ack_s < ACK_TIMEOUT_S
            assert well.routes() == {"c1"}


async def test_the_first_table_is_refused_too_if_it_is_bad() -> None:
    async with plane() as on, proxy(on) as first:
        assert isinstance(await on.publish(1, BAD), Rejected)
        outcome = await on.publish(2, "c0")
        assert isinstance(outcome, Applied)
        assert outcome.acks == 1
        assert first.routes() == {"c0"}


async def test_a_table_that_cannot_be_rendered_reaches_nobody() -> None:
    async with plane() as on:
        await on.publish(1, "c0")
        async with proxy(on) as one:
            before = one.peer.messages
            outcome = await on.discovery.publish(table(9))
            assert outcome == Rejected(version=9, because="nothing to render for 9")
            assert one.peer.messages == before


async def test_pushes_at_once_are_taken_one_after_the_other() -> None:
    async with plane() as on:
        await on.publish(1, "c0")
        async with proxy(on) as one:
            outcomes = await asyncio.gather(*(on.publish(v, f"c{v}") for v in range(2, 8)))
            assert [outcome.version for outcome in outcomes] == list(range(2, 8))
            assert all(isinstance(outcome, Applied) for outcome in outcomes)
            assert one.routes() == {"c7"}
            await until(lambda: one.clusters() == {"c7"})


@pytest.mark.parametrize(("key", "value"), [("ack_timeout_s", 0.0), ("linger_s", -1.0)])
def test_bad_patience_is_refused(key: str, value: float) -> None:
    with pytest.raises(InvalidValueError, match=f"{key} is {value}"):
        DiscoverySettings(**{key: value})
