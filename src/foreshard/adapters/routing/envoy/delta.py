"""This module is the incremental dialect of xDS: only what changed, by name and version.

https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#incremental-xds
"""

from __future__ import annotations

from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    Resource,
)

from foreshard.adapters.routing.envoy.session import TYPES, WILDCARD_TYPES, Change, Session

__all__ = ["DeltaDialect"]

ALL = "*"


class DeltaDialect:
    """Speaks for a session with a proxy that understands differences."""

    name = "delta"

    def __init__(self, session: Session) -> None:
        self.session = session

    def hear(self, request: DeltaDiscoveryRequest) -> None:
        """Take in what the proxy said: an answer, and changes of what it asks for."""
        type_url = request.type_url
        subscription = self.session.subscription(type_url)
        asked = set(request.resource_names_subscribe)
        if subscription is None:
            subscription = self.session.open(type_url)
            # The old way to ask for all is to ask for nothing in the first request.
            subscription.wildcard = ALL in asked or (not asked and type_url in WILDCARD_TYPES)
            subscription.subscribe(sorted(asked - {ALL}))
            held = dict(request.initial_resource_versions)
            claimed = {n: v for n, v in held.items() if subscription.wildcard or n in asked}
            subscription.claim(self.session.believed(type_url, claimed))
            return
        if request.response_nonce:
            is_nack = request.HasField("error_detail")
            refusal = (request.error_detail.message or "no reason given") if is_nack else ""
            self.session.answer(type_url, request.response_nonce, refusal)
        if ALL in asked:
            subscription.wildcard = subscription.owes = True
        subscription.subscribe(sorted(asked - {ALL}))
        dropped = set(request.resource_names_unsubscribe)
        if ALL in dropped:
            subscription.wildcard = False
        subscription.unsubscribe(sorted(dropped - {ALL}))

    def say(self, now_s: float) -> list[DeltaDiscoveryResponse]:
        """What has to be sent now, in this order."""
        said = []
        for type_url in TYPES:
            change = self.session.due(type_url, now_s)
            if change is not None:
                said.append(self._response(change))
        return said

    def _response(self, change: Change) -> DeltaDiscoveryResponse:
        nonce = self.session.next_nonce()
        self.session.sent(nonce, change)
        return DeltaDiscoveryResponse(
            type_url=change.type_url,
            nonce=nonce,
            resources=[
                Resource(name=one.name, version=one.version, resource=one.body)
                for one in change.updated
            ],
            removed_resources=change.removed,
        )
