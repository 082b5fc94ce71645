"""This module is what one proxy asked for, of one type, and what it is known to hold.

Three answers per resource are kept apart: *sent* (it will hold this if nothing goes wrong),
*acked* (it said that it does) and *refused* (it said that it does not). After a refusal nobody
knows what the proxy holds: Envoy applies parts of what it refuses. `UNSURE` stands for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from foreshard.adapters.routing.envoy.snapshot import Served

__all__ = ["UNSURE", "Subscription"]

UNSURE = ""
"""Version of a resource of which it is not known which version the proxy holds."""


@dataclass(slots=True, kw_only=True)
class Subscription:
    """The state of one type on one stream; mutable, owned by its session.

    Attributes:
        wildcard: Whether all resources of the type are asked for.
        names: Those asked for by name.
        owes: The first answer is still due, even an empty one.
        sent: Version last sent, or claimed by the proxy, by name.
        acked: Version last acknowledged, or claimed by the proxy, by name.
        refused: Version that was refused; not sent again until there is a new goal.
        bodies: Last sent resources, for a dialect that must repeat them.
        retired_at_s: Since when a resource that the proxy holds has left the goal.
        pending: What each unanswered message would change; None = removed.
        changes: Rises with every change of what is wanted, sent or acknowledged: what was worked
            out holds as long as it has not.
    """

    wildcard: bool = False
    names: set[str] = field(default_factory=set)
    owes: bool = True
    sent: dict[str, str] = field(default_factory=dict)
    acked: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    bodies: dict[str, Served] = field(default_factory=dict)
    retired_at_s: dict[str, float] = field(default_factory=dict)
    pending: dict[str, Mapping[str, str | None]] = field(default_factory=dict)
    changes: int = 0

    def wanted(self, goal: Mapping[str, Served]) -> Mapping[str, Served]:
        """The part of a goal that was asked for."""
        if self.wildcard:
            return goal
        return {name: goal[name] for name in sorted(self.names) if name in goal}

    def claim(self, versions: Mapping[str, str]) -> None:
        """Believe a proxy that says what it holds from an earlier stream."""
        self.changes += 1
        self.sent.update(versions)
        self.acked.update(versions)
        self.owes = self.owes and not versions

    def doubt(self) -> None:
        """The proxy holds something from an earlier stream; what, is not known."""
        self.changes += 1
        self.owes = False
        self.sent.update(dict.fromkeys(self.names, UNSURE))

    def subscribe(self, names: Iterable[str]) -> None:
        """Ask for resources by name; asking again means: send again."""
        self.changes += 1
        for name in names:
            self.names.add(name)
            self.forget(name)

    def unsubscribe(self, names: Iterable[str]) -> None:
        """Ask no more for some names; the proxy has dropped them by itself."""
        self.changes += 1
        for name in names:
            self.names.discard(name)
            if not self.wildcard:
                self.forget(name)
                self.bodies.pop(name, None)

    def forget(self, name: str) -> None:
        """Treat a resource as never sent."""
        self.changes += 1
        self.sent.pop(name, None)
        self.acked.pop(name, None)

    def note_sent(self, nonce: str, served: Iterable[Served], removed: Iterable[str]) -> None:
        """A message with these resources has left."""
        self.changes += 1
        change: dict[str, str | None] = dict.fromkeys(removed)
        for one in served:
            change[one.name] = one.version
            self.sent[one.name] = one.version
            # Also when the same version was acknowledged before: another one, on its way
            # since, may still arrive and be acknowledged first.
            self.acked.pop(one.name, None)
            self.bodies[one.name] = one
        for name, version in change.items():
            if version is None:
                self.sent.pop(name, None)
                self.bodies.pop(name, None)
                self.retired_at_s.pop(name, None)
        self.pending[nonce] = change
        self.owes = False

    def note_ack(self, nonce: str) -> bool:
        """The proxy took a message; False if it is not one that waits for an answer."""
        change = self.pending.pop(nonce, None)
        if change is None:
            return False
        self.changes += 1
        for name, version in change.items():
            if version is None:
                self.acked.pop(name, None)
            # Sent again meanwhile: only the answer to the newest counts.
            elif self.sent.get(name) == version:
                self.acked[name] = version
        return True

    def note_nack(self, nonce: str) -> bool:
        """The proxy refused a message; False if it is not one that waits for an answer."""
        change = self.pending.pop(nonce, None)
        if change is None:
            return False
        self.changes += 1
        for name, version in change.items():
            self.sent[name] = UNSURE
            self.acked.pop(name, None)
            self.refused[name] = UNSURE if version is None else version
        return True

    def holds(self, served: Served) -> bool:
        """Whether the proxy acknowledged exactly this."""
        return self.acked.get(served.name) == served.version

    def lacks(self, served: Served) -> bool:
        """Whether this has to be sent."""
        return (
            self.sent.get(served.name) != served.version
            and self.refused.get(served.name) != served.version
        )
