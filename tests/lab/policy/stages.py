"""This module is the settings, views and small stages that tests of policies share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from foreshard.lab import service
from foreshard.lab.policy.setting import Setting
from foreshard.lab.policy.view import View, blank
from foreshard.lab.simulation.effects import Floats
from foreshard.model.safety_net import SafetyNet
from foreshard.model.topology import Cell, Fleet, Node
from foreshard.model.workload import RequestClass

__all__ = ["CHECKOUT", "REPORT", "SEARCH", "calm_view", "shop"]

CHECKOUT, SEARCH, REPORT = range(3)


def shop(
    *,
    origins: tuple[str, ...] = ("eu",),
    latency_ms: float = 0.0,
    sizes: Mapping[int, float] | None = None,
    classes: tuple[RequestClass, ...] = service.CLASSES,
    pace: float = 1.0,
) -> Setting:
    """The demo's six cells and three classes."""
    cells = tuple(
        Cell(
            name=site.name,
            region=site.region,
            zone=site.zone,
            nodes=(Node(host="127.0.0.1", port=1 + i),),
        )
        for i, site in enumerate(service.SITES)
    )
    size = np.full(len(cells), 3.0)
    for index, cpus in (sizes or {}).items():
        size[index] = cpus
    return Setting(
        fleet=Fleet(cells=cells, default_latency_ms=latency_ms),
        classes=classes,
        origins=origins,
        size=size,
        pace=pace,
        default_class="search",
        net=SafetyNet(),
    )


def calm_view(setting: Setting, *, now_s: float, cpu: float = 0.62, **changes: object) -> View:
    """All is well at this utilisation."""
    origins, classes, cells = setting.shape
    rates = service.offered_rps(cpu) * np.array(list(service.MIX.values()))[:classes]
    served: Floats = np.repeat(rates[:, None] / cells, cells, axis=1)
    view = replace(
        blank(setting, now_s=now_s),
        age_s=np.full(cells, 0.2),
        gauges={"cpu": np.full(cells, cpu), "memory": np.full(cells, 0.5)},
        demand_rps=np.repeat(rates[None] / origins, origins, axis=0),
        rate_rps=served,
        failed_ratio=np.zeros((classes, cells)),
        slow_ratio=np.zeros((classes, cells)),
        latency_s=np.full((classes, cells), 0.03),
        in_flight=np.full(cells, 2.0),
    )
    return replace(view, **changes)  # type: ignore[arg-type] # any field of a View
