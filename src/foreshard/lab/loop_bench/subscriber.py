"""This module is a proxy that subscribes: it asks for all, takes what it is sent, and says so.

It speaks the incremental dialect without a socket. What it is sent is encoded, as gRPC would do
it, and counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from envoy.config.core.v3.base_pb2 import Locality, Node
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
)

__all__ = ["Sent", "Subscriber"]

CLUSTERS = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
ENDPOINTS = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENERS = "type.googleapis.com/envoy.config.listener.v3.Listener"
SCOPES = "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration"
ROUTES = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"


@dataclass(slots=True)
class Sent:
    """What all subscribers were sent.

    Attributes:
        messages: Encoded.
        resources: In them.
        size_bytes: Of them.
    """

    messages: int = 0
    resources: int = 0
    size_bytes: int = 0


class Subscriber:
    """One proxy.

    Args:
        name: Of the proxy.
        region: Where it stands.
        sent: Counts what it is sent.
        encode: As the transport encodes a message.
    """

    def __init__(
        self,
        name: str,
        region: str,
        sent: Sent,
        encode: Callable[[DeltaDiscoveryResponse], bytes],
    ) -> None:
        self._node = Node(id=name, locality=Locality(region=region))
        self._sent = sent
        self._encode = encode
        self._said: asyncio.Queue[DeltaDiscoveryRequest] = asyncio.Queue()
        self._asked: dict[str, set[str]] = {ENDPOINTS: set(), ROUTES: set()}
        for type_url in (CLUSTERS, SCOPES, LISTENERS):
            self._said.put_nowait(DeltaDiscoveryRequest(node=self._node, type_url=type_url))

    def peer(self) -> str:
        """As gRPC names it."""
        return str(self._node.id)

    async def requests(self) -> AsyncIterator[DeltaDiscoveryRequest]:
        """What it says, for ever."""
        while True:
            yield await self._said.get()

    async def write(self, response: DeltaDiscoveryResponse) -> None:
        """Take a message, acknowledge it, and ask for what it names.

        Foreshard's clusters and scopes have the names of what they refer to.
        """
        self._sent.size_bytes += len(self._encode(response))
        self._sent.messages += 1
        self._sent.resources += len(response.resources)
        self._said.put_nowait(
            DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)
        )
        if response.type_url == CLUSTERS:
            self._ask(ENDPOINTS, {each.name for each in response.resources})
        if response.type_url == SCOPES:
            self._ask(ROUTES, {each.name for each in response.resources})

    def _ask(self, type_url: str, names: set[str]) -> None:
        new = names - self._asked[type_url]
        self._asked[type_url] |= new
        if new:
            ask = DeltaDiscoveryRequest(type_url=type_url, resource_names_subscribe=sorted(new))
            self._said.put_nowait(ask)
