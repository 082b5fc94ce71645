"""This module is the discovery service: it publishes a table to every connected proxy.

All or nothing: a table is live when every proxy that was in step with the one before has
acknowledged it. One refusal takes it back everywhere. A proxy that does not answer in time is
cut off (it comes back and is told the newest): a hung proxy must not stop the others from
being steered away from a dying cell; only if none answers is the table taken back.

A proxy that is still starting does not count: it is given the newest table and may take its
time. It does count for the very first table, when all are starting; there it may be late.

A relay is the same service without a say: it adopts what was committed elsewhere.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import grpc
import structlog
from envoy.config.core.v3.base_pb2 import ControlPlane, Node
from envoy.service.discovery.v3.ads_pb2_grpc import (
    add_AggregatedDiscoveryServiceServicer_to_server as add_discovery,
)
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)
from envoy.service.load_stats.v3.lrs_pb2_grpc import (
    add_LoadReportingServiceServicer_to_server as add_load_reporting,
)

from foreshard.adapters.routing.envoy.conversation import Conversation, Dialect
from foreshard.adapters.routing.envoy.delta import DeltaDialect
from foreshard.adapters.routing.envoy.load_report import LoadReports
from foreshard.adapters.routing.envoy.session import Session
from foreshard.adapters.routing.envoy.snapshot import Render, Views, views
from foreshard.adapters.routing.envoy.sotw import SotwDialect
from foreshard.model.errors import InvalidValueError, SinkError
from foreshard.model.routing import RoutingTable
from foreshard.ports import Applied, Rejected

__all__ = ["Discovery", "DiscoverySettings"]

log = structlog.get_logger()


class _Introduced(Protocol):
    """A request that says who is asking."""

    node: Node


class _Signed(Protocol):
    """An answer that says who answers."""

    control_plane: ControlPlane


Heard = TypeVar("Heard", bound=_Introduced)
Said = TypeVar("Said", bound=_Signed)
Said_contra = TypeVar("Said_contra", bound=_Signed, contravariant=True)


class _Line(Protocol[Said_contra]):
    """The way to a proxy: gRPC's, or a bench's."""

    def peer(self) -> str:
        """Address of the proxy."""

    def write(self, message: Said_contra, /) -> Awaitable[None]:
        """Send it."""


IDENTIFIER = "foreshard"

GRPC_OPTIONS = (
    # Two processes on one port would each serve half of the proxies.
    ("grpc.so_reuseport", 0),
    # A proxy that reconnects lists the version of everything that it holds.
    ("grpc.max_receive_message_length", 256 * 1024 * 1024),
    ("grpc.max_send_message_length", -1),
    # A proxy whose machine is gone says nothing; without a probe it would count for hours.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
)
GRACE_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoverySettings:
    """How patient the discovery service is.

    Attributes:
        ack_timeout_s: A proxy that has not acknowledged after this is cut off.
        linger_s: How long a cluster outlives the last route that named it; longer than the
            longest request, because a retry looks its cluster up again.
    """

    ack_timeout_s: float = 5.0
    linger_s: float = 10.0

    def __post_init__(self) -> None:
        if not self.ack_timeout_s > 0.0:
            raise InvalidValueError(f"ack_timeout_s is {self.ack_timeout_s}, must be > 0")
        if not self.linger_s >= 0.0:
            raise InvalidValueError(f"linger_s is {self.linger_s}, must be 0 or more")


class Discovery:
    """The aggregated discovery service, in both dialects, and the load reports beside it.

    Args:
        render: Turns a table into resources.
        settings: See there.
        takes_load_reports: Whether proxies may report here; what they say of cells goes to the
            control plane or nowhere.
    """

    def __init__(
        self, render: Render, settings: DiscoverySettings, *, takes_load_reports: bool = True
    ) -> None:
        self._render = render
        self._settings = settings
        self._takes_load_reports = takes_load_reports
        self._server: grpc.aio.Server | None = None
        self._committed: Views | None = None
        self._conversations: list[Conversation] = []
        self._progress = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._push_to_ack_s: deque[float] = deque(maxlen=1000)
        self._build_s: deque[float] = deque(maxlen=1000)
        self._news = asyncio.Event()
        self.load_reports = LoadReports()
        self.is_sparing = False
        """Whether proxies that connect from now on keep what they hold: see `Session`."""
        self.identifier = IDENTIFIER
        """What a proxy shows in its statistics as `control_plane.identifier`."""

    async def start(
        self,
        host: str,
        port: int,
        *,
        handlers: Sequence[grpc.GenericRpcHandler[bytes, bytes]] = (),
    ) -> int:
        """Open the port; 0 = any free one.

        Args:
            host: Address to listen on.
            port: See above.
            handlers: Of other services on the same port.

        Returns:
            The port.

        Raises:
            SinkError: It cannot be opened.
        """
        # Whoever drops the server object closes the port: gRPC keeps no reference of its own.
        self._server = grpc.aio.server(options=GRPC_OPTIONS)
        add_discovery(_Servicer(self), self._server)
        if self._takes_load_reports:
            add_load_reporting(self.load_reports, self._server)
        self._server.add_generic_rpc_handlers(handlers)
        try:
            bound = self._server.add_insecure_port(f"{host}:{port}")
        except RuntimeError as error:
            raise SinkError(
                f"discovery: cannot listen on {host}:{port}; is another `foreshard serve` "
                "running, or the port taken?"
            ) from error
        await self._server.start()
        return bound

    async def stop(self) -> None:
        """Close the port and end every stream; the proxies keep what they have."""
        self.load_reports.close()
        self.dismiss()
        if self._server is not None:
            await self._server.stop(GRACE_S)

    def dismiss(self) -> int:
        """End every stream of discovery; each proxy comes back, here or elsewhere.

        Returns:
            How many there were.
        """
        members = [one for one in self._conversations if not one.is_over]
        for one in members:
            one.close()
        return len(members)

    async def restore(self, table: RoutingTable, *, committed_at_s: float) -> None:
        """Serve a table that was live before a restart; asks nobody.

        Raises:
            SinkError: It can no longer be rendered.
        """
        self.adopt(await views(table, self._render, committed_at_s=committed_at_s))

    def adopt(self, goal: Views) -> None:
        """Serve what was committed; asks nobody, and tells nothing to proxies that are spared."""
        self._committed = goal
        for one in self._conversations:
            if not one.session.is_sparing:
                one.aim(goal.of(one.region))
        self._tell()

    @property
    def committed(self) -> Views | None:
        """What is live."""
        return self._committed

    @property
    def news(self) -> asyncio.Event:
        """Set when something else is committed than what is now."""
        return self._news

    def _tell(self) -> None:
        told, self._news = self._news, asyncio.Event()
        told.set()

    async def publish(self, table: RoutingTable) -> Applied | Rejected:
        """Make a table live on every connected proxy, or on none.

        `Applied.push_to_ack_s` is the slowest proxy's, from the first message written.
        """
        async with self._one_at_a_time:
            started_s = time.monotonic()
            try:
                goal = await views(table, self._render)
            except (SinkError, InvalidValueError) as error:
                return Rejected(version=table.version, because=str(error))
            self._build_s.append(time.monotonic() - started_s)
            members = [
                one
                for one in self._conversations
                if not one.is_over and (self._committed is None or one.session.is_synced)
            ]
            return await self._roll_out(goal, members)

    def nodes(self) -> list[Mapping[str, object]]:
        """Every connected proxy, as JSON values."""
        return [
            {
                "node": one.node,
                "region": one.region,
                "dialect": one.dialect,
                "connected_at_s": one.connected_at_s,
                "synced": one.session.is_synced,
                "nacks": one.session.nacks,
                "last_nack": one.session.last_nack,
                "acked": one.session.acked_versions(),
            }
            for one in self._conversations
            if not one.is_over
        ]

    def push_to_ack_s(self) -> tuple[float, ...]:
        """Times of the last pushes that some proxy acknowledged, oldest first."""
        return tuple(self._push_to_ack_s)

    def build_s(self) -> tuple[float, ...]:
        """Times it took to render, pack and hash the last tables, oldest first."""
        return tuple(self._build_s)

    async def _roll_out(self, goal: Views, members: list[Conversation]) -> Applied | Rejected:
        version = goal.version
        started_s = time.monotonic()
        for one in members:
            one.aim(goal.of(one.region), keeps_old=True)
        await self._wait_for(members)
        refusals = [one for one in members if one.session.refusal]
        late = [
            one for one in members if not (one.is_over or one.session.is_synced) and not refusals
        ]
        acked = [one for one in members if one.session.is_synced and not one.is_over]
        if refusals:
            because = f"{refusals[0].node}: {refusals[0].session.refusal}"
        elif late and not acked and self._committed is not None:
            because = f"{late[0].node}: no acknowledgement in {self._settings.ack_timeout_s:g} s"
        else:
            because = ""
        if because:
            await self._take_back(members)
            return Rejected(version=version, because=because)
        if self._committed is not None:
            self._cut_off(late)
        self._committed = goal
        for one in self._conversations:
            if one not in members:
                one.aim(goal.of(one.region))
            one.settle()
        self._tell()
        slowest_s = max((one.synced_at_s - started_s for one in acked), default=0.0)
        if acked:
            self._push_to_ack_s.append(max(0.0, slowest_s))
        return Applied(version=version, acks=len(acked), push_to_ack_s=max(0.0, slowest_s))

    async def _take_back(self, members: list[Conversation]) -> None:
        old = self._committed
        for one in members:
            one.aim(None if old is None else old.of(one.region), keeps_old=True)
        if old is not None:
            await self._wait_for(members)
            self._cut_off([one for one in members if not (one.is_over or one.session.is_synced)])
        for one in members:
            one.settle()

    def _cut_off(self, late: list[Conversation]) -> None:
        for one in late:
            log.warning("discovery.cut_off", node=one.node, refusal=one.session.refusal)
            one.close()

    async def _wait_for(self, members: list[Conversation]) -> None:
        # Who was seen to be settled is looked at again only when all seem to be.
        waiting = deque(members)

        def is_settled() -> bool:
            if any(one.session.refusal for one in members):
                return True
            while waiting and waiting[0].is_settled:
                waiting.popleft()
            return not waiting and all(one.is_settled for one in members)

        try:
            async with asyncio.timeout(self._settings.ack_timeout_s):
                while not is_settled():
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            return

    async def converse(
        self,
        make_dialect: Callable[[Session], Dialect[Heard, Said]],
        requests: AsyncIterator[Heard],
        line: _Line[Said],
    ) -> None:
        """One stream, from its first request to its end."""
        first = await anext(requests, None)
        if first is None:
            return
        session = Session(linger_s=self._settings.linger_s, is_sparing=self.is_sparing)
        node = first.node
        conversation = Conversation(
            session,
            node=node.id or line.peer(),
            region=node.locality.region,
            on_progress=self._progress.set,
        )
        if self._committed is not None:
            session.aim(self._committed.of(conversation.region))
        self._conversations.append(conversation)
        log.info("discovery.connected", node=conversation.node, region=conversation.region)

        async def write(said: Said) -> None:
            said.control_plane.identifier = self.identifier
            await line.write(said)

        try:
            await conversation.run(make_dialect(session), first, requests, write)
        finally:
            self._conversations.remove(conversation)
            log.info("discovery.disconnected", node=conversation.node)


class _Servicer:
    """What gRPC calls; the names are the protocol's."""

    def __init__(self, discovery: Discovery) -> None:
        self._discovery = discovery

    async def StreamAggregatedResources(  # noqa: N802 - the protocol's name
        self,
        requests: AsyncIterator[DiscoveryRequest],
        context: grpc.aio.ServicerContext[DiscoveryRequest, DiscoveryResponse],
    ) -> None:
        """State of the world."""
        await self._discovery.converse(SotwDialect, requests, context)

    async def DeltaAggregatedResources(  # noqa: N802 - the protocol's name
        self,
        requests: AsyncIterator[DeltaDiscoveryRequest],
        context: grpc.aio.ServicerContext[DeltaDiscoveryRequest, DeltaDiscoveryResponse],
    ) -> None:
        """Incremental."""
        await self._discovery.converse(DeltaDialect, requests, context)
