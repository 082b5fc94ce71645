"""This module is an observation as it would have been, had requests been of other classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from foreshard.model.telemetry import CellReading, ClassTraffic, Observation
from foreshard.model.workload import Flow

__all__ = ["relabelled"]

Parts = Mapping[str, Mapping[str, float]]
"""By class, which part of its requests is of which class then; a class not named stays."""


def relabelled(
    seen: Observation, gone: Mapping[str, str], come: Mapping[str, str], taken_ratio: float
) -> Observation:
    """The same requests under other names.

    Args:
        seen: What was observed.
        gone: By class that is no more, the one that gets its requests.
        come: By new class, the one that has its requests in `seen`.
        taken_ratio: Part of those requests that it takes, in [0, 1].
    """
    parts = _parts(gone, come, taken_ratio)
    return replace(
        seen,
        cells={name: _reading(each, parts) for name, each in seen.cells.items()},
        demand_rps=None if seen.demand_rps is None else _rates(seen.demand_rps, parts),
        shed_rps=_rates(seen.shed_rps, parts),
    )


def _parts(gone: Mapping[str, str], come: Mapping[str, str], taken_ratio: float) -> Parts:
    takers: dict[str, list[str]] = {}
    for name, donor in come.items():
        takers.setdefault(donor, []).append(name)
    parts: dict[str, dict[str, float]] = {}
    for donor in {*takers, *gone}:
        names = takers.get(donor, [])
        part = min(taken_ratio, 1.0 / len(names)) if names else 0.0
        parts[donor] = {name: part for name in names if part > 0.0}
        parts[donor][gone.get(donor, donor)] = 1.0 - part * len(names)
    return parts


def _rates(of: Mapping[Flow, float], parts: Parts) -> dict[Flow, float]:
    made: dict[Flow, float] = {}
    for flow, rate in of.items():
        name = flow.request_class
        for taker, part in parts.get(name, {name: 1.0}).items():
            target = Flow(flow.origin, taker)
            made[target] = made.get(target, 0.0) + part * rate
    return made


def _reading(of: CellReading, parts: Parts) -> CellReading:
    if of.traffic is None:
        return of
    made: dict[str, ClassTraffic] = {}
    for name, traffic in of.traffic.items():
        for taker, part in parts.get(name, {name: 1.0}).items():
            more = replace(traffic, rate_rps=part * traffic.rate_rps)
            made[taker] = _merged(made[taker], more) if taker in made else more
    return replace(of, traffic=made)


def _merged(one: ClassTraffic, other: ClassTraffic) -> ClassTraffic:
    """Two classes counted as one; the mean of what was not answered is nobody's."""
    rate = one.rate_rps + other.rate_rps
    if not other.rate_rps > 0.0:
        return one
    if not one.rate_rps > 0.0:
        return other
    first, second = one.rate_rps / rate, other.rate_rps / rate
    return ClassTraffic(
        rate_rps=rate,
        failed_ratio=first * one.failed_ratio + second * other.failed_ratio,
        slow_ratio=first * one.slow_ratio + second * other.slow_ratio,
        latency_mean_s=first * one.latency_mean_s + second * other.latency_mean_s,
    )
