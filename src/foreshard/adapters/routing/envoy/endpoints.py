"""This module is which nodes stand in a cluster, and with what weight.

All cells of a free class are in one priority, each a locality named after its cell, so that
load reports arrive per cell; no locality weighting, so that the nodes' own weights count. A
cell's weight is shared by its nodes. A cell that gets nothing is left out: Envoy knows no zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address

from envoy.config.core.v3.base_pb2 import Locality
from envoy.config.endpoint.v3.endpoint_components_pb2 import (
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from google.protobuf.wrappers_pb2 import UInt32Value

from foreshard.adapters.routing.envoy.messages import socket
from foreshard.adapters.routing.envoy.settings import EnvoySettings
from foreshard.model.errors import SinkError
from foreshard.model.topology import Cell, Node

__all__ = [
    "FINEST",
    "free_assignment",
    "free_weights",
    "keyed_assignment",
    "node_endpoint",
    "node_weights",
]

# Envoy adds the weights of a priority up in 32 bits and refuses the whole resource on overflow.
LARGEST_SUM = 2**32 - 1
FINEST = 65_536


def free_assignment(
    name: str, weights: Mapping[str, int], cells: Mapping[str, Cell], settings: EnvoySettings
) -> ClusterLoadAssignment:
    """All cells of a free class, weighted.

    Raises:
        SinkError: The weights cannot be told to Envoy.
    """
    told = free_weights(name, weights, cells, settings)
    localities = [_locality(cells[cell], weight=told[cell]) for cell in sorted(weights)]
    return ClusterLoadAssignment(cluster_name=name, endpoints=localities)


def free_weights(
    name: str, weights: Mapping[str, int], cells: Mapping[str, Cell], settings: EnvoySettings
) -> Mapping[str, int]:
    """By cell, the weight of each of its nodes in the cluster of a free class.

    Raises:
        SinkError: The weights cannot be told to Envoy.
    """
    total = sum(weights.values())
    shares = {cell: weight / total / len(cells[cell].nodes) for cell, weight in weights.items()}
    told = node_weights(shares, settings)
    asked = sum(told[cell] * len(cells[cell].nodes) for cell in told)
    if asked > LARGEST_SUM:
        raise SinkError(
            f"cluster {name}: node weights sum to {asked}, Envoy takes at most {LARGEST_SUM}; "
            "split the cells' nodes over more proxies' clusters"
        )
    return told


def keyed_assignment(name: str, home: Cell, backups: Iterable[Cell]) -> ClusterLoadAssignment:
    """The home cell, and behind it the cells that take its keys over when it is dead.

    Raises:
        SinkError: A node's host is not an address.
    """
    localities = [_locality(home, weight=1)]
    localities += [_locality(cell, weight=1, priority=1) for cell in backups]
    return ClusterLoadAssignment(cluster_name=name, endpoints=localities)


def node_weights(shares: Mapping[str, float], settings: EnvoySettings) -> Mapping[str, int]:
    """The weight to tell Envoy for one node of each cell, so that it gets its share.

    Equal shares give equal weights, with which Envoy compares nodes freely (two choices).
    Otherwise it schedules a node by `weight / (in flight + 1) ** bias`, which gives a small
    share too much: in balance a node of share p has `p * n` of n requests in flight. So the
    weight is `p * (p * n + 1) ** bias`, with n as the settings expect it. Where n is something
    else the error is bounded and the pull towards the less busy node stays.

    Args:
        shares: By cell, of one of its nodes; > 0.
        settings: With the bias and the requests expected in flight.
    """
    expected, bias = settings.expected_in_flight, settings.active_request_bias
    wanted = {cell: p * (p * expected + 1.0) ** bias for cell, p in shares.items()}
    largest = max(wanted.values())
    return {cell: max(1, round(FINEST * w / largest)) for cell, w in wanted.items()}


def _locality(cell: Cell, *, weight: int, priority: int = 0) -> LocalityLbEndpoints:
    return LocalityLbEndpoints(
        locality=Locality(region=cell.region, zone=cell.zone, sub_zone=cell.name),
        lb_endpoints=[node_endpoint(cell, node, weight=weight) for node in cell.nodes],
        priority=priority,
    )


def node_endpoint(cell: Cell, node: Node, *, weight: int) -> LbEndpoint:
    """One node of a cell.

    Raises:
        SinkError: Its host is not an address.
    """
    try:
        ip_address(node.host)
    except ValueError:
        raise SinkError(
            f"cell {cell.name}: node {node.host!r} is not an IP address, Envoy's endpoint "
            "discovery takes no names; give the address"
        ) from None
    return LbEndpoint(
        endpoint=Endpoint(address=socket(node.host, node.port)),
        load_balancing_weight=UInt32Value(value=weight),
    )
