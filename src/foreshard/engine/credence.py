"""This module is how far a cell's gauges are believed: witnesses that agree too well are one.

A leak fills memory, a log the disk, load the cpus; each of them by its own factor. If all gauges
of one cell move by the same factor, those that follow load and those that do not, and in its
siblings they do not, then it is not the cell that changed but whoever tells of it (a scale, a
unit, an exporter that says zero). Then its gauges are not heard until they have stood still for
a while: what balancers see of its requests is, as ever.

A witness is one who could have said something else. Gauges that follow load are one together;
a gauge that stands still agrees with nobody; and where the cell's requests, which balancers count,
went the same way, the load explains it, whatever the gauges are declared to follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from foreshard.engine.counted import sane
from foreshard.model.plan import Reason
from foreshard.model.telemetry import Fresh, Observation
from foreshard.model.topology import Fleet
from foreshard.planning.problem import Flags, Floats

__all__ = ["Credence", "believed", "no_credence"]

# What gauges say now, and what they used to say, are means over about so long.
NOW_S, USUAL_S = 5.0, 300.0
# A change of less than this is nothing to speak of; within the second, or within this part of the
# change, gauges agree.
LEAST_CHANGE, AGREES, AGREES_PART = 0.03, 0.02, 0.3
# So many witnesses must agree, and such a part of all gauges.
LEAST_WITNESSES, AGREEING_PART = 3, 0.66
# Requests that changed by this part of what the gauges did, and in the same direction, explain it.
EXPLAINS_PART = 0.3
# Not believed for at least so long after the last sign of it, and no sign before so much was heard
# of one process: what another one used says nothing.
HELD_S, HEARD_S = 60.0, 60.0
# The same process, by its own clock.
SAME_S = 1.0
# More of its limit nothing can use.
MOST = 1e6
# Of its limit; a gauge that is at nothing may become any multiple of it.
NOTHING = 0.005


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Credence:
    """What gauges said; G gauges, C cells, utilisations, NaN = never heard.

    Attributes:
        scales: By gauge, whether it follows load.
        now: [C] by gauge.
        usual: [C] by gauge.
        rate_now, rate_usual: [C] requests a second that balancers counted.
        heard_s: [C] for how long this process has been heard.
        started_s: [C] when it started, NaN = not known.
        odd_s: [C] when they last changed by one factor.
        doubted: [C] cells whose gauges are not believed.
    """

    scales: Mapping[str, bool]
    now: Mapping[str, Floats]
    usual: Mapping[str, Floats]
    rate_now: Floats
    rate_usual: Floats
    heard_s: Floats
    started_s: Floats
    odd_s: Floats
    doubted: Flags


def no_credence(cells: int) -> Credence:
    """Nothing was said yet, and nothing is doubted."""
    return Credence(
        scales={},
        now={},
        usual={},
        rate_now=np.full(cells, np.nan),
        rate_usual=np.full(cells, np.nan),
        heard_s=np.zeros(cells),
        started_s=np.full(cells, np.nan),
        odd_s=np.full(cells, -np.inf),
        doubted=np.zeros(cells, dtype=np.bool_),
    )


def believed(
    credence: Credence, observation: Observation, fleet: Fleet
) -> tuple[Credence, Observation, frozenset[str], tuple[Reason, ...]]:
    """What is believed after one look.

    Returns:
        The credence; the observation without the gauges that are not believed; whose they are;
        and what changed.
    """
    after = _heard(credence, observation, fleet)
    odd_s = np.where(_change_alike(after), observation.now_s, after.odd_s)
    after = replace(after, odd_s=odd_s, doubted=observation.now_s - odd_s < HELD_S)
    names = frozenset(fleet.names[c] for c in np.flatnonzero(after.doubted).tolist())
    reasons = []
    for c in np.flatnonzero(after.doubted != credence.doubted).tolist():
        if after.doubted[c]:
            text = "all its gauges changed by one factor; they are not believed, its traffic is"
            reasons.append(Reason(subject=fleet.names[c], code="gauges.doubted", text=text))
        else:
            text = "its gauges stand still or go their own ways; they are believed again"
            reasons.append(Reason(subject=fleet.names[c], code="gauges.believed", text=text))
    if not names:
        return after, observation, names, tuple(reasons)
    cells = dict(observation.cells)
    for name in names:
        reading = cells[name].reading
        if isinstance(reading, Fresh):
            metrics = replace(reading.metrics, gauges={})
            cells[name] = replace(cells[name], reading=replace(reading, metrics=metrics))
    return after, replace(observation, cells=cells), names, tuple(reasons)


def _heard(credence: Credence, observation: Observation, fleet: Fleet) -> Credence:
    """What gauges said until now."""
    said: dict[str, Floats] = {}
    rate = np.full(len(fleet.names), np.nan)
    scales, started_s = dict(credence.scales), credence.started_s.copy()
    dt_s = observation.interval_s
    for c, name in enumerate(fleet.names):
        reading, traffic = observation.cells[name].reading, observation.cells[name].traffic
        if traffic is not None:
            rates = [each.rate_rps for each in traffic.values()]
            # What one class cannot have is no rate of the cell either.
            rate[c] = sum(rates) if all(0.0 <= rps < np.inf for rps in rates) else np.nan
        if not isinstance(reading, Fresh):
            continue
        if np.isfinite(reading.metrics.started_at_s):
            started_s[c] = reading.metrics.started_at_s
        for gauge, value in reading.metrics.gauges.items():
            if gauge not in said:
                said[gauge] = np.full(len(fleet.names), np.nan)
                scales[gauge] = value.scales_with_load
            # So many times its limit is a broken gauge, not one that moved.
            used = sane(value.utilisation)
            said[gauge][c] = used if used <= MOST else np.nan
    # NaN compares as false.
    is_new = np.abs(started_s - credence.started_s) > SAME_S
    heard_s = np.where(is_new, 0.0, credence.heard_s) + dt_s
    now_gain, usual_gain = (-np.expm1(-dt_s / np.minimum(heard_s, s)) for s in (NOW_S, USUAL_S))
    return replace(
        credence,
        scales=scales,
        now=_followed(credence.now, said, is_new, now_gain),
        usual=_followed(credence.usual, said, is_new, usual_gain),
        rate_now=_mean(credence.rate_now, rate, is_new, now_gain),
        rate_usual=_mean(credence.rate_usual, rate, is_new, usual_gain),
        heard_s=heard_s,
        started_s=started_s,
    )


def _followed(
    before: Mapping[str, Floats], said: Mapping[str, Floats], is_new: Flags, gain: Floats
) -> Mapping[str, Floats]:
    """Means of gauges, of all that was heard while that is less than their span."""
    return {
        **before,
        **{
            gauge: _mean(before.get(gauge, values), values, is_new, gain)
            for gauge, values in said.items()
        },
    }


def _mean(before: Floats, said: Floats, is_new: Flags, gain: Floats) -> Floats:
    """A running mean after one look; what was not heard leaves it where it was."""
    heard = np.isfinite(said)
    old = np.where(is_new, np.nan, before)
    start = np.where(np.isfinite(old), old, said)
    return np.asarray(np.where(heard, start + gain * (said - start), old))


def _change_alike(credence: Credence) -> Flags:
    """[C] whose gauges changed by one factor, those that follow load and those that do not."""
    names = sorted(credence.now)
    if len(names) < LEAST_WITNESSES:
        return np.zeros(credence.doubted.size, dtype=np.bool_)
    now = np.array([credence.now[g] for g in names])
    usual = np.array([credence.usual[g] for g in names])
    scales = np.array([credence.scales[g] for g in names])[:, None]
    change = _change(now, usual)
    known = np.isfinite(change)
    common = _middle(change, axis=0)
    near = np.maximum(AGREES, AGREES_PART * np.abs(common))
    moved = known & (np.abs(change) >= LEAST_CHANGE)
    agrees = moved & (np.abs(change - common) <= near)
    by_load = (agrees & scales).any(axis=0)
    is_many = by_load & (1 + (agrees & ~scales).sum(axis=0) >= LEAST_WITNESSES)
    is_most = agrees.sum(axis=0) >= AGREEING_PART * known.sum(axis=0)
    is_old = credence.heard_s >= HEARD_S
    return np.asarray(is_old & is_many & is_most & ~_explained(credence, common))


def _explained(credence: Credence, common: Floats) -> Flags:
    """[C] whose requests went the way of the gauges; a silent balancer explains nothing."""
    work = _change(credence.rate_now[None], credence.rate_usual[None])[0]
    # NaN compares as false.
    return np.asarray(work * np.sign(common) >= EXPLAINS_PART * np.abs(common))


def _change(now: Floats, usual: Floats) -> Floats:
    """[G, C] logarithm of the factor by which each changed, beyond what all cells did.

    What all do (the evening, a garbage collector's habit) is the fleet's own.
    """
    change = np.log((now + NOTHING) / (usual + NOTHING))
    return np.asarray(change - _middle(change, axis=1)[:, None])


def _middle(values: Floats, *, axis: int) -> Floats:
    """The median of what is known along an axis; 0 where nothing is."""
    known = np.isfinite(values)
    count = known.sum(axis=axis, keepdims=True)
    ordered = np.sort(np.where(known, values, np.inf), axis=axis)
    low = np.take_along_axis(ordered, np.maximum(count - 1, 0) // 2, axis=axis)
    high = np.take_along_axis(ordered, np.minimum(count // 2, values.shape[axis] - 1), axis=axis)
    middle = np.where(count > 0, (low + high) / 2.0, 0.0)
    return np.asarray(middle.squeeze(axis))
