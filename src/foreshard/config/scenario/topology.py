"""This module is how a few lines name thousands of cells, and how a fault finds its own.

It reads plain values, so that the rules of `consistency` can ask before anything is parsed; what
has the wrong kind counts as not there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_lowercase
from typing import Any

from foreshard.lab import service
from foreshard.lab.service import Site

__all__ = ["FILTERS", "MOST_CELLS", "TARGETS", "Placed", "chosen", "placed"]

MOST_CELLS = 20_000
DEFAULT_ZONES = 3
DEFAULT_VERSION = "1.0"
FILTERS = ("zone", "region", "version")
TARGETS = ("cells", *FILTERS, "count", "share")


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A cell, its version, and its cpus relative to the others'."""

    site: Site
    version: str = DEFAULT_VERSION
    size: float = 1.0


def placed(regions: object) -> tuple[Placed, ...]:
    """The cells of the regions, in the order of the file; the demo's six where none are named.

    Cells are called `eu-001` and so on; zones, `eua` and so on, and versions are dealt in turn.
    """
    if not isinstance(regions, Mapping) or not regions:
        return tuple(Placed(site=site) for site in service.SITES)
    return tuple(
        each
        for name, region in regions.items()
        if isinstance(name, str) and isinstance(region, Mapping)
        for each in _cells(name, region)
    )


def chosen(fault: Mapping[str, Any], cells: Sequence[Placed]) -> tuple[str, ...]:
    """Names of those that a fault befalls, in the order in which it does."""
    if isinstance(named := fault.get("cells"), Sequence) and not isinstance(named, str) and named:
        return tuple(name for name in named if isinstance(name, str))
    left = [
        each
        for each in cells
        if fault.get("zone") in {None, "", each.site.zone}
        and fault.get("region") in {None, "", each.site.region}
        and fault.get("version") in {None, "", each.version}
    ]
    names = [each.site.name for each in left]
    if is_whole(count := fault.get("count")):
        return tuple(names[:count])
    share = fault.get("share")
    if isinstance(share, int | float) and not isinstance(share, bool) and 0.0 < share <= 1.0:
        # Half of a cell that is meant is one cell; .1 of 30 is 3 in spite of the last bits.
        return tuple(names[: math.ceil(share * len(names) - 1e-9)])
    return tuple(names) if any(fault.get(key) for key in FILTERS) else ()


def is_whole(value: object) -> bool:
    """Whether it is a number of cells."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MOST_CELLS


def _cells(name: str, region: Mapping[str, Any]) -> list[Placed]:
    count, zones = region.get("cells"), region.get("zones", DEFAULT_ZONES)
    if not (is_whole(count) and is_whole(zones)) or not isinstance(count, int):
        return []
    told = region.get("versions")
    versions = told if isinstance(told, list) and told else [DEFAULT_VERSION]
    size = region.get("size", 1.0)
    letters = ascii_lowercase[: min(zones, count, len(ascii_lowercase))]
    return [
        Placed(
            site=Site(
                name=f"{name}-{number + 1:03}",
                region=name,
                zone=f"{name}{letters[number % len(letters)]}",
            ),
            version=str(versions[number % len(versions)]),
            size=float(size) if isinstance(size, int | float) else 1.0,
        )
        for number in range(count)
    ]
