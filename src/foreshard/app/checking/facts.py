"""This module is what was seen of the world, before anybody judges it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from foreshard.adapters.inspection.envoy import EnvoyInfo
from foreshard.adapters.inspection.http import Answer, Silent

__all__ = ["BalancerFacts", "NodeFacts", "PlaceFacts"]

Said = Answer | Silent | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """One node of one cell.

    Attributes:
        cell: Whose it is.
        address: `ip:port`.
        silent: Why it takes no connection; None = it does.
        health: Answer of the health path; None = not asked.
        page: The metrics page; None = not asked.
        again: The page a moment later.
        gap_s: Between the two.
        requests: Sent there by the balancers in between; None = unknown.
    """

    cell: str
    address: str
    silent: Silent | None = None
    health: Said = None
    page: Said = None
    again: Said = None
    gap_s: float = 0.0
    requests: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancerFacts:
    """One Envoy.

    Attributes:
        address: Of its admin page.
        origin: Region that the configuration gives it.
        silent: Why the page does not answer; "" = it does.
        info: Who it is; None = the answer was something else.
        discovery: Where it looks for Foreshard; "" = nowhere.
        is_connected: Whether its control plane is; None = unknown.
        steered_by: What its control plane calls itself; "" = unknown.
        counted: Requests it counted for Foreshard; None = it does not count for it.
        listeners: Where it takes connections.
        requests: Sent to each node, at the first and the second look.
    """

    address: str
    origin: str
    silent: str = ""
    info: EnvoyInfo | None = None
    discovery: str = ""
    is_connected: bool | None = None
    steered_by: str = ""
    counted: int | None = None
    listeners: tuple[str, ...] = ()
    requests: tuple[Mapping[str, int], Mapping[str, int]] = ({}, {})


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceFacts:
    """This machine, and what else is named.

    Attributes:
        data_dir: As people read it.
        unwritable: Why nothing can be kept there; "" = it can.
        free_bytes: Left on its disk.
        holders: Who holds the lock of a role (`serve`, `engine`, `web`); roles without one are
            absent.
        discovery_taken: Whether somebody listens on the discovery port.
        listen_taken: Whether somebody listens where Envoy takes requests.
        api_taken: Whether somebody listens on the API's port.
        events: How many events the file has; None = no file is named.
        events_wrong: Why it cannot be read; "" = it can.
        events_strange: What is said of cells that are not there, one sentence each.
        driver: Why nobody listens at the webhook; "" = somebody does, None = none is named.
    """

    data_dir: str
    unwritable: str = ""
    free_bytes: int = 0
    holders: Mapping[str, str] = field(default_factory=dict)
    discovery_taken: bool = False
    listen_taken: bool = False
    api_taken: bool = False
    events: int | None = None
    events_wrong: str = ""
    events_strange: tuple[str, ...] = ()
    driver: str | None = None
