"""This module is the way out: a plan as a plain Envoy configuration that asks nobody anything.

The same messages that discovery sends, with every reference to discovery filled in: endpoints
stand in their clusters, route tables in their scopes, scopes in the listener. So weights, slots,
shedding, retries, health checks and ejection are what they were.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import yaml
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.config.route.v3.scoped_route_pb2 import ScopedRouteConfiguration
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message

from foreshard.adapters.routing.envoy.access_log import PATH_LOGGER
from foreshard.adapters.routing.envoy.bootstrap import statistics
from foreshard.adapters.routing.envoy.messages import packed
from foreshard.adapters.routing.envoy.resources import (
    CLUSTER_TYPE,
    ENDPOINT_TYPE,
    LISTENER_TYPE,
    ROUTE_TYPE,
    SCOPED_ROUTE_TYPE,
)
from foreshard.adapters.routing.envoy.snapshot import Snapshot

__all__ = ["static_configuration", "static_text"]

Kind = TypeVar("Kind", bound=Message)


def static_configuration(
    snapshot: Snapshot, *, node_id: str, region: str, admin_port: int
) -> dict[str, object]:
    """A whole configuration as plain values.

    Args:
        snapshot: What the proxies of a region are to hold.
        node_id: Name of the proxy, for logs.
        region: Where it stands.
        admin_port: Of its admin page, on loopback.
    """
    address = {"address": "127.0.0.1", "port_value": admin_port}
    return {
        "node": {"id": node_id, "cluster": "cells", "locality": {"region": region}},
        "admin": {"address": {"socket_address": address}},
        "static_resources": {
            "listeners": [_plain(one) for one in _listeners(snapshot)],
            "clusters": [_plain(one) for one in _clusters(snapshot)],
        },
        **statistics(),
    }


def static_text(configuration: Mapping[str, object], *, header: str) -> str:
    """The configuration as YAML.

    Args:
        configuration: See `static_configuration`.
        header: Said in a comment above it.
    """
    lines = "".join(f"# {line}".rstrip() + "\n" for line in header.splitlines())
    return lines + yaml.dump(
        dict(configuration), Dumper=_Dumper, sort_keys=False, default_flow_style=False, width=99
    )


def _clusters(snapshot: Snapshot) -> Iterator[Cluster]:
    endpoints = {
        one.cluster_name: one for one in _all(snapshot, ENDPOINT_TYPE, ClusterLoadAssignment)
    }
    for cluster in _all(snapshot, CLUSTER_TYPE, Cluster):
        cluster.type = Cluster.STATIC
        cluster.ClearField("eds_cluster_config")
        # Only load reports carry them, and there is nobody to report to.
        cluster.ClearField("lrs_report_endpoint_metrics")
        cluster.load_assignment.CopyFrom(endpoints[cluster.name])
        yield cluster


def _listeners(snapshot: Snapshot) -> Iterator[Listener]:
    for listener in _all(snapshot, LISTENER_TYPE, Listener):
        for chain in listener.filter_chains:
            for one in chain.filters:
                manager = hcm.HttpConnectionManager()
                if one.typed_config.Unpack(manager):
                    _fill_in_routes(manager, snapshot)
                    # There is nobody to tell paths to.
                    kept = [log for log in manager.access_log if log.name != PATH_LOGGER]
                    del manager.access_log[:]
                    manager.access_log.extend(kept)
                    one.typed_config.CopyFrom(packed(manager))
        yield listener


def _fill_in_routes(manager: hcm.HttpConnectionManager, snapshot: Snapshot) -> None:
    tables = {one.name: one for one in _all(snapshot, ROUTE_TYPE, RouteConfiguration)}
    scoped = manager.scoped_routes
    scoped.ClearField("rds_config_source")
    scoped.ClearField("scoped_rds")
    inline = scoped.scoped_route_configurations_list.scoped_route_configurations
    for scope in _all(snapshot, SCOPED_ROUTE_TYPE, ScopedRouteConfiguration):
        table = tables[scope.route_configuration_name]
        inline.append(
            ScopedRouteConfiguration(name=scope.name, key=scope.key, route_configuration=table)
        )


def _all(snapshot: Snapshot, type_url: str, kind: type[Kind]) -> Iterator[Kind]:
    for served in snapshot.of(type_url).values():
        message = kind()
        served.body.Unpack(message)
        yield message


def _plain(message: Message) -> dict[str, Any]:
    # By way of text: what it makes of an `Any` in one step is a mapping that YAML does not know.
    found: dict[str, Any] = json.loads(MessageToJson(message, preserving_proto_field_name=True))
    return found


class _Dumper(yaml.SafeDumper):
    """Without anchors: a person reads and edits this, one cluster at a time."""

    def ignore_aliases(self, data: object) -> bool:
        return True
