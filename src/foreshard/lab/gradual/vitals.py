"""This module is what the gauges of a cell read, healthy or not, under the work it is given.

Healthy cells are not calm. Heaps breathe, disks fill and are swept at night, caches warm up after
a restart, batches run, packets are lost in bursts, readings go missing. Latency follows the
processor as a queue does. Whatever a fault adds, it adds to this.

All chance is drawn before the first reading is made, and none of it hangs on the work given. So
the same seed under half the load is the same world under half the load.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from foreshard.lab.gradual.demand import DAY_S, Fleet, wander
from foreshard.lab.gradual.fault import Cause

__all__ = ["GAUGES", "SCALES_WITH_LOAD", "Chance", "draw_chance", "read_gauges"]

Array = NDArray[np.float64]

GAUGES: Final = ("cpu", "memory", "disk", "connections", "network", "packet_loss", "latency:all")
SCALES_WITH_LOAD: Final = (True, False, False, True, True, False, False)

CPU_SD, MEMORY_SD, DISK_SD, POOL_SD, LOSS_SD, LATENCY_SD = 0.012, 0.003, 0.0005, 0.02, 0.01, 0.06
# The machine is at nine tenths when the gauge is at its limit, and its queue is long.
MACHINE_OF_LIMIT = 0.9
FULLEST = 0.97
LATENCY_IDLE = 0.08
WARM_S = 2400.0
# What the throughput loses, and the latency gains, of packets lost at the limit.
LOSS_TO_NETWORK, LOSS_TO_LATENCY = 0.25, 1.5
POOL_TO_LATENCY = 0.8
# A full heap is collected without end.
LEAK_TO_CPU = 0.08
SPIKE_SHARE, SPIKE = 0.002, (0.05, 0.25)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chance:
    """What was drawn of a fleet: constants [C, 1] and courses [C, T].

    Attributes:
        idle_cpu: Without any work.
        cpu_of_load: Processor used by a whole load.
        batch: Processor used by the nightly work, course.
        memory: What the process takes,
        cache: what its cache takes when warm,
        heap: how far its heap breathes, and
        breath_s: how long a breath is under a load of a half.
        breath: Where in it the first one stands, in [0, 1).
        disk: Course, swept once a day.
        pool_of_load: Connections in use by a whole load.
        network_of_load: Bytes sent by a whole load.
        loss: Course.
        noise: [C, G, T], of each reading, in the gauge's own spread.
    """

    idle_cpu: Array
    cpu_of_load: Array
    batch: Array
    memory: Array
    cache: Array
    heap: Array
    breath_s: Array
    breath: Array
    disk: Array
    pool_of_load: Array
    network_of_load: Array
    loss: Array
    noise: NDArray[np.float32]


def draw_chance(fleet: Fleet, rng: np.random.Generator) -> Chance:
    """Draw what the cells of a fleet are like; siblings are alike, and not the same."""
    c, t = fleet.size, fleet.samples

    def alike(low: float, high: float, own_ratio: float) -> Array:
        of_group = fleet.spread(rng.uniform(low, high, (fleet.groups, 1)))
        return np.asarray(of_group * rng.uniform(1.0 - own_ratio, 1.0 + own_ratio, (c, 1)))

    noise = rng.standard_normal((c, len(GAUGES), t), dtype=np.float32)
    spikes = rng.random((c, t)) < SPIKE_SHARE
    # Of the readings that spike now and then; the others are counted, not sampled.
    noise[:, 0][spikes] += (rng.uniform(*SPIKE, int(spikes.sum())) / CPU_SD).astype(np.float32)
    loss = np.abs(wander(c, t, sd=0.03, correlation=0.9, rng=rng)) + 0.04
    loss += rng.exponential(0.12, (c, t)) * (rng.random((c, t)) < 0.004)
    return Chance(
        idle_cpu=alike(0.04, 0.1, 0.2),
        cpu_of_load=alike(0.95, 1.05, 0.03),
        batch=_batch(fleet, rng),
        memory=alike(0.25, 0.45, 0.05),
        cache=alike(0.1, 0.25, 0.05),
        heap=alike(0.02, 0.1, 0.2),
        breath_s=alike(400.0, 2400.0, 0.1),
        breath=rng.random((c, 1)),
        disk=_disk(fleet, rng),
        pool_of_load=alike(0.7, 0.95, 0.05),
        network_of_load=alike(0.6, 0.95, 0.05),
        loss=loss,
        noise=noise,
    )


def read_gauges(
    chance: Chance,
    fleet: Fleet,
    *,
    load: Array,
    up_s: Array,
    grown: Mapping[Cause, NDArray[np.float32]],
) -> NDArray[np.float32]:
    """Read all gauges.

    Args:
        chance: What was drawn of the fleet.
        fleet: Its cells and its clock.
        load: [C, T] work given, as a fraction of capacity.
        up_s: [C, T] since the last restart.
        grown: By cause [C, T], what a fault has taken of the room there is; of `CREEP`, by how
            much dearer the work became. Absent = none.

    Returns:
        float32 [C, G, T], fractions of the limits.
    """
    nothing = np.zeros((1, 1), dtype=np.float32)

    def of(cause: Cause) -> NDArray[np.float32]:
        return grown.get(cause, nothing)

    noise = chance.noise
    cpu = chance.idle_cpu + chance.cpu_of_load * load * (1.0 + of(Cause.CREEP)) + chance.batch
    cpu += of(Cause.CPU_HOG) + LEAK_TO_CPU * np.minimum(of(Cause.LEAK), 1.0) ** 3
    busy = np.clip(cpu * MACHINE_OF_LIMIT, 0.0, FULLEST)
    lost, held = np.minimum(of(Cause.PACKET_LOSS), 1.0), np.minimum(of(Cause.POOL_STARVATION), 1.0)
    latency = LATENCY_IDLE / (1.0 - busy)
    latency = latency * (1.0 + LOSS_TO_LATENCY * lost) * (1.0 + POOL_TO_LATENCY * held)
    # Little: connections in use are the work times how long it takes, here beyond the half load.
    slow = LATENCY_IDLE / (1.0 - busy) / (2.0 * LATENCY_IDLE)
    pool = chance.pool_of_load * load * (0.7 + 0.3 * np.minimum(slow, 2.0))
    breath = np.mod(
        chance.breath + np.cumsum(2.0 * load * fleet.step_s / chance.breath_s, axis=1), 1.0
    )
    memory = chance.memory + chance.cache * -np.expm1(-up_s / WARM_S)
    memory = memory + chance.heap * breath + 0.05 * load + of(Cause.LEAK)
    value = np.empty((fleet.size, len(GAUGES), fleet.samples), dtype=np.float32)
    value[:, 0] = np.clip(cpu + CPU_SD * noise[:, 0], 0.0, 1.1)
    value[:, 1] = memory + MEMORY_SD * noise[:, 1]
    value[:, 2] = chance.disk + of(Cause.DISK_FILL) + DISK_SD * noise[:, 2]
    value[:, 3] = pool * (1.0 + POOL_SD * noise[:, 3]) + of(Cause.POOL_STARVATION)
    value[:, 4] = chance.network_of_load * load * (1.0 - LOSS_TO_NETWORK * lost)
    value[:, 4] *= 1.0 + POOL_SD * noise[:, 4]
    value[:, 5] = chance.loss + of(Cause.PACKET_LOSS) + LOSS_SD * noise[:, 5]
    value[:, 6] = latency * np.exp(LATENCY_SD * noise[:, 6])
    # A gauge of what there is cannot say more than all of it.
    np.clip(value[:, 1:4], 0.0, 1.0, out=value[:, 1:4])
    np.maximum(value, 0.0, out=value)
    return value


def _batch(fleet: Fleet, rng: np.random.Generator) -> Array:
    """[C, T], the same hour every night in a group, a few minutes apart from cell to cell."""
    t = np.arange(fleet.samples) * fleet.step_s
    hour_s = fleet.spread(rng.uniform(0.0, DAY_S, (fleet.groups, 1)))
    hour_s = hour_s + rng.uniform(-300.0, 300.0, (fleet.size, 1))
    lasts_s = fleet.spread(rng.uniform(600.0, 2400.0, (fleet.groups, 1)))
    takes = fleet.spread(rng.uniform(0.0, 0.12, (fleet.groups, 1)))
    return np.asarray(np.where(np.mod(t - hour_s, DAY_S) < lasts_s, takes, 0.0))


def _disk(fleet: Fleet, rng: np.random.Generator) -> Array:
    """[C, T], grows all day, is swept at the group's hour, and grows a little for good."""
    t = np.arange(fleet.samples) * fleet.step_s
    hour_s = fleet.spread(rng.uniform(0.0, DAY_S, (fleet.groups, 1)))
    a_day = fleet.spread(rng.uniform(0.03, 0.15, (fleet.groups, 1)))
    for_good = rng.uniform(0.0, 0.004, (fleet.size, 1))
    level = fleet.spread(rng.uniform(0.3, 0.5, (fleet.groups, 1)))
    level = level + rng.uniform(-0.05, 0.05, (fleet.size, 1))
    return np.asarray(level + a_day * np.mod(t - hour_s, DAY_S) / DAY_S + for_good * t / DAY_S)
