"""This module is the burden of a demo's run, for the least harm that was possible in it.

Capacity is what the faults as they were planned left of the cpus; cells that were dead are those
of the twin that nobody steers (an early restart at a quiet moment would help). The bound itself
is `lab.policy.bound`.
"""

from __future__ import annotations

from math import ceil

import numpy as np
import numpy.typing as npt

from foreshard.lab import service
from foreshard.lab.cell.draw import CPU, erlang
from foreshard.lab.cell.faults import Faults
from foreshard.lab.policy.bound import BIN_S, Burden
from foreshard.lab.story import Story
from foreshard.lab.timeline import Lives
from foreshard.lab.traffic import Schedule

__all__ = ["burden_of", "capacity_cpu_s"]

Floats = npt.NDArray[np.float64]


def capacity_cpu_s(story: Story, lives: Lives | None) -> Floats:
    """[bin] cpu seconds of all cells, from the faults as they were planned and who was up.

    Args:
        story: Of its faults only what slows cpus down counts; deaths are read from `lives`.
        lives: Cells in the order of `service.SITES`; None = all were up all the time.
    """
    t_s = (np.arange(_bins(story.duration_s)) + 0.5) * BIN_S
    speed = np.ones((len(t_s), len(service.SITES)))
    names = [site.name for site in service.SITES]
    for spec in story.faults:
        faults = Faults()
        faults.inject(spec.fault, now_s=spec.at_s)
        for i in np.flatnonzero((t_s >= spec.at_s) & (t_s < spec.ends_s)):
            slowed = faults.speed(now_s=float(t_s[i]))
            for cell in spec.cells:
                speed[i, names.index(cell)] = min(speed[i, names.index(cell)], slowed)
    if lives is not None and len(lives.t_s):
        looked = np.maximum(np.searchsorted(lives.t_s, t_s, side="right") - 1, 0)
        speed *= lives.up[looked]
    total: Floats = speed.sum(axis=1) * service.CELL_CPUS * BIN_S
    return total


def burden_of(story: Story, schedule: Schedule, *, lives: Lives | None) -> Burden:
    """What a run asked for, with the cost that each request really had."""
    bins, classes = _bins(story.duration_s), len(service.CLASSES)
    mean_s = np.array([service.WORK[c.name].cpu_s for c in service.CLASSES])
    drawn = np.array([erlang(int(draw), CPU) for draw in schedule.draw])
    cost_s = drawn * mean_s[schedule.request_class]
    at = np.minimum((schedule.t_s / BIN_S).astype(np.intp), bins - 1)
    flat = at * classes + schedule.request_class
    work_s: Floats = np.zeros(bins * classes)
    np.add.at(work_s, flat, cost_s)
    return Burden(
        capacity_s=capacity_cpu_s(story, lives),
        work_s=work_s.reshape(bins, classes),
        requests=np.bincount(schedule.request_class, minlength=classes).astype(np.float64),
        classes=service.CLASSES,
    )


def _bins(duration_s: float) -> int:
    return ceil(duration_s / BIN_S - 1e-9)
