"""This module is a large fleet made small: cells that are alike are one cell to the planner.

Two cells of one region with the same outlook per cpu are exchangeable in a convex problem, so
that an optimal plan gives both the same per cpu; nothing is lost but their number.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from foreshard.lab.policy.outlook import Outlook
from foreshard.lab.policy.setting import Setting
from foreshard.lab.simulation.effects import Floats
from foreshard.model.topology import Fleet

__all__ = ["Crowd", "crowded"]

# Differences per cpu below this make no other cell.
GRAIN = 0.02


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Crowd:
    """A fleet of groups.

    Attributes:
        setting: [G] groups as cells.
        outlook: Of the groups.
        group: [C] of each cell.
        part: [C] of its group's size.
    """

    setting: Setting
    outlook: Outlook
    group: npt.NDArray[np.intp]
    part: Floats

    def spread(self, shares: Floats) -> Floats:
        """[..., C] shares of cells from shares [..., G] of groups."""
        found: Floats = shares[..., self.group] * self.part
        return found


def crowded(setting: Setting, outlook: Outlook) -> Crowd:
    """Put cells together that are alike."""
    per_cpu = np.stack((outlook.cpu / setting.size, outlook.connections / setting.size / 10.0))
    traits = np.concatenate(
        (
            np.rint(per_cpu / GRAIN),
            np.rint(outlook.spoilt / GRAIN),
            outlook.in_time.reshape(-1, setting.size.size),
        )
    )
    seen: dict[tuple[str, bytes], int] = {}
    group = np.zeros(setting.size.size, dtype=np.intp)
    for i, cell in enumerate(setting.fleet.cells):
        group[i] = seen.setdefault((cell.region, traits[:, i].tobytes()), len(seen))
    first = np.array([int(np.argmax(group == g)) for g in range(len(seen))])
    size = _sums(group, setting.size)
    fleet = Fleet(
        cells=tuple(setting.fleet.cells[i] for i in first),
        latency_ms=setting.fleet.latency_ms,
        default_latency_ms=setting.fleet.default_latency_ms,
    )
    return Crowd(
        setting=replace(setting, fleet=fleet, size=size),
        outlook=Outlook(
            cpu=_sums(group, outlook.cpu),
            connections=_sums(group, outlook.connections),
            in_time=outlook.in_time[:, :, first],
            spoilt=outlook.spoilt[:, first],
        ),
        group=group,
        part=setting.size / size[group],
    )


def _sums(group: npt.NDArray[np.intp], values: Floats) -> Floats:
    """[G] sum of each group."""
    return np.asarray(np.bincount(group, weights=values), dtype=np.float64)
