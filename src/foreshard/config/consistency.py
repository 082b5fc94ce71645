"""This module is what settings must agree on with each other.

The rules read plain values and not the parsed settings, and each looks only at what it needs:
an error in one place hides no contradiction in another. What is missing or has the wrong kind
is somebody else's finding, and a rule that needs it stays silent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from foreshard.model.service_map import circle_in

__all__ = ["Contradiction", "Where", "contradictions"]

Where = tuple[str | int, ...]
Values = Mapping[str, Any]
LOOPBACK = re.compile(r"127(\.[0-9]+){3}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction:
    """Two settings that cannot both be meant.

    Attributes:
        where: Path of the one to change.
        says: What is wrong and what would be right, as the rest of a sentence.
    """

    where: Where
    says: str

    @property
    def key(self) -> str:
        """The path as people write it."""
        return ".".join(str(part) for part in self.where)


def contradictions(values: Values) -> tuple[Contradiction, ...]:
    """Everything that does not fit together, in the order of the rules.

    Args:
        values: A configuration, as plain values; any part of it may be missing.
    """
    return tuple(found for rule in RULES for found in rule(values))


def _default_class(values: Values) -> Iterator[Contradiction]:
    names = [name for _, name in _each(values, "classes", "name")]
    wanted = values.get("default_class")
    if isinstance(wanted, str) and names and wanted not in names:
        says = f"is {wanted!r}, must be one of {', '.join(names)}"
        yield Contradiction(where=("default_class",), says=says)


def _mode(values: Values) -> Iterator[Contradiction]:
    if values.get("mode") == "advise":
        says = "is 'advise', must be act or observe: nobody can approve yet"
        yield Contradiction(where=("mode",), says=says)


def _names(values: Values) -> Iterator[Contradiction]:
    for part in ("classes", "cells"):
        yield from _doubles(_each(values, part, "name"), "names must be unique")
    yield from _doubles(_each(values, "balancers", "admin"), "one Envoy counts once")
    gauges = _each(_mapping(values.get("scrape")), "gauges", "resource")
    doubled = _doubles(gauges, "one gauge says what is used")
    for found in doubled:
        yield Contradiction(where=("scrape", *found.where), says=found.says)


def _nodes(values: Values) -> Iterator[Contradiction]:
    nodes = [
        ((*where, n), node)
        for where, nodes in _each(values, "cells", "nodes", kind=list)
        for n, node in enumerate(nodes)
        if isinstance(node, str)
    ]
    yield from _doubles(nodes, "a node belongs to one cell")


def _objectives(values: Values) -> Iterator[Contradiction]:
    for n, each in _items(values, "classes"):
        objective, timeout = each.get("objective_s"), each.get("timeout_s")
        if _is_number(objective) and _is_number(timeout) and timeout < objective:
            says = f"is {timeout:g}, must be at least objective_s ({objective:g})"
            yield Contradiction(where=("classes", n, "timeout_s"), says=says)


def _residency(values: Values) -> Iterator[Contradiction]:
    regions = _regions(values)
    if not regions:
        return
    there = ", ".join(sorted(regions))
    for where, wanted in _each(values, "classes", "regions", kind=(list, frozenset)):
        named = sorted(each for each in wanted if isinstance(each, str))
        if named and not regions & set(named):
            says = f"is {named}, no cell stands there; name one of {there}"
            yield Contradiction(where=where, says=says)
    for where, wanted in _each(values, "classes", "residency", kind=Mapping):
        for origin, named in wanted.items():
            if named and not regions & set(named):
                says = f"is {sorted(named)}, no cell stands there; name one of {there}"
                yield Contradiction(where=(*where, origin), says=says)


def _distances(values: Values) -> Iterator[Contradiction]:
    """Links to nowhere, and origins of which some distances are missing: these would look near."""
    regions = sorted(_regions(values))
    for key in ("latency_ms", "egress_per_gb") if regions else ():
        for origin, links in _mapping(values.get(key)).items():
            for region in sorted(_mapping(links).keys() - set(regions)):
                says = f"names a region without a cell; there are {', '.join(regions)}"
                yield Contradiction(where=(key, origin, region), says=says)
    for origin, distances in _mapping(values.get("latency_ms")).items():
        missing = [r for r in regions if r != origin and r not in _mapping(distances)]
        if missing and _mapping(distances):
            says = f"says nothing of {', '.join(missing)}, which would count as 0 ms; name all"
            yield Contradiction(where=("latency_ms", origin), says=says)


def _federation(values: Values) -> Iterator[Contradiction]:
    told = _mapping(values.get("federation"))
    own, inbound = told.get("region"), told.get("inbound")
    if not told:
        return
    peers = {region for _, region in _each(told, "peers", "region")}
    for where, region in _each(values, "cells", "region"):
        if isinstance(own, str) and region != own:
            says = f"is {region!r}, but this engine plans {own} alone (federation.region)"
            yield Contradiction(where=where, says=says)
    for where, name in _each(values, "cells", "name"):
        if name in peers:
            says = f"is {name!r}, which is the name of a peer region; each needs its own"
            yield Contradiction(where=where, says=says)
    origins = {origin for _, origin in _each(values, "balancers", "origin")}
    if isinstance(inbound, str) and origins and inbound not in origins:
        says = f"is {inbound!r}, but no balancer has that origin; name the Envoy that takes it"
        yield Contradiction(where=("federation", "inbound"), says=says)
    for n, each in _items(values, "classes"):
        if each.get("replicas") and set(each.get("regions") or ()) != {own}:
            says = f"must be [{own}]: data of a class is not handed over between engines"
            yield Contradiction(where=("classes", n, "regions"), says=says)


def _eligible(values: Values) -> Iterator[Contradiction]:
    """Cells that a class may use: they must be there, and residency must allow one of them."""
    stands = {
        name: each.get("region")
        for _, each in _items(values, "cells")
        if isinstance(name := each.get("name"), str)
    }
    for n, each in _items(values, "classes"):
        wanted, regions = each.get("cells"), each.get("regions")
        named = _texts(wanted)
        where = ("classes", n, "cells")
        unknown = [cell for cell in named if cell not in stands]
        if not stands or not named:
            continue
        if unknown:
            says = f"names {', '.join(unknown)}, must be among {', '.join(sorted(stands))}"
            yield Contradiction(where=where, says=says)
        elif _texts(regions) and not {stands[cell] for cell in named} & {*_texts(regions)}:
            says = f"is {named}, none stands in regions {_texts(regions)}; change one of the two"
            yield Contradiction(where=where, says=says)


def _service_map(values: Values) -> Iterator[Contradiction]:
    told = _mapping(values.get("service_map")).items()
    needs = {str(name): _texts(others) for name, others in told}
    if circle := circle_in(needs):
        says = f"goes in a circle: {' -> '.join(circle)}; leave one of these out"
        yield Contradiction(where=("service_map", circle[0]), says=says)


def _api(values: Values) -> Iterator[Contradiction]:
    """Who speaks to other machines in the open gives tokens away."""
    api = _mapping(values.get("api"))
    listen = api.get("listen")
    host = listen.rpartition(":")[0] if isinstance(listen, str) else "localhost"
    if api.get("certificate_file") is None:
        # A name such as 127.0.0.1.example.com is anybody's.
        if host != "localhost" and LOOPBACK.fullmatch(host) is None:
            says = f"is {listen}, which others can hear; give certificate_file, or use 127.0.0.1"
            yield Contradiction(where=("api", "listen"), says=says)
        if api.get("private_key_file") is not None:
            says = "is set, but there is no certificate_file; give both"
            yield Contradiction(where=("api", "private_key_file"), says=says)


def _handover(values: Values) -> Iterator[Contradiction]:
    for n, each in _items(values, "classes"):
        if each.get("handover") is None:
            continue
        where = ("classes", n, "handover")
        if not each.get("key_header"):
            says = "is set, but a class without key_header has no slots to hand over; name one"
            yield Contradiction(where=where, says=says)
        if not each.get("replicas"):
            says = "is set, but no replicas are named, so no slot could ever move; name them"
            yield Contradiction(where=where, says=says)


def _replicas(values: Values) -> Iterator[Contradiction]:
    """Data in a cell that does not exist, or that residency forbids."""
    stands = {
        name: each.get("region")
        for _, each in _items(values, "cells")
        if isinstance(name := each.get("name"), str)
    }
    for n, each in _items(values, "classes"):
        wanted = each.get("regions")
        named = wanted if isinstance(wanted, list | frozenset) else ()
        allowed = {region for region in named if isinstance(region, str)}
        for home, others in _mapping(each.get("replicas")).items():
            where = ("classes", n, "replicas", home)
            cells = (home, *(others if isinstance(others, list) else ()))
            for cell in (each for each in cells if isinstance(each, str)):
                if stands and cell not in stands:
                    there = ", ".join(sorted(stands))
                    says = f"names cell {cell}, must be one of {there}"
                    yield Contradiction(where=where, says=says)
                elif allowed and stands.get(cell) not in allowed:
                    says = (
                        f"names cell {cell} in region {stands.get(cell)}, must be in one of "
                        f"{', '.join(sorted(allowed))}"
                    )
                    yield Contradiction(where=where, says=says)


def _capacity(values: Values) -> Iterator[Contradiction]:
    """What requests need, cells must offer, or no plan could ever be made."""
    classes = [each for _, each in _items(values, "classes")]
    gauges = [each for _, each in _items(_mapping(values.get("scrape")), "gauges")]
    if not classes or not gauges:
        return
    needs = [frozenset(_mapping(each.get("needs"))) for each in classes]
    common = frozenset.intersection(*needs) or frozenset({"cpu"})
    offered = {g.get("resource") for g in gauges if g.get("capacity") is True}
    if not common & offered:
        says = (
            f"none of {', '.join(sorted(common))} has `capacity: true`, one must have it: a plan "
            "is made from what all classes need and cells offer"
        )
        yield Contradiction(where=("scrape", "gauges"), says=says)


def _resources(values: Values) -> Iterator[Contradiction]:
    """A need of what nobody measures would be taken for none, in silence."""
    gauges = [each for _, each in _items(_mapping(values.get("scrape")), "gauges")]
    measured = {str(each["resource"]) for each in gauges if "resource" in each}
    if not measured:
        return
    for n, each in _items(values, "classes"):
        for resource in _mapping(each.get("needs")):
            if resource not in measured:
                says = (
                    f"is of a resource that no gauge of scrape.gauges measures; there are "
                    f"{', '.join(sorted(measured))}"
                )
                yield Contradiction(where=("classes", n, "needs", str(resource)), says=says)


def _ports(values: Values) -> Iterator[Contradiction]:
    envoy = _mapping(values.get("envoy"))
    discovery = envoy.get("discovery", "127.0.0.1:18000")
    listen = envoy.get("listen", "127.0.0.1:10000")
    if discovery == listen:
        says = f"is {listen}, must differ from envoy.discovery"
        yield Contradiction(where=("envoy", "listen"), says=says)
    taken = {discovery: "envoy.discovery", listen: "envoy.listen"}
    pages = _mapping(values.get("metrics"))
    others = [("envoy", "relay", envoy.get("relay"))]
    others += [("api", "listen", _mapping(values.get("api")).get("listen"))]
    others += [("metrics", page, pages.get(page)) for page in ("serve", "engine", "relay")]
    for part, key, address in others:
        if not isinstance(address, str):
            continue
        if address in taken:
            says = f"is {address}, which {taken[address]} has; each needs a port of its own"
            yield Contradiction(where=(part, key), says=says)
        taken.setdefault(address, f"{part}.{key}")
    for where, admin in _each(values, "balancers", "admin"):
        if admin in (discovery, listen):
            says = f"is {admin}, which envoy.{'listen' if admin == listen else 'discovery'} has"
            yield Contradiction(where=where, says=f"{says}; each needs a port of its own")


def _horizons(values: Values) -> Iterator[Contradiction]:
    horizons = _mapping(values.get("forecast")).get("horizons_s")
    if not isinstance(horizons, list) or not all(_is_number(each) for each in horizons):
        return
    if horizons != sorted(set(horizons)):
        says = f"is {horizons}, must rise, for example [300, 3600]"
        yield Contradiction(where=("forecast", "horizons_s"), says=says)


def _doubt(values: Values) -> Iterator[Contradiction]:
    thresholds = _mapping(values.get("thresholds"))
    relent, doubt = thresholds.get("relent_p", 0.2), thresholds.get("doubt_p", 0.5)
    if _is_number(relent) and _is_number(doubt) and relent >= doubt:
        says = f"is {relent:g}, must be below doubt_p ({doubt:g})"
        yield Contradiction(where=("thresholds", "relent_p"), says=says)


def _ceilings(values: Values) -> Iterator[Contradiction]:
    budget = _mapping(values.get("budget"))
    rest, ceiling = budget.get("rest_ceiling", 0.85), budget.get("ceiling", 0.97)
    if _is_number(rest) and _is_number(ceiling) and rest > ceiling:
        says = f"is {rest:g}, must be at most ceiling ({ceiling:g})"
        yield Contradiction(where=("budget", "rest_ceiling"), says=says)


RULES: tuple[Callable[[Values], Iterable[Contradiction]], ...] = (
    _default_class,
    _mode,
    _names,
    _nodes,
    _objectives,
    _residency,
    _eligible,
    _service_map,
    _distances,
    _federation,
    _handover,
    _replicas,
    _capacity,
    _resources,
    _ports,
    _api,
    _horizons,
    _doubt,
    _ceilings,
)


def _regions(values: Values) -> set[str]:
    """Where cells stand, and peers."""
    peers = _each(_mapping(values.get("federation")), "peers", "region")
    return {region for _, region in (*_each(values, "cells", "region"), *peers)}


def _doubles(found: Iterable[tuple[Where, str]], because: str) -> Iterator[Contradiction]:
    first: dict[str, Where] = {}
    for where, value in found:
        if value in first:
            also = ".".join(str(part) for part in first[value])
            says = f"is {value!r}, which {also} has already: {because}"
            yield Contradiction(where=where, says=says)
        first.setdefault(value, where)


def _mapping(value: object) -> Values:
    return value if isinstance(value, Mapping) else {}


def _items(values: Values, part: str) -> list[tuple[int, Values]]:
    found = values.get(part)
    if not isinstance(found, list):
        return []
    return [(n, each) for n, each in enumerate(found) if isinstance(each, Mapping)]


def _each(
    values: Values, part: str, key: str, *, kind: type | tuple[type, ...] = str
) -> list[tuple[Where, Any]]:
    return [
        ((part, n, key), each[key])
        for n, each in _items(values, part)
        if isinstance(each.get(key), kind)
    ]


def _texts(value: object) -> list[str]:
    """The texts in a list or a set, sorted; a key that is no text sorts nowhere."""
    found = value if isinstance(value, list | frozenset) else ()
    return sorted(each for each in found if isinstance(each, str))


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
