"""This module is one engine's state for another one, whose request classes are others.

What became of cells is taken over as after a restart; beyond that an engine that took its place
in flight keeps what was learned: of a class that stays, by its name; of a class that is new,
nothing is known but what was declared. The live table stays live until the next decision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from foreshard.engine.decision import Engine
from foreshard.engine.state import EngineState
from foreshard.engine.workload import Profiler, Workload
from foreshard.forecast.demand import DemandState
from foreshard.profile import needs
from foreshard.profile.burden import Burden
from foreshard.profile.serving import ServingState

__all__ = ["inherited"]

Floats = NDArray[np.float64]
T = TypeVar("T")


def inherited(state: EngineState, *, former: Engine, heir: Engine, now_s: float) -> EngineState:
    """The state that `heir` goes on from.

    Args:
        state: Of the former engine, settled.
        former: Of the same fleet and origins.
        heir: With other classes.
        now_s: The moment.
    """
    begun = heir.begin(state.table, former.memory(state), now_s=now_s)
    return replace(
        begun,
        workload=_workload(state.workload, begun.workload, former.estimator, heir.estimator),
        caution=state.caution,
        credence=state.credence,
        evacuating=state.evacuating,
        version=max(begun.version, state.version),
        judged_at_s=state.judged_at_s,
        moved=state.moved,
        refusals=state.refusals,
        unsettled=state.unsettled,
    )


def _workload(was: Workload, new: Workload, former: Profiler, heir: Profiler) -> Workload:
    flows = _places(former.flows, heir.flows)
    classes = _places(former.names, heir.names)
    kept = replace(
        new,
        demand=_demand(was.demand, new.demand, flows),
        serving=_serving(was.serving, new.serving, classes),
        burden=_burden(was.burden, new.burden, classes),
        looks=was.looks,
        seen_s=was.seen_s,
    )
    if former.resources != heir.resources:
        # What was learned is in other units.
        return kept
    return replace(
        kept,
        needs=_needs(was.needs, new.needs, classes),
        capacity=was.capacity,
        factor=was.factor,
    )


def _places(former: Sequence[T], heir: Sequence[T]) -> NDArray[np.intp]:
    """[N] where each of the heir's stood; -1 = nowhere."""
    at = {name: i for i, name in enumerate(former)}
    return np.array([at.get(name, -1) for name in heir], dtype=np.intp)


def _moved(was: Floats, new: Floats, places: NDArray[np.intp], *, axis: int) -> Floats:
    """The new array with what was known of those that stay."""
    stays = places >= 0
    moved = np.moveaxis(new.copy(), axis, 0)
    moved[stays] = np.moveaxis(was, axis, 0)[places[stays]]
    return np.moveaxis(moved, 0, axis)


def _demand(was: DemandState, new: DemandState, flows: NDArray[np.intp]) -> DemandState:
    return DemandState(
        level_rps=_moved(was.level_rps, new.level_rps, flows, axis=0),
        trend_rps2=_moved(was.trend_rps2, new.trend_rps2, flows, axis=0),
        spread_rps=_moved(was.spread_rps, new.spread_rps, flows, axis=0),
        misses=_moved(was.misses, new.misses, flows, axis=0),
        silent_s=_moved(was.silent_s, new.silent_s, flows, axis=0),
    )


def _serving(was: ServingState, new: ServingState, classes: NDArray[np.intp]) -> ServingState:
    return replace(
        was,
        objective_s=new.objective_s,
        base_s=_moved(was.base_s, new.base_s, classes, axis=0),
        class_ceiling=_moved(was.class_ceiling, new.class_ceiling, classes, axis=1),
        own_s=_moved(was.own_s, new.own_s, classes, axis=1),
        suffers=_moved(was.suffers, new.suffers, classes, axis=1),
        answered=_moved(was.answered, new.answered, classes, axis=0),
    )


def _burden(was: Burden, new: Burden, classes: NDArray[np.intp]) -> Burden:
    return Burden(
        rate_rps=_moved(was.rate_rps, new.rate_rps, classes, axis=1),
        due_rps=_moved(was.due_rps, new.due_rps, classes, axis=1),
        held_rps=_moved(was.held_rps, new.held_rps, classes, axis=1),
    )


def _needs(
    was: needs.NeedsState, new: needs.NeedsState, classes: NDArray[np.intp]
) -> needs.NeedsState:
    """What was learned of costs is what is declared now; bases are learned anew within seconds."""
    if len(was.prior.declared) == len(classes) and np.array_equal(
        classes, np.arange(len(classes))
    ):
        return was
    declared = _moved(needs.costs(was), new.prior.declared, classes, axis=0)
    prior = replace(new.prior, declared=declared, noise_sd=np.sqrt(was.noise_var))
    return replace(needs.start(prior, cells=len(was.mean_used)), factor=was.factor)
