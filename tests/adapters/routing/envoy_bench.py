"""This module is a real Envoy on a bench: a few backends, and a minimal control plane.

The control plane here knows state of the world and nothing else, on purpose: what is rendered
is put on trial without the discovery service that ships.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import grpc
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.any_pb2 import Any as AnyMessage

from foreshard.adapters.routing.envoy.bootstrap import bootstrap_text
from foreshard.adapters.routing.envoy.render import render
from foreshard.adapters.routing.envoy.resources import Resources
from foreshard.adapters.routing.envoy.settings import EnvoySettings
from foreshard.lab.envoy import Envoy
from foreshard.model.routing import RoutingTable
from foreshard.model.topology import Cell, Node

__all__ = ["Backend", "Bench", "bench", "free_port"]

SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
REQUEST = discovery_pb2.DiscoveryRequest
RESPONSE = discovery_pb2.DiscoveryResponse


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class ControlPlane:
    """Answers every subscription with what is published, and remembers what was refused."""

    def __init__(self) -> None:
        self.published: Resources = {}
        self.refusals: list[str] = []
        self.version = 0
        self._acked: dict[str, int] = {}
        self._subscribed: dict[str, asyncio.Queue[str]] = {}
        self._changed = asyncio.Condition()

    async def publish(self, resources: Resources) -> None:
        """Push to Envoy, and return once it has taken every type it asked for."""
        self.published = resources
        self.version += 1
        for url, queue in self._subscribed.items():
            queue.put_nowait(url)
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(self._is_settled)

    def handler(self) -> grpc.GenericRpcHandler[object, object]:
        """What a gRPC server needs to serve it."""
        stream = grpc.stream_stream_rpc_method_handler(
            self.stream,
            request_deserializer=REQUEST.FromString,
            response_serializer=RESPONSE.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(SERVICE, {"StreamAggregatedResources": stream})

    def _is_settled(self) -> bool:
        live = all(self._acked.get(url, 0) >= self.version for url in self._subscribed)
        return bool(self.refusals) or live

    async def stream(
        self,
        requests: AsyncIterator[discovery_pb2.DiscoveryRequest],
        _: grpc.aio.ServicerContext[
            discovery_pb2.DiscoveryRequest, discovery_pb2.DiscoveryResponse
        ],
    ) -> AsyncIterator[discovery_pb2.DiscoveryResponse]:
        """One proxy's stream."""
        due: asyncio.Queue[str] = asyncio.Queue()
        names: dict[str, frozenset[str]] = {}

        async def listen() -> None:
            async for request in requests:
                url = request.type_url
                asked = frozenset(request.resource_names)
                is_new = names.get(url) != asked
                names[url] = asked
                self._subscribed[url] = due
                async with self._changed:
                    if request.HasField("error_detail"):
                        self.refusals.append(request.error_detail.message)
                    elif request.response_nonce:
                        self._acked[url] = int(request.response_nonce)
                    self._changed.notify_all()
                if is_new:
                    due.put_nowait(url)

        listening = asyncio.create_task(listen())
        try:
            while True:
                url = await due.get()
                found = self.published.get(url, {})
                wanted = names.get(url) or found.keys()
                answer = RESPONSE(
                    type_url=url, version_info=str(self.version), nonce=str(self.version)
                )
                for name in sorted(wanted & found.keys()):
                    resource = AnyMessage()
                    resource.Pack(found[name], deterministic=True)
                    answer.resources.append(resource)
                yield answer
        finally:
            listening.cancel()


@dataclass
class Backend:
    """A cell: answers 200 with its name, or what it is told."""

    name: str
    region: str = "eu"
    port: int = 0
    status: int = 200
    delay_s: float = 0.0
    served: Counter[str] = field(default_factory=Counter)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def cell(self) -> Cell:
        node = Node(host="127.0.0.1", port=self.port)
        return Cell(name=self.name, region=self.region, zone=f"{self.region}a", nodes=(node,))

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def kill(self) -> None:
        """Close the port and break off what is open, as a killed process would."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._open):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.strip().split("\r\n")
                headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
                await reader.readexactly(int(headers.get("content-length", "0")))
                path = first.split()[1]
                status = 200 if path == "/health" else self.status
                if path != "/health":
                    self.served[path] += 1
                    self.headers.append(headers)
                    await asyncio.sleep(self.delay_s)
                body = self.name
                writer.write(
                    f"HTTP/1.1 {status} x\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()


@dataclass
class Bench:
    """Envoy in front of backends, configured by a table."""

    backends: Mapping[str, Backend]
    plane: ControlPlane
    settings: EnvoySettings
    envoy: Envoy
    session: aiohttp.ClientSession

    async def steer(self, table: RoutingTable) -> None:
        """Make a table live."""
        await self.plane.publish(render(table, origin="eu", settings=self.settings))

    async def until_open(self) -> None:
        """Wait for the listener: Envoy says that it is ready a moment before."""
        async with asyncio.timeout(10):
            while True:
                try:
                    await self.ask("/")
                except aiohttp.ClientConnectorError:
                    await asyncio.sleep(0.02)
                else:
                    return

    async def ask(
        self, path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        """Send a request; its status, and the name of the cell that answered."""
        url = f"http://127.0.0.1:{self.settings.listen_port}{path}"
        async with self.session.request(method, url, headers=headers) as answer:
            return answer.status, await answer.text()


@asynccontextmanager
async def bench(
    names: Iterable[str], first: Callable[[tuple[Cell, ...]], RoutingTable], directory: Path
) -> AsyncIterator[Bench]:
    """A running Envoy whose first table is made from the backends' cells."""
    backends = {name: Backend(name=name) for name in names}
    plane = ControlPlane()
    discovery = grpc.aio.server()
    discovery.add_generic_rpc_handlers((plane.handler(),))
    port = discovery.add_insecure_port("127.0.0.1:0")
    settings = EnvoySettings(listen_port=free_port(), served_by_header="x-served-by")
    config = bootstrap_text(
        node_id="bench",
        region="eu",
        zone="eua",
        discovery=("127.0.0.1", port),
        admin=("127.0.0.1", 0),
        is_incremental=False,
    )
    async with AsyncExitStack() as stack:
        for backend in backends.values():
            await backend.start()
            stack.push_async_callback(backend.kill)
        table = first(tuple(backend.cell for backend in backends.values()))
        plane.published, plane.version = render(table, origin="eu", settings=settings), 1
        await discovery.start()
        stack.push_async_callback(discovery.stop, None)
        envoy = await Envoy.launch(
            config, name="envoy", directory=directory, port=settings.listen_port
        )
        stack.push_async_callback(envoy.stop)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        running = Bench(
            backends=backends, plane=plane, settings=settings, envoy=envoy, session=session
        )
        await running.until_open()
        yield running
