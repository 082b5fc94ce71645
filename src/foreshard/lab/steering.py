"""This module is the demo's configuration of Foreshard, with its clock sped up.

The story takes four minutes, so what is minutes in production is seconds here. The two horizons
and every patience below are shortened by hand, each as far as its fault allows (a container that
restarts in six seconds cannot be waited for in less), and `PATIENCE` says all of them beside the
shipped defaults. What concerns the machine (tick, staleness, health) is real time and stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from foreshard.lab import service
from foreshard.lab.reactive import SERVED_BY
from foreshard.lab.service import CLASSES, SERVICE
from foreshard.model.topology import Fleet

__all__ = ["BUDGET", "HORIZONS_S", "PATIENCE", "Site", "demo_config"]

# In place of 300 and 3600 s.
HORIZONS_S = (20.0, 60.0)

# In place of the defaults of `thresholds` in the configuration, in seconds.
PATIENCE = {
    "doubt_s": 2.0,
    "confirm_s": 4.0,
    "relent_s": 12.0,
    "class_first_s": 8.0,
    "drain_ahead_s": 10.0,
    "stride_s": 4.0,
    "warm_s": 10.0,
    "prove_s": 2.0,
    "shun_s": 14.0,
    "quarantine_s": 60.0,
    "restart_patience_s": 20.0,
}

# Five faults in four minutes move more than a production fleet does in a minute.
BUDGET = {"stale_s": 5.0, "confirm_s": 2.0, "max_moved_per_minute": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where the parts of the steered fleet are.

    Attributes:
        fleet: Its cells.
        data_dir: Of Foreshard.
        events: File of announced events.
        webhook: URL that takes restarts.
        listen: host:port where Envoy takes requests.
        admin: host:port of Envoy's admin page.
        discovery: host:port of the discovery service.
        forecast: A forecaster by name, or none.
    """

    fleet: Fleet
    data_dir: Path
    events: Path
    webhook: str
    listen: str
    admin: str
    discovery: str
    forecast: str = "trend"


def demo_config(site: Site) -> Mapping[str, object]:
    """The configuration file's values for `foreshard run`."""
    return {
        "service": SERVICE,
        "data_dir": str(site.data_dir),
        "classes": [
            {
                "name": c.name,
                "priority": c.priority.name.lower(),
                "weight": c.weight,
                "objective_s": c.objective_s,
                "timeout_s": c.timeout_s,
                "match": {"method": c.match.method, "path_prefix": c.match.path_prefix},
                "retriable": c.retriable,
                "key_header": c.key_header,
                "dependencies": sorted(c.dependencies),
                "needs": dict(c.declared.per_request),
            }
            for c in CLASSES
        ],
        "default_class": "search",
        "cells": [
            {
                "name": cell.name,
                "region": cell.region,
                "zone": cell.zone,
                "nodes": [f"{node.host}:{node.port}" for node in cell.nodes],
            }
            for cell in site.fleet.cells
        ],
        "scrape": {"gauges": [_cpu(), _gauge("memory"), _gauge("disk"), _connections()]},
        "balancers": [{"admin": site.admin, "origin": service.SITES[0].region}],
        "envoy": {
            "discovery": site.discovery,
            "listen": site.listen,
            "served_by_header": SERVED_BY,
        },
        "events_file": str(site.events),
        "driver": {"webhook": site.webhook},
        "forecast": {
            "model": site.forecast,
            "every_s": 1.0,
            "window_s": 90.0,
            "horizons_s": list(HORIZONS_S),
        },
        "thresholds": dict(PATIENCE),
        "budget": dict(BUDGET),
    }


def _metric(name: str, resource: str) -> dict[str, object]:
    return {"metric": name, "labels": {"resource": resource}}


def _gauge(resource: str) -> dict[str, object]:
    return {
        "resource": resource,
        "used": _metric("cell_resource_used", resource),
        "limit": _metric("cell_resource_limit", resource),
    }


def _connections() -> dict[str, object]:
    return {**_gauge("connections"), "scales_with_load": True}


def _cpu() -> dict[str, object]:
    return {
        "resource": "cpu",
        "used": {"metric": "cell_cpu_seconds_total"},
        "limit": _metric("cell_resource_limit", "cpu"),
        "counter": True,
        "scales_with_load": True,
        "capacity": True,
    }
