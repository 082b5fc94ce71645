"""This module is a fleet as an Envoy in front of it knows it.

Localities are what its owner already took for failure domains, so each is a cell. Without them,
clusters that share no endpoint are; without several clusters, each endpoint is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from foreshard.adapters.inspection.envoy import (
    DISCOVERY_CLUSTER,
    EnvoyDump,
    EnvoyHost,
    EnvoyInfo,
    EnvoyRoute,
)
from foreshard.app.starting.sighting import UNKNOWN_REGION, Sighting, cell_of, named
from foreshard.config.draft import BalancerDraft, ClassDraft
from foreshard.model.errors import ConfigError
from foreshard.model.topology import Cell

__all__ = ["sighted"]

# Envoy's own default for a route that says nothing.
DEFAULT_TIMEOUT_S = 15.0
# Who asks again on one of these asks again after the first may have been served.
ANY_FAILURE = frozenset({"5xx", "reset", "gateway-error", "retriable-status-codes"})
# A second time is a second order, whatever Envoy was told about the first.
ONCE_ONLY = frozenset({"POST", "PATCH"})


def sighted(
    admin: str,
    info: EnvoyInfo,
    hosts: Sequence[EnvoyHost],
    dump: EnvoyDump,
    *,
    clusters: Sequence[str] = (),
) -> Sighting:
    """What an Envoy knows.

    Args:
        admin: Address of its admin page.
        info: Who it is.
        hosts: Endpoints of all its clusters.
        dump: Its configuration.
        clusters: Those of the service; none = all that its routes lead to.

    Raises:
        ConfigError: It knows no endpoint of such a cluster.
    """
    known = sorted({host.cluster for host in hosts} - {DISCOVERY_CLUSTER})
    if strange := sorted(set(clusters) - set(known)):
        raise ConfigError(
            f"envoy {admin}: has no cluster {', '.join(strange)}; there are {', '.join(known)}"
        )
    routed = [name for route in dump.routes for name in route.clusters if name in known]
    wanted = list(dict.fromkeys(clusters or routed or known))
    own = [host for host in hosts if host.cluster in wanted]
    if not own:
        raise ConfigError(
            f"envoy {admin}: knows no endpoint; is it the Envoy in front of the cells? "
            "Give the cells with --cells"
        )
    cells, how = _cells(own, wanted)
    checks = Counter(dump.health_paths[c] for c in wanted if dump.health_paths.get(c))
    origin = named(info.region) or _most(cells)
    classes = _classes(dump.routes, frozenset(wanted))
    notes = [f"{len(cells)} cells, {how}, from cluster {', '.join(wanted)}"]
    if not info.region:
        notes.append(f"the Envoy does not say where it stands; {origin} is taken")
    if classes:
        notes.append(f"{len(classes)} request classes from its routes")
    notes += _doubts(dump.routes, frozenset(wanted))
    return Sighting(
        found_at=f"the Envoy with admin page {admin}",
        cells=cells,
        notes=tuple(notes),
        classes=classes,
        balancers=(BalancerDraft(admin=admin, origin=origin),),
        listen=dump.listeners[0] if dump.listeners else "",
        health_path=checks.most_common(1)[0][0] if checks else "",
    )


def _cells(hosts: Sequence[EnvoyHost], clusters: Sequence[str]) -> tuple[tuple[Cell, ...], str]:
    localities = {_locality(host) for host in hosts}
    if len(localities) > 1:
        return _grouped(hosts, _locality_name(hosts)), "one for each locality"
    members = [{h.address for h in hosts if h.cluster == name} for name in clusters]
    apart = sum(len(each) for each in members) == len({h.address for h in hosts})
    if len(clusters) > 1 and apart:
        return _grouped(hosts, lambda host: named(host.cluster)), "one for each cluster"
    numbers = {address: n for n, address in enumerate(sorted({h.address for h in hosts}), start=1)}
    cells = _grouped(hosts, lambda host: f"cell-{numbers[host.address]}")
    return cells, "one for each endpoint"


def _grouped(hosts: Sequence[EnvoyHost], name: Callable[[EnvoyHost], str]) -> tuple[Cell, ...]:
    groups: dict[str, list[EnvoyHost]] = {}
    for host in hosts:
        groups.setdefault(name(host) or "cell", []).append(host)
    return tuple(
        cell_of(each, group[0].region, group[0].zone, [h.address for h in group])
        for each, group in groups.items()
    )


def _locality(host: EnvoyHost) -> tuple[str, str, str]:
    return host.region, host.zone, host.sub_zone


def _locality_name(hosts: Sequence[EnvoyHost]) -> Callable[[EnvoyHost], str]:
    """The shortest part that tells the localities apart."""
    localities = {_locality(host) for host in hosts}
    for parts in ((2,), (1,), (0,), (0, 1), (1, 2), (0, 1, 2)):
        told = ["-".join(each[p] for p in parts if each[p]) for each in localities]
        if all(told) and len({named(t) for t in told}) == len(localities):
            return lambda host: named("-".join(_locality(host)[p] for p in parts))
    return lambda host: named("-".join(part for part in _locality(host) if part))


def _most(cells: Sequence[Cell]) -> str:
    regions = Counter(cell.region for cell in cells)
    return regions.most_common(1)[0][0] if regions else UNKNOWN_REGION


def _classes(routes: Sequence[EnvoyRoute], clusters: frozenset[str]) -> tuple[ClassDraft, ...]:
    found: dict[str, ClassDraft] = {}
    for route in routes:
        # A class that matched all in place of an expression or a header would take all requests.
        if clusters.isdisjoint(route.clusters) or not route.is_plain:
            continue
        stem = route.name or route.prefix.strip("/") or "rest"
        name = named(stem).replace(".", "-") or "rest"
        if name in found:
            name = f"{name}-{len(found) + 1}"
        found[name] = ClassDraft(
            name=name,
            timeout_s=route.timeout_s or DEFAULT_TIMEOUT_S,
            method=route.method,
            path_prefix="" if route.prefix == "/" else route.prefix,
            key_header=route.key_header,
            retriable=_is_retriable(route),
        )
    return tuple(found.values())


def _is_retriable(route: EnvoyRoute) -> bool:
    return bool(route.retry_on & ANY_FAILURE) and route.method not in ONCE_ONLY


def _doubts(routes: Sequence[EnvoyRoute], clusters: frozenset[str]) -> list[str]:
    """What a person should look at, in sentences."""
    own = [route for route in routes if not clusters.isdisjoint(route.clusters)]
    plain = [route for route in own if route.is_plain]
    found = []
    if odd := len(own) - len(plain):
        found.append(
            f"{odd} routes match by more than prefix and method (headers, queries, whole paths, "
            "further hosts): left out; their requests fall to the classes that are there"
        )
    if endless := [_called(route) for route in plain if route.timeout_s == 0.0]:
        found.append(
            f"{', '.join(endless)}: Envoy sets no time limit; {DEFAULT_TIMEOUT_S:g} s stands "
            "there now and would cut streams: set timeout_s"
        )
    if once := [_called(r) for r in plain if r.retry_on and not _is_retriable(r)]:
        found.append(
            f"{', '.join(once)}: Envoy asks again only in some cases; Foreshard would after any "
            "failure, so retriable is left out: set it if a request may be served twice"
        )
    return found


def _called(route: EnvoyRoute) -> str:
    return route.name or route.prefix
