"""This module is one proxy's way to its goal, in an order in which no request finds a hole.

No socket and no clock: it is told what the proxy said and what time it is, and says what to
send. What makes before what breaks is one table, `TIERS`: a tier is updated when the proxy has
acknowledged the tiers before it, and clusters and scopes that left the goal are removed last,
`linger_s` after every proxy has acknowledged the routes that no longer name them (a request
in flight still holds its old route, and a retry looks its cluster up again).

A proxy that is starting asks in its own order (Envoy from clusters, a gRPC client from the
listener) and may wait for an answer before it asks the next thing. So the first answer of a type
never waits; nor does a first route table, once something was refused: a proxy that serves what
it could take is better than one that does not start.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from foreshard.adapters.routing.envoy.resources import (
    CLUSTER_TYPE,
    ENDPOINT_TYPE,
    LISTENER_TYPE,
    ROUTE_TYPE,
    SCOPED_ROUTE_TYPE,
)
from foreshard.adapters.routing.envoy.snapshot import REFERRED_TYPE, Served, Snapshot
from foreshard.adapters.routing.envoy.subscription import UNSURE, Subscription

__all__ = ["TYPES", "WILDCARD_TYPES", "Change", "Session"]

TIERS = ((CLUSTER_TYPE, ENDPOINT_TYPE), (SCOPED_ROUTE_TYPE, ROUTE_TYPE), (LISTENER_TYPE,))
TIER_OF = {type_url: i for i, tier in enumerate(TIERS) for type_url in tier}
REFERRING_TYPE = {referred: type_url for type_url, referred in REFERRED_TYPE.items()}

TYPES = tuple(type_url for tier in TIERS for type_url in tier)
"""All types that are served, in the order in which they are sent."""

WILDCARD_TYPES = frozenset({CLUSTER_TYPE, SCOPED_ROUTE_TYPE, LISTENER_TYPE})
"""Types of which a proxy may ask for all; a state-of-the-world answer lists all of them."""

LINGERING_TYPES = frozenset({CLUSTER_TYPE, SCOPED_ROUTE_TYPE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one proxy lacks of one type, and what it should drop."""

    type_url: str
    updated: tuple[Served, ...]
    removed: tuple[str, ...]


class Session:
    """What one proxy holds, wants and should hold.

    Args:
        linger_s: How long clusters and scopes outlive the last route that named them.
        is_sparing: What the proxy already holds is left as it is: see `believed`.
    """

    def __init__(self, *, linger_s: float, is_sparing: bool = False) -> None:
        self._linger_s = linger_s
        self.is_sparing = is_sparing
        self._goal: Snapshot | None = None
        self._keeps_old = False
        self._subscriptions: dict[str, Subscription] = {}
        self._refusal = ""
        self._nonce = 0
        self.nacks = 0
        self.last_nack = ""
        # What was worked out, by type, and of what: a proxy is asked many times between two
        # messages, and goals have thousands of resources.
        self._complete: dict[str, tuple[Snapshot, tuple[int, int], bool]] = {}
        self._at_rest: dict[str, tuple[Snapshot, int]] = {}
        self._had_all: dict[str, tuple[Snapshot, int]] = {}

    def aim(self, goal: Snapshot | None, *, keeps_old: bool = False) -> None:
        """Set what the proxy should hold; None = leave it alone.

        Args:
            goal: See above.
            keeps_old: Remove nothing that routes may need until `settle`.
        """
        self._goal = goal
        self._keeps_old = keeps_old
        self._refusal = ""
        for type_url, subscription in self._subscriptions.items():
            subscription.refused.clear()
            if goal is not None and subscription.retired_at_s:
                for name in goal.of(type_url):
                    subscription.retired_at_s.pop(name, None)

    def settle(self) -> None:
        """Every proxy has what it should have: old clusters may go, after lingering."""
        self._keeps_old = False

    @property
    def refusal(self) -> str:
        """What the proxy said when it refused something of the present goal; "" = nothing."""
        return self._refusal

    @property
    def is_synced(self) -> bool:
        """Whether the proxy has asked for and acknowledged the whole goal."""
        if self._goal is None or self._refusal:
            return False
        return all(
            type_url in self._subscriptions and self._is_complete(type_url)
            for type_url in TYPES
            if self._goal.of(type_url)
        )

    def subscription(self, type_url: str) -> Subscription | None:
        """The state of a type, if it was ever asked for."""
        return self._subscriptions.get(type_url)

    def open(self, type_url: str) -> Subscription:
        """The state of a type that is asked for now for the first time."""
        return self._subscriptions.setdefault(type_url, Subscription())

    def believed(self, type_url: str, claimed: Mapping[str, str]) -> Mapping[str, str]:
        """What the proxy counts as holding, of what it says it holds from an earlier stream.

        Its word is taken. When it is to be spared, what the goal names counts as up to date, so
        that it is not changed, and the rest is not our business, so that it is not removed: who
        stands in for a control plane must not take a proxy back to an older plan.
        """
        if not self.is_sparing or self._goal is None:
            return claimed
        goal = self._goal.of(type_url)
        return {name: goal[name].version for name in claimed if name in goal}

    def answer(self, type_url: str, nonce: str, refusal: str) -> None:
        """The proxy acknowledged a message, or refused it (`refusal` is its reason)."""
        subscription = self._subscriptions[type_url]
        if not refusal:
            subscription.note_ack(nonce)
        elif subscription.note_nack(nonce):
            self.nacks += 1
            self.last_nack = refusal
            self._refusal = self._refusal or refusal

    def next_nonce(self) -> str:
        """A nonce that this stream has not seen."""
        self._nonce += 1
        return str(self._nonce)

    def due(self, type_url: str, now_s: float) -> Change | None:
        """What has to be sent of a type now; None = nothing.

        Resources that a dialect must repeat in the same message are not part of it: whatever
        the proxy says of the message, it holds them as before.
        """
        subscription = self._subscriptions.get(type_url)
        if subscription is None or self._goal is None:
            return None
        rested = self._at_rest.get(type_url)
        if self._rests(type_url, subscription) and not subscription.owes:
            return None
        sent, asked = subscription.sent, subscription.names
        if rested is not None and rested[1] == subscription.changes:
            # Exactly an older goal was sent: only what is news since then can be behind.
            may_lack: Iterable[Served] = self._goal.news(type_url, rested[0])
        else:
            may_lack = self._goal.of(type_url).values()
        behind = [
            one
            for one in may_lack
            if sent.get(one.name) != one.version and (subscription.wildcard or one.name in asked)
        ]
        if not subscription.wildcard:
            behind.sort(key=lambda one: one.name)
        may_change = self._may_change(type_url)
        may_add = may_change or (
            subscription.owes if subscription.wildcard else bool(self._refusal)
        )
        updated = tuple(
            one
            for one in behind
            if subscription.lacks(one)
            and (may_add if one.name not in subscription.sent else may_change)
        )
        removed = self._removable(type_url, now_s) if subscription.wildcard else ()
        if not updated and not removed and not (subscription.owes and subscription.wildcard):
            return None
        return Change(type_url=type_url, updated=updated, removed=removed)

    def standing(self, type_url: str) -> list[Served]:
        """All of a type that the proxy should hold now, what only lingers included."""
        subscription = self._subscriptions[type_url]
        goal = self._goal.of(type_url) if self._goal is not None else {}
        wanted = subscription.wanted(goal)
        old = [
            body
            for name, body in subscription.bodies.items()
            if name not in wanted and subscription.sent.get(name) == body.version
        ]
        return [*wanted.values(), *old]

    def sent(self, nonce: str, change: Change) -> None:
        """A change has left."""
        subscription = self._subscriptions[change.type_url]
        subscription.note_sent(nonce, change.updated, change.removed)
        referred = self._subscriptions.get(REFERRED_TYPE.get(change.type_url, ""))
        if referred is None or change.type_url != CLUSTER_TYPE:
            return
        # A changed cluster warms up again and waits for its endpoints, for which Envoy does
        # not ask again if it has asked before (envoyproxy/envoy#13009).
        for one in change.updated:
            if one.refers in referred.names:
                referred.forget(one.refers)

    def next_removal_s(self) -> float | None:
        """When the next lingering resource may go; None = none waits."""
        if self._keeps_old:
            return None
        since = [s for sub in self._subscriptions.values() for s in sub.retired_at_s.values()]
        return min(since) + self._linger_s if since else None

    def acked_versions(self) -> dict[str, dict[str, str]]:
        """Acknowledged versions, by short type name, then by resource."""
        return {
            type_url.rpartition(".")[2]: dict(sorted(subscription.acked.items()))
            for type_url, subscription in sorted(self._subscriptions.items())
        }

    def _may_change(self, type_url: str) -> bool:
        tiers = TIERS[: TIER_OF.get(type_url, 0)]
        return all(self._is_complete(below) for tier in tiers for below in tier)

    def _rests(self, type_url: str, subscription: Subscription) -> bool:
        """Whether exactly the goal was sent: then nothing is behind and nothing is left over."""
        assert self._goal is not None  # noqa: S101 - callers have looked
        known = self._at_rest.get(type_url)
        if known is not None and known[0] is self._goal and known[1] == subscription.changes:
            return True
        versions, sent = self._goal.versions(type_url), subscription.sent
        rests = len(sent) == len(versions) and sent == versions
        if rests:
            self._at_rest[type_url] = self._goal, subscription.changes
        return rests

    def _is_complete(self, type_url: str) -> bool:
        assert self._goal is not None  # noqa: S101 - callers have looked
        own = self._subscriptions.get(type_url)
        referring = self._subscriptions.get(REFERRING_TYPE.get(type_url, ""))
        stamp = (_changes(own), _changes(referring))
        known = self._complete.get(type_url)
        if known is not None and known[0] is self._goal and known[1] == stamp:
            return known[2]
        # Whoever holds all of the goal holds what it asked for.
        has_all = own is not None and self._has_all(own, type_url)
        found = has_all or self._has_acknowledged(type_url)
        self._complete[type_url] = self._goal, stamp, found
        if has_all:
            self._had_all[type_url] = self._goal, stamp[0]
        return found

    def _has_all(self, own: Subscription, type_url: str) -> bool:
        """Whether a proxy has acknowledged the goal, asked for or not."""
        assert self._goal is not None  # noqa: S101 - callers have looked
        had = self._had_all.get(type_url)
        if had is not None and had[1] == own.changes:
            return all(map(own.holds, self._goal.news(type_url, had[0])))
        return own.acked.items() >= self._goal.versions(type_url).items()

    def _has_acknowledged(self, type_url: str) -> bool:
        assert self._goal is not None  # noqa: S101 - callers have looked
        goal = self._goal.of(type_url)
        own = self._subscriptions.get(type_url)
        referring = self._subscriptions.get(REFERRING_TYPE.get(type_url, ""))
        if own is not None:
            asked = goal if own.wildcard else own.names
            if not all(own.holds(goal[name]) for name in asked if name in goal):
                return False
        if referring is None:
            return True
        naming = referring.wanted(self._goal.of(REFERRING_TYPE[type_url])).values()
        due = (goal[one.refers] for one in naming if one.refers)
        return all(own is not None and own.holds(one) for one in due)

    def _removable(self, type_url: str, now_s: float) -> tuple[str, ...]:
        assert self._goal is not None  # noqa: S101 - the caller has looked
        subscription = self._subscriptions[type_url]
        goal = self._goal.of(type_url)
        left = [name for name in subscription.sent if name not in goal]
        if not left or not self._may_change(type_url):
            return ()
        if type_url not in LINGERING_TYPES:
            return tuple(left)
        is_over = self.is_synced and not self._keeps_old
        if type_url == CLUSTER_TYPE:
            is_over = is_over and not self._holds_old(SCOPED_ROUTE_TYPE)
        removable = []
        for name in left:
            since_s = subscription.retired_at_s.setdefault(name, now_s)
            # What was refused serves nobody, unless the proxy holds an older version of it.
            is_junk = subscription.sent[name] == UNSURE and name not in subscription.refused
            if is_junk or (is_over and now_s >= since_s + self._linger_s):
                removable.append(name)
        return tuple(removable)

    def _holds_old(self, type_url: str) -> bool:
        subscription = self._subscriptions.get(type_url)
        if subscription is None or self._goal is None:
            return False
        return bool({*subscription.sent, *subscription.acked} - self._goal.of(type_url).keys())


def _changes(subscription: Subscription | None) -> int:
    return -1 if subscription is None else subscription.changes
