"""This module is the state-of-the-world dialect of xDS: an answer holds all that counts.

Of clusters, scopes and listeners an answer is the whole set: what it does not list is gone. Of
endpoints it is all that were asked for; of routes only those that changed.
https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse

from foreshard.adapters.routing.envoy.resources import ROUTE_TYPE
from foreshard.adapters.routing.envoy.session import TYPES, WILDCARD_TYPES, Change, Session
from foreshard.adapters.routing.envoy.snapshot import Served

__all__ = ["SotwDialect"]


class SotwDialect:
    """Speaks for a session with a proxy that wants the whole state."""

    name = "state of the world"

    def __init__(self, session: Session) -> None:
        self.session = session
        self._latest_nonce: dict[str, str] = {}

    def hear(self, request: DiscoveryRequest) -> None:
        """Take in what the proxy said: an answer, and all that it asks for now."""
        type_url = request.type_url
        names = set(request.resource_names)
        subscription = self.session.subscription(type_url)
        if subscription is None:
            subscription = self.session.open(type_url)
            subscription.wildcard = not names and type_url in WILDCARD_TYPES
            subscription.subscribe(sorted(names))
            standing = self.session.standing(type_url)
            is_known = self.session.is_sparing or request.version_info == _version(standing)
            if request.version_info and is_known:
                subscription.claim({one.name: one.version for one in standing})
                subscription.bodies.update({one.name: one for one in standing})
            elif request.version_info:
                subscription.doubt()
            return
        if request.response_nonce:
            is_nack = request.HasField("error_detail")
            refusal = (request.error_detail.message or "no reason given") if is_nack else ""
            self.session.answer(type_url, request.response_nonce, refusal)
        # The proxy had not seen our newest message when it wrote this: it will ask again.
        if request.response_nonce != self._latest_nonce.get(type_url, ""):
            return
        if not subscription.wildcard:
            subscription.unsubscribe(sorted(subscription.names - names))
            subscription.subscribe(sorted(names - subscription.names))

    def say(self, now_s: float) -> list[DiscoveryResponse]:
        """What has to be sent now, in this order."""
        said = []
        for type_url in TYPES:
            change = self.session.due(type_url, now_s)
            if change is not None:
                said.append(self._response(change))
        return said

    def _response(self, change: Change) -> DiscoveryResponse:
        type_url = change.type_url
        standing = [
            one for one in self.session.standing(type_url) if one.name not in change.removed
        ]
        # Listing all routes would be allowed; a large table would pay for it each second.
        carried = change.updated if type_url == ROUTE_TYPE else tuple(standing)
        nonce = self.session.next_nonce()
        self._latest_nonce[type_url] = nonce
        self.session.sent(nonce, change)
        return DiscoveryResponse(
            type_url=type_url,
            nonce=nonce,
            version_info=_version(standing),
            resources=[one.body for one in carried],
        )


def _version(served: Iterable[Served]) -> str:
    versions = sorted(f"{one.name}={one.version}" for one in served)
    return hashlib.sha256("\n".join(versions).encode()).hexdigest()[:16]
