"""This module is what balancers bear witness of: whom to trust with how much, and why."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from foreshard.engine.state import EngineState
from foreshard.model.plan import Reason
from foreshard.model.telemetry import Observation
from foreshard.model.topology import Fleet
from foreshard.planning.brief import Estimate, Ground
from foreshard.planning.harm import HarmCount, Verdict
from foreshard.planning.policy import Policy
from foreshard.planning.problem import Flags, Floats
from foreshard.planning.shunning import Stage
from foreshard.planning.trust import Trial, Trust, trusted

__all__ = ["distrusted", "heard", "limits"]


def heard(
    state: EngineState,
    estimate: Estimate,
    observation: Observation,
    ground: Ground,
    *,
    serves: Flags,
    policy: Policy,
) -> tuple[Trust, tuple[Reason, ...]]:
    """The trust after one look, and why it changed.

    Args:
        state: With the trust before, and what was counted in the look.
        estimate: Demand, needs, capacity.
        observation: When, and over how long was counted.
        ground: Fleet, classes, flows.
        serves: [C] who takes work.
        policy: Timings.
    """
    trust, now_s = state.trust, observation.now_s
    count = state.workload.count
    if count is None:
        return trust, ()
    classes = tuple(ground.classes.values())
    bounds = np.isfinite(estimate.capacity).all(axis=0)
    capacity = estimate.capacity[:, bounds]
    work = estimate.demand_rps @ estimate.needs[:, bounds]
    trial = Trial(
        twice=np.array([c.retriable for c in classes]),
        weight=np.array([c.weight for c in classes]),
        size=(capacity / capacity.mean(axis=0)).min(axis=1),
        used=float((work / capacity.sum(axis=0)).max()),
        serves=serves,
        suspected=_suspected(state, ground),
        rest_s=policy.prove_s,
        longest_rest_s=max(policy.shun_s, policy.prove_s),
        warm_s=policy.warm_s,
    )
    harm = HarmCount(
        rate_rps=count.rate_rps, failed_ratio=count.failed_ratio, slow_ratio=count.slow_ratio
    )
    after, verdict = trusted(trust, harm, trial, now_s=now_s, dt_s=observation.interval_s)
    if after.is_full and trust.is_full:
        return after, ()
    names = tuple(c.name for c in classes)
    return after, _told(trust, after, verdict, (ground.fleet.names, names), now_s=now_s)


def _suspected(state: EngineState, ground: Ground) -> Flags:
    """[C, K] classes that a forecast has taken off a cell."""
    found = np.zeros(state.trust.part.shape, dtype=np.bool_)
    names = list(ground.classes)
    for (request_class, cell), off in state.shuns.items():
        if off.stage is not Stage.SUSPECT and request_class in ground.classes:
            found[ground.fleet.index[cell], names.index(request_class)] = True
    return found


def distrusted(trust: Trust, fleet: Fleet) -> frozenset[str]:
    """Cells that are trusted with less than their share of something."""
    return frozenset(fleet.names[c] for c in np.flatnonzero(trust.doubted).tolist())


def limits(trust: Trust, ground: Ground) -> Floats | None:
    """[F, C] of its usual share that a cell may have of a flow; None = all of it, everywhere."""
    if trust.is_full:
        return None
    index = {name: k for k, name in enumerate(ground.classes)}
    return np.asarray(trust.part.T[[index[f.request_class] for f in ground.flows]])


def _told(
    before: Trust,
    after: Trust,
    verdict: Verdict,
    names: tuple[Sequence[str], Sequence[str]],
    *,
    now_s: float,
) -> tuple[Reason, ...]:
    found: list[Reason] = []
    cells, classes = names
    for c in np.flatnonzero((before.part != after.part).any(axis=1)).tolist():
        less = np.flatnonzero(after.part[c] < before.part[c]).tolist()
        first = np.flatnonzero((after.part[c] > before.part[c]) & (before.part[c] <= 0.0))
        if less:
            found.append(_taken(after, verdict, cells[c], classes, c, less, now_s=now_s))
        elif first.size:
            who = ", ".join(classes[k] for k in first.tolist())
            text = f"has rested; {who} tried there with a small share"
            found.append(Reason(subject=cells[c], code="harm.tried", text=text))
        elif (after.part[c] >= 1.0).all():
            text = "does no harm any more; it has its full share again"
            found.append(Reason(subject=cells[c], code="harm.over", text=text))
    return tuple(found)


def _taken(
    after: Trust,
    verdict: Verdict,
    cell: str,
    classes: Sequence[str],
    c: int,
    less: Sequence[int],
    *,
    now_s: float,
) -> Reason:
    worst = int(np.argmax(verdict.excess[c]))
    does = "fail" if verdict.fails[c, worst] else "are late"
    excess, part = float(verdict.excess[c, worst]), float(after.part[c, less].max())
    who = "all its work" if after.whole[c] else ", ".join(classes[k] for k in less) + " alone"
    leaves = "leaves at once" if part <= 0.0 else f"is held to {part:.0%} of its share"
    text = (
        f"{excess:.0%} more of {classes[worst]} {does} there than in its siblings; {who} "
        f"{leaves}, for {after.rests_s[c].max() - now_s:.0f} s at least"
    )
    facts = {"excess": round(excess, 4), "part": round(part, 4)}
    if after.whole[c]:
        return Reason(subject=cell, code="harm.cell", text=text, facts=facts)
    return Reason(subject=cell, code="harm.class", text=text, facts=facts)
