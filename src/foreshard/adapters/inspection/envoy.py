"""This module is what an Envoy says of itself on its admin page.

What is not there is empty and never an error: proxies differ by version and by what their owner
lets them tell. Only plain values come out; nothing here knows what they will be used for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "DISCOVERY_CLUSTER",
    "EnvoyDump",
    "EnvoyHost",
    "EnvoyInfo",
    "EnvoyRoute",
    "parse_dump",
    "parse_hosts",
    "parse_info",
]

Json = Mapping[str, Any]

DISCOVERY_CLUSTER = "foreshard-discovery"
"""What our bootstrap calls us; a test holds the two together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvoyInfo:
    """Who it is: `/server_info`.

    Attributes:
        version: As three numbers, `1.40.0`.
        state: `LIVE` when it serves.
        node_id: Its name.
        region: Where it stands; "" = it does not know.
        extensions: Everything that is built in.
    """

    version: str
    state: str
    node_id: str = ""
    region: str = ""
    extensions: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvoyHost:
    """One endpoint of one cluster: `/clusters?format=json`.

    Attributes:
        cluster: Its name.
        address: `ip:port`.
        region: Of its locality; "" = none given.
        zone: The same.
        sub_zone: The same.
        requests: Sent there since the start.
    """

    cluster: str
    address: str
    region: str = ""
    zone: str = ""
    sub_zone: str = ""
    requests: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvoyRoute:
    """One route to clusters.

    Attributes:
        name: "" = none.
        prefix: Start of the path; "" = it is matched by something else (an expression).
        method: "" = any.
        clusters: Where it leads.
        timeout_s: None = none given (Envoy's default is 15 s), 0 = there is no limit.
        key_header: Header that is hashed; "" = none.
        retry_on: What is asked again, in Envoy's words.
        is_plain: Whether prefix and method are all that decides: no other header, no query, no
            whole path, nothing inverted, no host that another table stands before.
    """

    name: str
    prefix: str
    method: str
    clusters: tuple[str, ...]
    timeout_s: float | None
    key_header: str
    retry_on: frozenset[str] = frozenset()
    is_plain: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvoyDump:
    """How it is configured: `/config_dump`.

    Attributes:
        routes: In order of match.
        listeners: `ip:port` of listeners that take HTTP.
        health_paths: Of active health checks, by cluster.
        clusters: Names of all.
    """

    routes: tuple[EnvoyRoute, ...] = ()
    listeners: tuple[str, ...] = ()
    health_paths: Mapping[str, str] = field(default_factory=dict)
    clusters: tuple[str, ...] = ()


def parse_info(text: str) -> EnvoyInfo | None:
    """Read `/server_info`; None when it is something else."""
    said = _json(text)
    parts = str(said.get("version", "")).split("/")
    if len(parts) < 2:
        return None
    node = _mapping(said.get("node"))
    extensions = frozenset(str(e.get("name", "")) for e in _list(node, "extensions"))
    return EnvoyInfo(
        version=parts[1],
        state=str(said.get("state", "")),
        node_id=str(node.get("id", "")),
        region=str(_mapping(node.get("locality")).get("region", "")),
        extensions=extensions,
    )


def parse_hosts(text: str) -> tuple[EnvoyHost, ...]:
    """Read `/clusters?format=json`."""
    return tuple(
        host
        for cluster in _list(_json(text), "cluster_statuses")
        for status in _list(cluster, "host_statuses")
        if (host := _host(str(cluster.get("name", "")), status)) is not None
    )


def parse_dump(text: str) -> EnvoyDump:
    """Read `/config_dump?include_eds`."""
    configs = _list(_json(text), "configs")
    clusters = [c for part in configs for c in _kept(part, "cluster")]
    listeners = [c for part in configs for c in _listeners(part)]
    managers = [m for each in listeners for m in _http_managers(each)]
    tables = [m["route_config"] for m in managers if isinstance(m.get("route_config"), Mapping)]
    tables += [c for part in configs for c in _kept(part, "route_config")]
    return EnvoyDump(
        routes=tuple(dict.fromkeys(route for table in tables for route in _routes(table))),
        listeners=tuple(
            dict.fromkeys(
                address
                for each in listeners
                if any(True for _ in _http_managers(each))
                and (address := _address(each.get("address")))
            )
        ),
        health_paths={
            str(c.get("name", "")): str(check["http_health_check"].get("path", ""))
            for c in clusters
            for check in _list(c, "health_checks")
            if isinstance(check.get("http_health_check"), Mapping)
        },
        clusters=tuple(str(c.get("name", "")) for c in clusters),
    )


def _host(cluster: str, status: Json) -> EnvoyHost | None:
    address = _address(status.get("address"))
    if not address:
        return None
    locality = _mapping(status.get("locality"))
    counts = {s.get("name"): s.get("value", 0) for s in _list(status, "stats")}
    return EnvoyHost(
        cluster=cluster,
        address=address,
        region=str(locality.get("region", "")),
        zone=str(locality.get("zone", "")),
        sub_zone=str(locality.get("sub_zone", "")),
        requests=int(counts.get("rq_total", 0) or 0),
    )


def _kept(part: Json, what: str) -> Iterator[Json]:
    """Static and dynamic resources of one part of a dump."""
    for key, entries in part.items():
        if key.startswith(("static_", "dynamic_")) and isinstance(entries, list):
            for entry in entries:
                if isinstance(entry, Mapping) and isinstance(entry.get(what), Mapping):
                    yield entry[what]


def _listeners(part: Json) -> Iterator[Json]:
    yield from _kept(part, "listener")
    for entry in _list(part, "dynamic_listeners"):
        active = _mapping(entry.get("active_state")).get("listener")
        if isinstance(active, Mapping):
            yield active


def _http_managers(listener: Json) -> Iterator[Json]:
    chains = [*_list(listener, "filter_chains"), _mapping(listener.get("default_filter_chain"))]
    for chain in chains:
        for each in _list(chain, "filters"):
            config = _mapping(each.get("typed_config"))
            if str(config.get("@type", "")).endswith("HttpConnectionManager"):
                yield config


def _routes(table: Json) -> Iterator[EnvoyRoute]:
    for number, host in enumerate(_list(table, "virtual_hosts")):
        for route in _list(host, "routes"):
            action = _mapping(route.get("route"))
            weighted = _list(_mapping(action.get("weighted_clusters")), "clusters")
            names = [action.get("cluster"), *(w.get("name") for w in weighted)]
            clusters = tuple(str(name) for name in names if name)
            if clusters:
                yield _route(route, action, clusters, is_first=number == 0)


def _route(route: Json, action: Json, clusters: tuple[str, ...], *, is_first: bool) -> EnvoyRoute:
    match = _mapping(route.get("match"))
    prefix = match.get("prefix") or match.get("path_separated_prefix") or ""
    headers = _list(match, "headers")
    methods = [method for h in headers if (method := _exact_method(h))]
    keys = [
        str(_mapping(h.get("header")).get("header_name", "")) for h in _list(action, "hash_policy")
    ]
    return EnvoyRoute(
        name=str(route.get("name", "")),
        prefix=str(prefix),
        method=str(methods[0]) if methods else "",
        clusters=clusters,
        timeout_s=_seconds(action.get("timeout")),
        key_header=next((key for key in keys if key), ""),
        retry_on=frozenset(
            part.strip()
            for part in str(_mapping(action.get("retry_policy")).get("retry_on", "")).split(",")
            if part.strip()
        ),
        is_plain=is_first
        and bool(prefix)
        and len(methods) == len(headers) <= 1
        and not set(match) - {"prefix", "path_separated_prefix", "headers"},
    )


def _exact_method(header: Json) -> str:
    """The one method that a header match asks for; "" = it asks for something else."""
    if header.get("name") != ":method" or header.get("invert_match"):
        return ""
    exact = _mapping(header.get("string_match")).get("exact") or header.get("exact_match")
    return str(exact or "")


def _seconds(text: object) -> float | None:
    try:
        return float(str(text).removesuffix("s"))
    except ValueError:
        return None


def _address(value: object) -> str:
    socket = _mapping(_mapping(value).get("socket_address"))
    host, port = socket.get("address"), socket.get("port_value")
    return f"{host}:{port}" if host and port else ""


def _json(text: str) -> Json:
    try:
        return _mapping(json.loads(text))
    except (ValueError, RecursionError):
        return {}


def _mapping(value: object) -> Json:
    return value if isinstance(value, Mapping) else {}


def _list(values: Json, key: str) -> list[Json]:
    found = values.get(key)
    return [v for v in found if isinstance(v, Mapping)] if isinstance(found, list) else []
