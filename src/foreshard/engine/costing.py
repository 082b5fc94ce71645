"""This module is what an engine has learned of the cost of classes, in the words of a profile."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from foreshard.engine.state import EngineState
from foreshard.engine.workload import Profiler
from foreshard.forecast.demand import quantile_rps
from foreshard.model.category import ClassProfile, Dependence, DependencySource, WorkloadProfile
from foreshard.model.cost import Cost
from foreshard.model.workload import RequestClass
from foreshard.profile.needs import estimate

__all__ = ["profile_of"]


def profile_of(
    state: EngineState, estimator: Profiler, classes: Sequence[RequestClass], *, at_s: float
) -> WorkloadProfile:
    """What is known of every class; no category is found from it.

    Args:
        state: Of an engine.
        estimator: Of the same engine.
        classes: That it serves, in the estimator's order.
        at_s: The moment.
    """
    told = estimate(state.workload.needs)
    rates = np.nan_to_num(quantile_rps(state.workload.demand, ahead_s=0.0, deviations=0.0))
    profiles = {}
    for k, each in enumerate(classes):
        costs = {}
        for r, resource in enumerate(estimator.resources):
            is_told = bool(told.is_told_apart[k, r])
            costs[resource] = Cost(
                per_request=float(told.needs[k, r]),
                low=float(min(told.low[k, r], told.needs[k, r])),
                high=float(max(told.high[k, r], told.needs[k, r])),
                because="" if is_told else "rests on what was declared: rates moved together",
            )
        asked = sum(
            float(rate)
            for flow, rate in zip(estimator.flows, rates, strict=True)
            if flow.request_class == each.name
        )
        profiles[each.name] = ClassProfile(
            request_class=each.name,
            costs=costs,
            depends=tuple(
                Dependence(
                    dependency=name,
                    source=DependencySource.DECLARED,
                    confidence=1.0,
                    evidence="declared",
                )
                for name in sorted(each.dependencies)
            ),
            rate_rps=asked,
        )
    return WorkloadProfile(at_s=at_s, classes=profiles)
