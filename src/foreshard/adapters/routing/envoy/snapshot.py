"""This module is what one region's proxies are meant to hold: resources with content versions.

A version is a hash of the bytes, not a counter: after a restart equal content has equal
versions, so a proxy that reconnects is told nothing that it does not already know.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.route.v3.scoped_route_pb2 import ScopedRouteConfiguration
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message

from foreshard.adapters.routing.envoy.resources import (
    CLUSTER_TYPE,
    ENDPOINT_TYPE,
    LISTENER_TYPE,
    ROUTE_TYPE,
    SCOPED_ROUTE_TYPE,
)
from foreshard.model.errors import SinkError
from foreshard.model.routing import ClassRoute, RoutingTable

__all__ = [
    "REFERRED_TYPE",
    "Render",
    "Rendered",
    "Served",
    "Snapshot",
    "Views",
    "kept",
    "serve",
    "served_as",
    "snapshot",
    "views",
]


REFERRED_TYPE: Mapping[str, str] = {CLUSTER_TYPE: ENDPOINT_TYPE, SCOPED_ROUTE_TYPE: ROUTE_TYPE}
"""Which type a resource of a type makes the proxy ask for next."""

REFERRING: Mapping[str, type[Message]] = {
    CLUSTER_TYPE: Cluster,
    SCOPED_ROUTE_TYPE: ScopedRouteConfiguration,
}

# Between two pauses in which acknowledgements are read. A push is acknowledged in 2 ms.
BUDGET_S = 0.002


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One resource, ready to be sent.

    Attributes:
        name: Of the resource.
        version: Hash of its bytes.
        body: The packed message.
        refers: Name of the resource it makes the proxy ask for; "" = none.
    """

    name: str
    version: str
    body: AnyMessage
    refers: str = ""


Rendered: TypeAlias = Mapping[str, Mapping[str, Message | Served]]
"""Resources by type address, then by name; those that were packed before stay as they are."""

Render: TypeAlias = Callable[[RoutingTable, str], Rendered]
"""Renders a table for one origin region; raises SinkError for a table it cannot render."""


@dataclass(frozen=True, slots=True, kw_only=True, weakref_slot=True)
class Snapshot:
    """Everything that one proxy is meant to hold, by type address, then by name."""

    resources: Mapping[str, Mapping[str, Served]]
    # Asked for by every proxy of a region, for every message.
    _versions: dict[str, Mapping[str, str]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    # By type, since which one, and what: all proxies of a region come from the same. It is not
    # kept alive for that, or it would keep the one before it.
    _news: dict[str, tuple[weakref.ref[Snapshot], tuple[Served, ...]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def news(self, type_url: str, before: Snapshot) -> tuple[Served, ...]:
        """What has another version than before, or is new."""
        known = self._news.get(type_url)
        if known is None or known[0]() is not before:
            old = before.of(type_url)
            found = tuple(
                one
                for name, one in self.of(type_url).items()
                if name not in old or old[name].version != one.version
            )
            known = self._news[type_url] = weakref.ref(before), found
        return known[1]

    def versions(self, type_url: str) -> Mapping[str, str]:
        """The versions of one type, by name."""
        known = self._versions.get(type_url)
        if known is None:
            known = {name: one.version for name, one in self.of(type_url).items()}
            self._versions[type_url] = known
        return known

    def of(self, type_url: str) -> Mapping[str, Served]:
        """The resources of one type, by name."""
        return self.resources.get(type_url, {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """One table as every region's proxies see it.

    Attributes:
        version: Of the table.
        committed_at_s: When it went live.
        by_origin: By origin region.
    """

    version: int
    committed_at_s: float
    by_origin: Mapping[str, Snapshot]

    def of(self, region: str) -> Snapshot:
        """A region's own view; the first region's (by name) where it has none.

        The table knows no distances between regions, so "first" stands in for "nearest".
        """
        return self.by_origin.get(region) or self.by_origin[min(self.by_origin)]


async def views(
    table: RoutingTable, render: Render, *, committed_at_s: float | None = None
) -> Views:
    """Render a table for all its origins, away from the loop that reads acknowledgements.

    A class without a row for one of the origins lends it the row of its first origin. A table
    without a time goes live now.

    Raises:
        SinkError: The table cannot be rendered, or the result is not whole.
    """
    origins = sorted({origin for route in table.classes for origin in route.rows})
    if not origins:
        raise SinkError(f"table {table.version}: no class has a row, nothing would be served")
    whole = replace(table, classes=tuple(_lend(route, origins) for route in table.classes))
    by_origin = {}
    for origin in origins:
        try:
            resources = await asyncio.to_thread(render, whole, origin)
        except (ValueError, OverflowError) as error:
            # A number that protobuf has no room for; which one only it can say.
            because = f"{type(error).__name__}: {error}"
            raise SinkError(f"table {table.version} cannot be rendered ({because})") from error
        by_origin[origin] = await snapshot(resources)
    at_s = time.time() if committed_at_s is None else committed_at_s
    return Views(version=table.version, committed_at_s=at_s, by_origin=by_origin)


async def snapshot(resources: Rendered) -> Snapshot:
    """Pack and hash messages, pausing so that nothing else waits.

    Raises:
        SinkError: Something is missing that Envoy would wait for, or answer 503 without.
    """
    served: dict[str, dict[str, Served]] = {}
    pause_at_s = time.monotonic() + BUDGET_S
    for type_url, messages in resources.items():
        served[type_url] = {}
        for name, message in messages.items():
            if isinstance(message, Served):
                served[type_url][name] = message
                continue
            served[type_url][name] = serve(type_url, name, message)
            if time.monotonic() > pause_at_s:
                await asyncio.sleep(0)
                pause_at_s = time.monotonic() + BUDGET_S
    return _whole(served)


def kept(resources: Iterable[tuple[str, str, AnyMessage]]) -> Snapshot:
    """A snapshot from resources that were packed before, as name, version and body.

    Raises:
        SinkError: One cannot be read, or something is missing that Envoy would wait for.
    """
    served: dict[str, dict[str, Served]] = {}
    for name, version, body in resources:
        kind = REFERRING.get(body.type_url)
        message = None if kind is None else kind()
        try:
            if message is not None:
                message.ParseFromString(body.value)
        except DecodeError as error:
            raise SinkError(f"{_short(body.type_url)} {name} cannot be read ({error})") from error
        served.setdefault(body.type_url, {})[name] = Served(
            name=name, version=version, body=body, refers=_refers(message)
        )
    return _whole(served)


def _whole(served: Mapping[str, Mapping[str, Served]]) -> Snapshot:
    for type_url in (CLUSTER_TYPE, LISTENER_TYPE):
        if not served.get(type_url):
            raise SinkError(f"rendered table: no {_short(type_url)}; an empty one is never sent")
    _refuse_dangling(served)
    return Snapshot(resources=served)


def _lend(route: ClassRoute, origins: list[str]) -> ClassRoute:
    missing = [origin for origin in origins if origin not in route.rows]
    if not missing or not route.rows:
        return route
    lent = route.rows[min(route.rows)]
    return replace(route, rows={**route.rows, **dict.fromkeys(missing, lent)})


def serve(type_url: str, name: str, message: Message) -> Served:
    """A message packed, with its version."""
    value = message.SerializeToString(deterministic=True)
    return served_as(type_url, name, value, refers=_refers(message))


def served_as(type_url: str, name: str, value: bytes, *, refers: str = "") -> Served:
    """A message that was serialised before, with its version."""
    return Served(
        name=name,
        version=hashlib.sha256(value).hexdigest()[:16],
        body=AnyMessage(type_url=type_url, value=value),
        refers=refers,
    )


def _refers(message: Message | None) -> str:
    if isinstance(message, Cluster) and message.type == Cluster.EDS:
        return str(message.eds_cluster_config.service_name or message.name)
    if isinstance(message, ScopedRouteConfiguration) and not message.on_demand:
        return str(message.route_configuration_name)
    return ""


def _refuse_dangling(served: Mapping[str, Mapping[str, Served]]) -> None:
    for type_url, referred in REFERRED_TYPE.items():
        for one in served.get(type_url, {}).values():
            if one.refers and one.refers not in served.get(referred, {}):
                raise SinkError(
                    f"rendered table: {_short(type_url)} {one.name} names {_short(referred)} "
                    f"{one.refers}, which is missing"
                )


def _short(type_url: str) -> str:
    return type_url.rpartition(".")[2]
