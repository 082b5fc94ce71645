"""This module is a fleet as it was found somewhere, before anybody has said what it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from foreshard.config.draft import BalancerDraft, ClassDraft
from foreshard.model.errors import ConfigError
from foreshard.model.topology import Cell, Node

__all__ = ["UNKNOWN_REGION", "Sighting", "cell_of", "named", "renamed"]

UNKNOWN_REGION = "here"
NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What one place told.

    Attributes:
        found_at: Where, for people.
        cells: The fleet.
        notes: How it was made out, one sentence each.
        classes: Request classes, when it knows routes.
        balancers: Envoys that it knows.
        listen: Where requests come in; "" = unknown.
        health_path: "" = unknown.
        metrics_path: "" = unknown.
    """

    found_at: str
    cells: tuple[Cell, ...]
    notes: tuple[str, ...] = ()
    classes: tuple[ClassDraft, ...] = ()
    balancers: tuple[BalancerDraft, ...] = ()
    listen: str = ""
    health_path: str = ""
    metrics_path: str = ""


def named(text: str) -> str:
    """A name made of any text: what names may not hold becomes a dash."""
    return NOT_IN_NAMES.sub("-", text).strip("-._")[:63]


def cell_of(name: str, region: str, zone: str, addresses: Iterable[str]) -> Cell:
    """A cell of `ip:port` addresses.

    Raises:
        ConfigError: One is none: Envoy is told addresses and resolves no names.
    """
    nodes = []
    for address in dict.fromkeys(addresses):
        host, _, port = address.rpartition(":")
        try:
            ip_address(host)
            nodes.append(Node(host=host, port=int(port)))
        except ValueError as error:
            raise ConfigError(
                f"cell {name}: node {address!r} must be ip:port, for example 10.0.1.7:8080"
            ) from error
    where = named(region) or UNKNOWN_REGION
    return Cell(name=name, region=where, zone=zone or where, nodes=tuple(nodes))


def renamed(cells: Sequence[Cell], names: Mapping[Node, str]) -> tuple[Cell, ...]:
    """The cells under the names that their nodes give themselves, where all of these fit.

    Args:
        cells: As they were found.
        names: What a node calls its cell.
    """
    told = []
    for cell in cells:
        own = {named(names.get(node, "")) for node in cell.nodes} - {""}
        if len(own) != 1:
            return tuple(cells)
        told.append(own.pop())
    if len(set(told)) != len(told):
        return tuple(cells)
    return tuple(
        Cell(name=name, region=c.region, zone=c.zone, nodes=c.nodes)
        for name, c in zip(told, cells, strict=True)
    )
