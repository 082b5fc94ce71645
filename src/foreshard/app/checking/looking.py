"""This module is the visit: everything a configuration names is looked at, nothing is changed.

All at once, each question with a time-out of its own, so that a fleet of which half is dead
costs one time-out and not fifty.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from socket import AF_INET

from foreshard.adapters.events.file import FileEventSource
from foreshard.adapters.inspection.envoy import DISCOVERY_CLUSTER, parse_hosts, parse_info
from foreshard.adapters.inspection.http import Answer, Asker, Silent
from foreshard.adapters.metrics.envoy_counts import STATS_FILTER, parse_stats
from foreshard.adapters.routing.client import SOCKET
from foreshard.app.checking.facts import BalancerFacts, NodeFacts, PlaceFacts
from foreshard.app.checking.finding import told
from foreshard.config import Settings
from foreshard.config.settings import BalancerSettings, ScrapeSettings
from foreshard.model.errors import SourceError
from foreshard.model.events import EventKind

__all__ = ["look_at_balancers", "look_at_nodes", "look_at_place", "look_twice", "resolved"]

# Between two looks: a cpu counter that ticks in 10 ms has moved, if anything has.
GAP_S = 2.0
MOST_ODD = 10
# What Linux allows in sockaddr_un, less the closing zero; `serve` refuses more.
MAX_SOCKET_PATH = 107
CONNECTED = re.compile(r"^control_plane\.connected_state: (\d)", re.MULTILINE)
STEERED_BY = re.compile(r'^control_plane\.identifier: "([^"]*)"', re.MULTILINE)
STATS = f"/stats?filter={STATS_FILTER}".replace("|", "%7C").replace("\\", "%5C")


async def look_twice(
    asker: Asker, settings: Settings, *, gap_s: float = GAP_S
) -> tuple[tuple[NodeFacts, ...], tuple[BalancerFacts, ...]]:
    """Nodes and balancers, twice: whether counters move shows in the difference."""
    nodes, balancers = await asyncio.gather(
        look_at_nodes(asker, settings), look_at_balancers(asker, settings.balancers)
    )
    if not any(isinstance(node.page, Answer) for node in nodes):
        return nodes, balancers
    began = time.monotonic()
    await asyncio.sleep(gap_s)
    again, later = await asyncio.gather(
        asyncio.gather(*(_page(asker, node, settings.scrape) for node in nodes)),
        asyncio.gather(*(_requests(asker, each) for each in balancers)),
    )
    elapsed_s = time.monotonic() - began
    seen = tuple(
        replace(each, requests=(each.requests[0], counts))
        for each, counts in zip(balancers, later, strict=True)
    )
    return (
        tuple(
            replace(node, again=page, gap_s=elapsed_s, requests=_sent(node.address, seen))
            for node, page in zip(nodes, again, strict=True)
        ),
        seen,
    )


async def look_at_nodes(asker: Asker, settings: Settings) -> tuple[NodeFacts, ...]:
    """Every node: does it take connections, and then what it answers."""
    scrape = settings.scrape

    async def visit(cell: str, address: str) -> NodeFacts:
        node = NodeFacts(cell=cell, address=address)
        if silent := await asker.connects(address):
            return replace(node, silent=silent)
        page = _page(asker, node, scrape)
        if not scrape.health_path:
            return replace(node, page=await page)
        heard, health = await asyncio.gather(page, asker.get(address, scrape.health_path))
        return replace(node, page=heard, health=health)

    visits = [visit(cell.name, node) for cell in settings.cells for node in cell.nodes]
    return tuple(await asyncio.gather(*visits))


async def look_at_balancers(
    asker: Asker, balancers: Sequence[BalancerSettings]
) -> tuple[BalancerFacts, ...]:
    """Every Envoy's admin page."""
    return tuple(await asyncio.gather(*(_balancer(asker, each) for each in balancers)))


async def resolved(address: str) -> frozenset[str]:
    """The addresses that a name stands for, as `ip:port`; empty when nobody knows."""
    host, _, port = address.rpartition(":")
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, int(port), family=AF_INET)
    except (OSError, ValueError):
        return frozenset()
    return frozenset(f"{where[0]!s}:{port}" for *_, where in found)


async def look_at_place(asker: Asker, settings: Settings, *, now_s: float) -> PlaceFacts:
    """This machine, the events file and the webhook."""
    api = settings.api.listen
    discovery, listen, driver = await asyncio.gather(
        asker.connects(settings.envoy.discovery),
        asker.connects(settings.envoy.listen),
        _driver(asker, settings),
    )
    events, strange, wrong = await _events(settings, now_s)
    data_dir = settings.data_dir
    nearest = _nearest(data_dir)
    return PlaceFacts(
        data_dir=_readable(data_dir),
        unwritable=_unwritable(data_dir, nearest),
        free_bytes=shutil.disk_usage(nearest).free,
        holders=_holders(data_dir),
        discovery_taken=discovery is None,
        listen_taken=listen is None,
        api_taken=api is not None and await asker.connects(api) is None,
        events=events,
        events_wrong=wrong,
        events_strange=strange,
        driver=driver,
    )


async def _page(asker: Asker, node: NodeFacts, scrape: ScrapeSettings) -> Answer | Silent | None:
    return None if node.silent else await asker.get(node.address, scrape.path)


async def _balancer(asker: Asker, settings: BalancerSettings) -> BalancerFacts:
    facts = BalancerFacts(address=settings.admin, origin=settings.origin)
    said = await asker.get(settings.admin, "/server_info")
    if isinstance(said, Silent):
        return replace(facts, silent=said.because)
    info = parse_info(said.body) if said.is_good else None
    if info is None:
        return facts
    stats, state, listeners, requests = await asyncio.gather(
        asker.get(settings.admin, STATS),
        asker.get(settings.admin, "/stats?filter=^control_plane%5C."),
        asker.get(settings.admin, "/listeners"),
        asker.get(settings.admin, "/clusters?format=json"),
    )
    hosts = parse_hosts(_text(requests))
    found = CONNECTED.search(_text(state))
    lines = _text(listeners).splitlines()
    return replace(
        facts,
        info=info,
        discovery=next((h.address for h in hosts if h.cluster == DISCOVERY_CLUSTER), ""),
        is_connected=found[1] == "1" if found else None,
        steered_by=by[1] if (by := STEERED_BY.search(_text(state))) else "",
        counted=sum(parse_stats(_text(stats)).arrived.values()),
        listeners=tuple(line.partition("::")[2] for line in lines if "::" in line),
        requests=(_by_node(_text(requests)), {}),
    )


async def _requests(asker: Asker, each: BalancerFacts) -> Mapping[str, int]:
    if each.info is None:
        return {}
    return _by_node(_text(await asker.get(each.address, "/clusters?format=json")))


def _by_node(text: str) -> Mapping[str, int]:
    counts: dict[str, int] = {}
    for host in parse_hosts(text):
        counts[host.address] = counts.get(host.address, 0) + host.requests
    return counts


def _sent(address: str, balancers: Sequence[BalancerFacts]) -> int | None:
    """Requests that the balancers sent to a node between the looks; None when none knows it."""
    known = [
        b.requests for b in balancers if address in b.requests[0] and address in b.requests[1]
    ]
    if not known:
        return None
    return sum(max(0, later[address] - first[address]) for first, later in known)


async def _events(settings: Settings, now_s: float) -> tuple[int | None, tuple[str, ...], str]:
    """How many, what is odd about them, and why they cannot be read."""
    if settings.events_file is None:
        return None, (), ""
    try:
        events = await FileEventSource(settings.events_file, now_s=lambda: now_s).read()
    except SourceError as error:
        return None, (), str(error)
    known = {cell.name for cell in settings.cells}
    odd = [
        f"{event.id} is about {told(strangers)}, which is no cell of this fleet"
        for event in events
        if (strangers := sorted(event.cells - known))
    ]
    odd += [
        f"{event.id} is a freeze of some cells; a freeze is always of the whole fleet"
        for event in events
        if event.kind is EventKind.FREEZE and event.cells
    ]
    needed = {of for each in settings.request_classes() for of in each.dependencies}
    odd += [
        f"{event.id} is about {event.dependency}, which no request class names as a dependency"
        for event in events
        if event.dependency and event.dependency not in needed
    ]
    if len(odd) > MOST_ODD:
        odd[MOST_ODD:] = [f"and {len(odd) - MOST_ODD} more of this kind"]
    return len(events), tuple(odd), ""


async def _driver(asker: Asker, settings: Settings) -> str | None:
    """A connection and not a word: an event would restart a cell."""
    if settings.driver is None:
        return None
    silent = await asker.connects_url(settings.driver.webhook)
    return silent.because if silent else ""


def _nearest(path: Path) -> Path:
    return next(each for each in (path, *path.parents) if each.is_dir())


def _readable(path: Path) -> str:
    here, whole = Path.cwd(), path.resolve()
    return str(whole.relative_to(here)) if whole.is_relative_to(here) else str(whole)


def _unwritable(path: Path, nearest: Path) -> str:
    if path.exists() and not path.is_dir():
        return "is a file, must be a directory"
    if not os.access(nearest, os.W_OK | os.X_OK):
        return f"{nearest} cannot be written to"
    if len(os.fsencode(path / SOCKET)) > MAX_SOCKET_PATH:
        return f"the path of its control socket would have more than {MAX_SOCKET_PATH} bytes"
    return ""


def _holders(directory: Path) -> Mapping[str, str]:
    """Who holds the lock of a role; taking it for a moment is all that the kernel offers."""
    holders = {}
    for role in ("serve", "engine", "web"):
        try:
            with (directory / f"{role}.lock").open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            holders[role] = _holder(directory / f"{role}.lock")
        except OSError:
            continue
    return holders


def _holder(lock: Path) -> str:
    """The process, as the kernel lists it."""
    inode = str(lock.stat().st_ino)
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return "another process"
    fields = [line.split() for line in lines]
    pids = [
        f[4] for f in fields if len(f) > 5 and f[5].rpartition(":")[2] == inode and f[1] != "->"
    ]
    return f"process {pids[0]}" if pids else "another process"


def _text(answer: Answer | Silent) -> str:
    return answer.body if isinstance(answer, Answer) and answer.is_good else ""
