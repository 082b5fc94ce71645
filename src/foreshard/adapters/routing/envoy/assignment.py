"""This module is the nodes of free classes in bytes, of which only the weights are written anew.

A plan that moves weights changes a number in each node of each class: 200,000 of them at 1,000
cells and 50 classes in 5 regions, and to build and pack a message for each is what rendering
costs. But what stands before the number is the same each time, so it is packed once and copied.
The bytes are those of `free_assignment`.

https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from envoy.config.core.v3.base_pb2 import Locality
from envoy.config.endpoint.v3.endpoint_components_pb2 import LbEndpoint, LocalityLbEndpoints
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import UInt32Value

from foreshard.adapters.routing.envoy.endpoints import FINEST, free_weights, node_endpoint
from foreshard.adapters.routing.envoy.settings import EnvoySettings
from foreshard.model.topology import Cell

__all__ = ["Assignments"]

# Of a field that has a length.
WIRE_TYPE = 2


class Assignments:
    """The bytes of assignments to the nodes of some cells.

    Args:
        cells: By name.
    """

    def __init__(self, cells: Mapping[str, Cell]) -> None:
        self._cells = cells
        # By cell and length of the weight: what stands before the weight of each of its nodes.
        self._before: dict[tuple[str, int], tuple[bytes, ...]] = {}

    def free(self, name: str, weights: Mapping[str, int], settings: EnvoySettings) -> bytes:
        """`free_assignment`, serialised.

        Raises:
            SinkError: As there.
        """
        told = free_weights(name, weights, self._cells, settings)
        parts = [ClusterLoadAssignment(cluster_name=name).SerializeToString()]
        for cell in sorted(weights):
            weight = _weight(told[cell])
            key = (cell, len(weight))
            before = self._before.get(key)
            if before is None:
                before = self._before[key] = _before(self._cells[cell], len(weight))
            for part in before:
                parts += (part, weight)
        return b"".join(parts)


def _before(cell: Cell, length: int) -> tuple[bytes, ...]:
    """What stands before the weight of each node of a cell, if weights are so long."""
    heads = []
    for node in cell.nodes:
        bare = node_endpoint(cell, node, weight=1)
        bare.ClearField("load_balancing_weight")
        head = bare.SerializeToString(deterministic=True)
        size = len(head) + length
        heads.append(_tag(LocalityLbEndpoints, "lb_endpoints") + _varint(size) + head)
    where = LocalityLbEndpoints(
        locality=Locality(region=cell.region, zone=cell.zone, sub_zone=cell.name)
    ).SerializeToString(deterministic=True)
    size = len(where) + sum(len(head) + length for head in heads)
    opening = _tag(ClusterLoadAssignment, "endpoints") + _varint(size) + where
    return (opening + heads[0], *heads[1:])


@lru_cache(maxsize=FINEST + 1)
def _weight(weight: int) -> bytes:
    value = UInt32Value(value=weight).SerializeToString()
    return _tag(LbEndpoint, "load_balancing_weight") + _varint(len(value)) + value


def _tag(message: type[Message], field: str) -> bytes:
    return _varint(message.DESCRIPTOR.fields_by_name[field].number << 3 | WIRE_TYPE)


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that more follow."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)
