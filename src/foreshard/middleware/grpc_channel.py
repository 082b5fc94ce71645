"""This module is the router as a gRPC channel: every call goes to the cell that is to serve it.

    stub = ShopStub(RoutedChannel(router, origin="eu"))

It is client side, since the choice of a cell is a choice of a connection, and that is made before
a call is sent; on the server side one could only say that it was wrong. It is a channel and no
`grpc.aio` client interceptor, because an interceptor is bound to the channel it is put on and is
not told how messages are written, so it cannot send a call anywhere else. Interceptors of your own
go on the channels of the cells: see `dial`.

The class is decided by `POST` and `/package.Service/Method`, as the Envoys decide it, the key by
the metadata of the call. A call that the plan sheds fails at once, with RESOURCE_EXHAUSTED and
`grpc-retry-pushback-ms`, and asks no cell; one for which there is no plan with UNAVAILABLE.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable, Iterator
from itertools import count
from types import TracebackType
from typing import Any, Self, assert_never

import grpc

from foreshard.middleware.decision import Routed, decide
from foreshard.model.errors import InvalidValueError
from foreshard.model.topology import Node
from foreshard.router import Nowhere, Refused, Router

__all__ = ["Dial", "RoutedChannel", "dial_insecure"]

Dial = Callable[[Node], grpc.aio.Channel]
"""Opens a channel to one node."""

# Calls that are open to a node that is no longer in the table may end.
GRACE_S = 30.0
LOOK_S = 0.05


def dial_insecure(node: Node) -> grpc.aio.Channel:
    """A channel without TLS."""
    return grpc.aio.insecure_channel(f"{node.host}:{node.port}")


class RoutedChannel(grpc.aio.Channel):
    """A channel to all cells; stubs and generic calls use it as any other.

    Args:
        router: Decides, call by call.
        origin: Region in which the caller stands, as the plan names it.
        dial: Opens a channel to a node: with TLS, options, interceptors. Nodes of one cell take
            turns.
    """

    def __init__(self, router: Router, *, origin: str, dial: Dial = dial_insecure) -> None:
        if not origin:
            raise InvalidValueError("origin is empty, must be the region the caller stands in")
        self._router = router
        self._origin = origin
        self._dial = dial
        self._turns: Iterator[int] = count()
        self._channels: dict[Node, grpc.aio.Channel] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def unary_unary(self, method: str, *said: Any, **named: Any) -> Any:  # noqa: ANN401 - of gRPC
        """See `grpc.aio.Channel`."""
        return _RoutedCall(self, "unary_unary", method, said, named)

    def unary_stream(self, method: str, *said: Any, **named: Any) -> Any:  # noqa: ANN401 - of gRPC
        """See `grpc.aio.Channel`."""
        return _RoutedCall(self, "unary_stream", method, said, named)

    def stream_unary(self, method: str, *said: Any, **named: Any) -> Any:  # noqa: ANN401 - of gRPC
        """See `grpc.aio.Channel`."""
        return _RoutedCall(self, "stream_unary", method, said, named)

    def stream_stream(self, method: str, *said: Any, **named: Any) -> Any:  # noqa: ANN401 - of gRPC
        """See `grpc.aio.Channel`."""
        return _RoutedCall(self, "stream_stream", method, said, named)

    def to_cell(self, method: str, metadata: Any) -> grpc.aio.Channel:  # noqa: ANN401 - of gRPC
        """The channel that a call with this metadata goes over.

        Raises:
            AioRpcError: The plan sheds it, or there is no plan for it.
        """
        # What gRPC itself adds to every call.
        sent = [("content-type", "application/grpc"), *(metadata or ())]
        found = decide(
            self._router,
            origin=self._origin,
            method="POST",
            path=method,
            headers=lambda wanted: [_on_the_wire(n, v) for n, v in sent if n.lower() == wanted],
        )
        match found:
            case Routed(cell=cell):
                return self._channel(cell.nodes[next(self._turns) % len(cell.nodes)])
            case Refused(retry_after_s=wait_s):
                raise _failure(
                    grpc.StatusCode.RESOURCE_EXHAUSTED, "shed by the plan", wait_s=wait_s
                )
            case Nowhere(because=because):
                raise _failure(grpc.StatusCode.UNAVAILABLE, because, wait_s=1)
            case _:
                assert_never(found)

    async def close(self, grace: float | None = None) -> None:
        """Close the channels of all cells."""
        channels = list(self._channels.values())
        self._channels.clear()
        await asyncio.gather(*self._closing, *(channel.close(grace) for channel in channels))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # noqa: FBT001, FBT002 - of gRPC
        """READY as soon as there is a plan: channels to cells are opened by the first call."""
        known = self._router.table is not None
        return grpc.ChannelConnectivity.READY if known else grpc.ChannelConnectivity.IDLE

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Wait until there is a plan, or there is another state than the one that was seen."""
        while self.get_state() is last_observed_state:  # noqa: ASYNC110 - a router tells nobody
            await asyncio.sleep(LOOK_S)

    async def channel_ready(self) -> None:
        """Wait until there is a plan."""
        await self.wait_for_state_change(grpc.ChannelConnectivity.IDLE)

    def _channel(self, node: Node) -> grpc.aio.Channel:
        known = self._channels.get(node)
        if known is None:
            self._forget()
            known = self._channels[node] = self._dial(node)
        return known

    def _forget(self) -> None:
        """Close what leads to nodes that the table no longer has, once calls have ended."""
        table = self._router.table
        there = {node for cell in table.cells for node in cell.nodes} if table else set()
        for node in self._channels.keys() - there:
            closing = asyncio.ensure_future(self._channels.pop(node).close(GRACE_S))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)


class _RoutedCall:
    """What a stub keeps of a method; is called once for each call."""

    def __init__(
        self,
        channel: RoutedChannel,
        kind: str,
        method: str,
        said: tuple[Any, ...],
        named: dict[str, Any],
    ) -> None:
        self._channel, self._kind, self._method = channel, kind, method
        self._said, self._named = said, named

    def __call__(self, *said: Any, **named: Any) -> Any:  # noqa: ANN401 - of gRPC
        # Calls that stream requests take it as their third argument, too.
        metadata = named.get("metadata", said[2] if len(said) > 2 else None)
        channel = self._channel.to_cell(self._method, metadata)
        open_call = getattr(channel, self._kind)(self._method, *self._said, **self._named)
        return open_call(*said, **named)


def _on_the_wire(name: str, value: str | bytes) -> bytes:
    """A value as a proxy would see it: binary ones travel as base64, without its padding."""
    raw = value.encode() if isinstance(value, str) else value
    return b64encode(raw).rstrip(b"=") if name.endswith("-bin") else raw


def _failure(code: grpc.StatusCode, details: str, *, wait_s: int) -> grpc.aio.AioRpcError:
    pushback = grpc.aio.Metadata(("grpc-retry-pushback-ms", str(1_000 * wait_s)))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), pushback, details, "")
