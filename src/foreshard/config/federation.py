"""This module is a region among others: who they are, and where they are heard."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pydantic import Field, model_validator

from foreshard.config.field import Address, Name, NodeAddress, Positive, Strict, Url
from foreshard.model.federation import Membership
from foreshard.model.topology import Cell, Node
from foreshard.model.workload import RequestClass

__all__ = ["FederationSettings", "PeerSettings"]


class PeerSettings(Strict):
    """Another region, with an engine of its own."""

    region: Name = Field(description="Its name, which is also that of the one cell it is here.")
    entry: list[NodeAddress] = Field(
        min_length=1, description="ip:port of each Envoy there that takes requests of peers."
    )
    aggregate: Url = Field(
        description="Where its engine tells what it grants.",
        examples=["http://10.2.0.10:18010/aggregate"],
    )


class FederationSettings(Strict):
    """One engine a region, for fleets beyond one engine."""

    region: Name = Field(description="The region whose cells are listed here.")
    inbound: Name = Field(
        description="Origin of the Envoys that take requests of peers; they go no further.",
        examples=["eu-in"],
    )
    listen: Address = Field(
        default="127.0.0.1:18010",
        description="Where this engine tells what it grants (/aggregate); for peers alone.",
    )
    every_s: Positive = Field(
        default=2.0,
        le=60.0,
        description="Seconds between two questions to a peer; well under budget.stale_s.",
    )
    peers: list[PeerSettings] = Field(min_length=1, description="The other regions.")

    @model_validator(mode="after")
    def _meaningful(self) -> FederationSettings:
        self.membership()
        return self

    def membership(self) -> Membership:
        """Its place in the core's words."""
        peers = tuple(peer.region for peer in self.peers)
        return Membership(region=self.region, inbound=self.inbound, peers=peers)

    def cells(self) -> tuple[Cell, ...]:
        """The peers, each as one cell."""
        return tuple(
            Cell(
                name=peer.region,
                region=peer.region,
                zone=peer.region,
                nodes=tuple(_node(address) for address in peer.entry),
                is_peer=True,
            )
            for peer in self.peers
        )

    def kept(self, classes: Iterable[RequestClass]) -> tuple[RequestClass, ...]:
        """Classes whose requests from peers stay here, where they may be served here."""
        stays = {self.inbound: frozenset({self.region})}
        return tuple(
            replace(one, residency={**one.residency, **stays})
            if one.allows_region(self.region) and one.data is None
            else one
            for one in classes
        )


def _node(address: str) -> Node:
    host, _, port = address.rpartition(":")
    return Node(host=host, port=int(port))
