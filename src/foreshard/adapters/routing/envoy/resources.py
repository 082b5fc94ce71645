"""This module is what a rendered table is: Envoy's messages by type, then by name.

Whoever serves them needs no more than this; whoever renders them promises no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from google.protobuf.message import Message

__all__ = [
    "CLUSTER_TYPE",
    "ENDPOINT_TYPE",
    "LISTENER_TYPE",
    "ROUTE_TYPE",
    "SCOPED_ROUTE_TYPE",
    "Resources",
]

_PREFIX: Final = "type.googleapis.com/envoy.config."

CLUSTER_TYPE: Final = f"{_PREFIX}cluster.v3.Cluster"
ENDPOINT_TYPE: Final = f"{_PREFIX}endpoint.v3.ClusterLoadAssignment"
LISTENER_TYPE: Final = f"{_PREFIX}listener.v3.Listener"
ROUTE_TYPE: Final = f"{_PREFIX}route.v3.RouteConfiguration"
SCOPED_ROUTE_TYPE: Final = f"{_PREFIX}route.v3.ScopedRouteConfiguration"

Resources: TypeAlias = Mapping[str, Mapping[str, Message]]
"""Messages by type address, then by resource name; only the five types above occur."""
