"""This module is what the parts of a scenario must agree on with each other.

As in `config.consistency`, rules read plain values, each looks only at what it needs, and what
is missing or of the wrong kind is somebody else's finding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, TypeGuard

from foreshard.config.consistency import Contradiction
from foreshard.config.scenario.fault import MEANINGLESS
from foreshard.config.scenario.topology import TARGETS, Placed, chosen, placed
from foreshard.lab.scenario.fault import FAULT_RANGES, Kind, Shape
from foreshard.lab.service import MIX

__all__ = ["scenario_contradictions"]

Values = Mapping[str, Any]
Said = Iterator[tuple[str, str]]
# More would hide what is wrong.
MOST_NAMED = 8


def scenario_contradictions(values: Values) -> tuple[Contradiction, ...]:
    """Everything that does not fit together.

    Args:
        values: A scenario, as plain values; any part of it may be missing.
    """
    found = [Contradiction(where=(key,), says=says) for key, says in _whole(values)]
    found += _classes(values)
    found += _places(values)
    cells = placed(values.get("regions"))
    for number, fault in _items(values, "faults"):
        kind = _kind(fault)
        if kind is None:
            continue
        for key, says in _fault(fault, kind, cells, values):
            found.append(Contradiction(where=("faults", number, key), says=says))
    return tuple(found)


def _whole(values: Values) -> Said:
    warm_up, duration = values.get("warm_up_s", 60.0), values.get("duration_s")
    if _is_number(warm_up) and _is_number(duration) and warm_up >= duration:
        where = "warm_up_s" if "warm_up_s" in values else "duration_s"
        says = f"warm_up_s ({warm_up:g}) must be less than duration_s ({duration:g})"
        yield where, f"leaves nothing to score: {says}"
    names = _class_names(values)
    default = values.get("default_class")
    if isinstance(default, str) and default and default not in names:
        yield "default_class", f"is {default!r}, must be one of {', '.join(names)}"


def _classes(values: Values) -> Iterator[Contradiction]:
    regions = sorted({each.site.region for each in placed(values.get("regions"))})
    seen: set[str] = set()
    for number, each in _items(values, "classes"):
        where = ("classes", number)
        name = each.get("name")
        if isinstance(name, str):
            if name in seen:
                says = f"is {name!r}, which stands above already: names must be unique"
                yield Contradiction(where=(*where, "name"), says=says)
            seen.add(name)
        objective, timeout = each.get("objective_s"), each.get("timeout_s")
        if _is_number(objective) and _is_number(timeout) and timeout < objective:
            says = f"is {timeout:g}, must be at least objective_s ({objective:g})"
            yield Contradiction(where=(*where, "timeout_s"), says=says)
        wanted = each.get("regions")
        named = [one for one in wanted if isinstance(one, str)] if isinstance(wanted, list) else []
        if named and not set(named) & set(regions):
            says = f"is {named}, no cell stands there; name one of {_some(regions)}"
            yield Contradiction(where=(*where, "regions"), says=says)


def _places(values: Values) -> Iterator[Contradiction]:
    cells = placed(values.get("regions"))
    regions = sorted({each.site.region for each in cells})
    names = {each.site.name for each in cells}
    origins = _origins(values)
    for name in _mapping(values.get("sizes")):
        if name not in names:
            yield Contradiction(where=("sizes", name), says=_unknown("cell", name, sorted(names)))
    for origin, distances in _mapping(values.get("latency_ms")).items():
        if origin not in origins:
            says = _unknown("origin of the load", origin, origins)
            yield Contradiction(where=("latency_ms", origin), says=says)
        for region in _mapping(distances):
            if region not in regions:
                says = _unknown("region with a cell", region, regions)
                yield Contradiction(where=("latency_ms", origin, region), says=says)


def _fault(fault: Values, kind: Kind, cells: tuple[Placed, ...], values: Values) -> Said:
    yield from _size(fault, kind)
    yield from _whom(fault, kind, cells)
    yield from _when(fault, kind, values)
    name = fault.get("request_class")
    if isinstance(name, str) and name:
        names = _class_names(values)
        if name not in names:
            yield "request_class", f"is {name!r}, must be one of {', '.join(names)}"
        elif not (kind.is_of_classes or fault.get("shape") == Shape.LOAD):
            yield "request_class", f"is set, but a {kind} befalls all classes alike; leave it out"
    origin = fault.get("origin")
    if isinstance(origin, str) and origin:
        origins = _origins(values)
        if kind is not Kind.SURGE:
            yield "origin", "is set, but only a surge comes from somewhere; leave it out"
        elif origin not in origins:
            yield "origin", f"is {origin!r}, must be one of load.origins: {_some(origins)}"


def _size(fault: Values, kind: Kind) -> Said:
    magnitude, right = fault.get("magnitude"), FAULT_RANGES[kind]
    if magnitude is None and kind in MEANINGLESS:
        where = "magnitude" if "magnitude" in fault else "kind"
        yield where, f"is {kind.value!r}, which needs a magnitude, {right}"
    elif _is_number(magnitude) and not right.holds(magnitude):
        yield "magnitude", f"is {magnitude:g}, must be {right} for a {kind}"
    if kind.is_of_demand and fault.get("shape") == Shape.LOAD:
        yield "shape", f"is 'load', but a {kind} serves nothing; choose another"


def _whom(fault: Values, kind: Kind, cells: tuple[Placed, ...]) -> Said:
    told = [key for key in TARGETS if fault.get(key) not in (None, "", [])]
    if kind.is_of_demand:
        for key in told:
            yield key, f"is set, but a {kind} befalls the demand and no cell; leave it out"
        return
    if not told:
        says = f"is {kind.value!r}, which befalls cells: name {', '.join(TARGETS[:-1])} or share"
        yield "kind", says
        return
    if "cells" in told:
        for key in told[1:]:
            yield key, "is set beside cells; say whom by the one or by the other"
        yield from _named(fault, [each.site.name for each in cells])
        return
    if "count" in told and "share" in told:
        yield "share", "is set beside count; keep one"
    found = len(told)
    for key in ("zone", "region", "version"):
        there = sorted({_of(each, key) for each in cells})
        if isinstance(name := fault.get(key), str) and name and name not in there:
            yield key, _unknown(f"{key} of a cell", name, there)
            found = 0
    if found and cells and not chosen(fault, cells):
        yield told[0], f"finds no cell together with {', '.join(told[1:]) or 'itself'}"


def _named(fault: Values, there: list[str]) -> Said:
    named = fault["cells"] if isinstance(fault["cells"], list) else []
    known, seen = set(there), set()
    for name in named:
        if isinstance(name, str) and name not in known:
            yield "cells", _unknown("cell", name, there)
        if isinstance(name, str) and name in seen:
            yield "cells", f"names {name!r} twice, name it once"
        seen.add(name if isinstance(name, str) else "")


def _when(fault: Values, kind: Kind, values: Values) -> Said:
    at_s, known_s, holds_s = (fault.get(key) for key in ("at_s", "known_s", "holds_s"))
    duration = values.get("duration_s")
    if _is_number(at_s) and _is_number(duration) and at_s >= duration:
        yield "at_s", f"is {at_s:g}, after the end (duration_s is {duration:g})"
    grows_s = fault.get("grows_s")
    if kind.is_sudden and _is_number(grows_s) and grows_s > 0.0:
        yield "grows_s", f"is {grows_s:g}, must be 0: there is no half of a {kind}"
    if kind is Kind.MAINTENANCE and not (_is_number(holds_s) and holds_s > 0.0):
        where = "holds_s" if "holds_s" in fault else "kind"
        yield where, "is maintenance, which needs holds_s over 0: how long the host is off"
    if known_s is not None and kind not in {Kind.MAINTENANCE, Kind.DEPLOY}:
        yield "known_s", f"is set, but a {kind} is never announced; leave it out"
    elif _is_number(known_s) and _is_number(at_s) and known_s > at_s:
        yield "known_s", f"is {known_s:g}, must be at most at_s ({at_s:g})"


def _kind(fault: Values) -> Kind | None:
    told = fault.get("kind")
    return Kind(told) if isinstance(told, str) and told in set(Kind) else None


def _of(each: Placed, key: str) -> str:
    return each.version if key == "version" else str(getattr(each.site, key))


def _class_names(values: Values) -> list[str]:
    told = [each.get("name") for _, each in _items(values, "classes")]
    return [name for name in told if isinstance(name, str)] or list(MIX)


def _origins(values: Values) -> list[str]:
    told = _mapping(_mapping(values.get("load")).get("origins"))
    cells = placed(values.get("regions"))
    first = [cells[0].site.region] if cells else []
    return sorted(str(name) for name in told) or first


def _unknown(what: str, name: object, there: list[str]) -> str:
    near = get_close_matches(str(name), there, n=1, cutoff=0.6)
    known = f"did you mean {near[0]}?" if near else f"there are {_some(there)}"
    return f"is {name!r}, which is no {what}; {known}"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{', '.join(names[:MOST_NAMED])}{more}"


def _mapping(value: object) -> Values:
    return value if isinstance(value, Mapping) else {}


def _items(values: Values, part: str) -> list[tuple[int, Values]]:
    found = values.get(part)
    if not isinstance(found, list):
        return []
    return [(n, each) for n, each in enumerate(found) if isinstance(each, Mapping)]


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
