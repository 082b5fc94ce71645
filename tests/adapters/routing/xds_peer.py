"""This module is a proxy reduced to its manners: it asks, holds, acknowledges, and may refuse.

It orders its questions as Envoy does (clusters, their endpoints, then listeners and scopes, then
the routes that the scopes name) and checks after each message that its routes name no cluster
that it does not hold, warmed up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.base_pb2 import Locality, Node
from envoy.config.endpoint.v3.endpoint_components_pb2 import Endpoint
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_components_pb2 import VirtualHost
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.config.route.v3.scoped_route_pb2 import ScopedRouteConfiguration
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status

from foreshard.adapters.routing.envoy.resources import (
    CLUSTER_TYPE,
    ENDPOINT_TYPE,
    LISTENER_TYPE,
    ROUTE_TYPE,
    SCOPED_ROUTE_TYPE,
    Resources,
)

__all__ = ["BAD", "Held", "Peer", "small_world"]

Held: TypeAlias = dict[str, dict[str, Message]]

KINDS: Mapping[str, type[Message]] = {
    CLUSTER_TYPE: Cluster,
    ENDPOINT_TYPE: ClusterLoadAssignment,
    SCOPED_ROUTE_TYPE: ScopedRouteConfiguration,
    ROUTE_TYPE: RouteConfiguration,
    LISTENER_TYPE: Listener,
}
FIRST = (CLUSTER_TYPE, LISTENER_TYPE, SCOPED_ROUTE_TYPE)
REFERRED = {CLUSTER_TYPE: ENDPOINT_TYPE, SCOPED_ROUTE_TYPE: ROUTE_TYPE}

BAD = "bad"
"""A cluster of this name is refused, unless a peer is told otherwise."""


def small_world(routes: Mapping[str, Iterable[str]], *, revision: int = 0) -> Resources:
    """Resources for some route tables, each naming some clusters."""
    named = {name: sorted(clusters) for name, clusters in routes.items()}
    clusters = sorted({one for many in named.values() for one in many})
    return {
        CLUSTER_TYPE: {
            name: Cluster(name=name, type=Cluster.EDS, alt_stat_name=f"{revision}")
            for name in clusters
        },
        ENDPOINT_TYPE: {
            name: ClusterLoadAssignment(
                cluster_name=name, named_endpoints={f"{revision}": Endpoint()}
            )
            for name in clusters
        },
        SCOPED_ROUTE_TYPE: {
            name: ScopedRouteConfiguration(name=name, route_configuration_name=name)
            for name in named
        },
        ROUTE_TYPE: {
            name: RouteConfiguration(
                name=name, virtual_hosts=[VirtualHost(name="all", domains=many)]
            )
            for name, many in named.items()
        },
        LISTENER_TYPE: {"edge": Listener(name="edge")},
    }


class Peer:
    """A proxy's side of one stream, in either dialect.

    Args:
        is_incremental: Which dialect.
        held: What it holds from an earlier stream.
        versions: Delta: version of each held resource. State of the world: version by type.
    """

    def __init__(self, *, is_incremental: bool, earlier: Peer | None = None) -> None:
        self.is_incremental = is_incremental
        self.held: Held = {type_url: {} for type_url in KINDS}
        self.warm: set[str] = set()
        self.versions: dict[str, dict[str, str]] = {type_url: {} for type_url in KINDS}
        self.type_version: dict[str, str] = {}
        self.outbox: deque[DeltaDiscoveryRequest | DiscoveryRequest] = deque()
        self.names: dict[str, set[str]] = {ENDPOINT_TYPE: set(), ROUTE_TYPE: set()}
        self.nonces: dict[str, str] = {}
        self.messages = 0
        self.refuses = {BAD}
        self.node = Node(id="peer", locality=Locality(region="eu"))
        if earlier is not None:
            self.held, self.warm, self.names = earlier.held, earlier.warm, earlier.names
            self.versions, self.type_version = earlier.versions, earlier.type_version
        for type_url in (*FIRST, *(t for t in self.names if self.names[t])):
            self._open(type_url)

    def take(self, message: DeltaDiscoveryResponse | DiscoveryResponse) -> None:
        """Receive a message: hold or refuse, answer, and ask for what it leads to."""
        self.messages += 1
        type_url, nonce = message.type_url, message.nonce
        if self.is_incremental:
            bodies = [one.resource for one in message.resources]
        else:
            bodies = list(message.resources)
        updated = {_name(one): one for one in (_unpack(type_url, body) for body in bodies)}
        self.nonces[type_url] = nonce
        bad = self.refuses & set(updated)
        if bad and type_url == CLUSTER_TYPE:
            # As Envoy does: what is good in it is applied all the same.
            good = {name: one for name, one in updated.items() if name not in bad}
            self._hold(type_url, good, ())
            self._answer(type_url, nonce, refusal=f"cluster {bad.pop()} is bad")
            return
        removed: Iterable[str] = ()
        if self.is_incremental:
            removed = message.removed_resources
            self.versions[type_url].update({one.name: one.version for one in message.resources})
        else:
            self.type_version[type_url] = message.version_info
            if type_url in FIRST:
                removed = set(self.held[type_url]) - set(updated)
        self._hold(type_url, updated, removed)
        self._answer(type_url, nonce)

    def _hold(self, type_url: str, updated: Mapping[str, Message], removed: Iterable[str]) -> None:
        held = self.held[type_url]
        for name, message in updated.items():
            if name not in self.names.get(type_url, {name}):
                continue  # asked for once, no longer
            held[name] = message
            if type_url == ENDPOINT_TYPE:
                self.warm.add(name)
        for name in removed:
            held.pop(name, None)
            self.versions[type_url].pop(name, None)
            if type_url == CLUSTER_TYPE:
                self.warm.discard(name)
        if type_url in REFERRED:
            self._ask(REFERRED[type_url])
        self.check()

    def check(self) -> None:
        """No route in use names a cluster that cannot serve."""
        for scope in self.held[SCOPED_ROUTE_TYPE]:
            route = self.held[ROUTE_TYPE].get(scope)
            named = set(route.virtual_hosts[0].domains) if route is not None else set()  # type: ignore[attr-defined]
            missing = named - set(self.held[CLUSTER_TYPE])
            cold = named - self.warm
            assert not missing, f"route {scope} names {missing}, which is not there"
            assert not cold, f"route {scope} names {cold}, which is still warming"

    def _ask(self, type_url: str) -> None:
        referring = next(one for one, referred in REFERRED.items() if referred == type_url)
        wanted = set(self.held[referring])
        added, dropped = wanted - self.names[type_url], self.names[type_url] - wanted
        is_first = not self.names[type_url] and type_url not in self.nonces
        self.names[type_url] = wanted
        for name in dropped:
            self.held[type_url].pop(name, None)
            self.versions[type_url].pop(name, None)
        if is_first and wanted:
            self._open(type_url)
        elif added or dropped:
            if self.is_incremental:
                self.outbox.append(
                    DeltaDiscoveryRequest(
                        type_url=type_url,
                        resource_names_subscribe=sorted(added),
                        resource_names_unsubscribe=sorted(dropped),
                    )
                )
            else:
                self._answer(type_url, self.nonces.get(type_url, ""))

    def _open(self, type_url: str) -> None:
        names = sorted(self.names.get(type_url, ()))
        if self.is_incremental:
            self.outbox.append(
                DeltaDiscoveryRequest(
                    node=self.node,
                    type_url=type_url,
                    resource_names_subscribe=names,
                    initial_resource_versions=self.versions[type_url],
                )
            )
        else:
            self.outbox.append(
                DiscoveryRequest(
                    node=self.node,
                    type_url=type_url,
                    resource_names=names,
                    version_info=self.type_version.get(type_url, ""),
                )
            )

    def _answer(self, type_url: str, nonce: str, *, refusal: str = "") -> None:
        error = Status(message=refusal) if refusal else None
        if self.is_incremental:
            self.outbox.append(
                DeltaDiscoveryRequest(type_url=type_url, response_nonce=nonce, error_detail=error)
            )
        else:
            self.outbox.append(
                DiscoveryRequest(
                    type_url=type_url,
                    response_nonce=nonce,
                    version_info=self.type_version.get(type_url, ""),
                    resource_names=sorted(self.names.get(type_url, ())),
                    error_detail=error,
                )
            )


def _unpack(type_url: str, body: AnyMessage) -> Message:
    message = KINDS[type_url]()
    assert body.Unpack(message)
    return message


def _name(message: Message) -> str:
    if isinstance(message, ClusterLoadAssignment):
        return str(message.cluster_name)
    return str(message.name)  # type: ignore[attr-defined]
