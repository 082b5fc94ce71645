"""This module is the last word before acting: reasons not to, and the nearest plan without them.

Guards stand after the planner and know nothing of how it works. Each compares three splits:
the *candidate*, the *live* one, and the *base*: the live one after dead and barred cells have
been removed. The base is what happens if nothing is decided, so no guard refuses it, and so no
guard can keep feeding a dying cell. A refused candidate is replaced by the furthest step from
the base towards it that all guards admit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from foreshard.model.plan import Plan, Reason
from foreshard.planning.budget import Budget
from foreshard.planning.case import TOLERANCE, Case
from foreshard.planning.objections import malformed, objections
from foreshard.planning.problem import Floats, reference_shares
from foreshard.planning.situation import Moved, Situation

__all__ = ["Admitted", "Refused", "vet"]

# 1/64 of a step is finer than any budget is meant.
BISECTIONS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """The plan may go out.

    Attributes:
        plan: It.
        step: What it moves.
    """

    plan: Plan
    step: Moved


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The plan may not go out.

    Attributes:
        reasons: Every guard that objects.
        nearest: An admissible plan on the way to it; None = leave what is live.
        step: What `nearest` moves.
    """

    reasons: tuple[Reason, ...]
    nearest: Plan | None
    step: Moved

    @property
    def is_stuck(self) -> bool:
        """Whether nothing of it goes out for a reason that does not pass within seconds."""
        return self.nearest is None and any(r.code != "guard.cooldown" for r in self.reasons)


def vet(
    candidate: Plan, live: Plan | None, situation: Situation, budget: Budget
) -> Admitted | Refused:
    """Admit a plan, or refuse it with all reasons and the nearest plan that is admissible.

    Args:
        candidate: On trial.
        live: What is live now; None when nothing ever was.
        situation: The fleet.
        budget: The bounds.
    """
    broken = malformed(candidate, situation)
    wanted = situation.shares_of(candidate)
    start = wanted if live is None else situation.shares_of(live)
    start = np.where(np.isnan(start).any(axis=1, keepdims=True), wanted, start)
    sound = not (broken or np.isnan(start).any())
    if not sound and (live is None or np.isnan(start).any()):
        return Refused(reasons=broken, nearest=None, step=Moved(at_s=situation.now_s, ratio=0.0))
    base = _stripped(start, situation)
    case = Case(
        candidate=wanted if sound else base,
        live=base if live is None else start,
        base=base,
        is_first=live is None,
        situation=situation,
        budget=budget,
    )
    reasons = broken or objections(case)
    if not reasons:
        return Admitted(plan=candidate, step=case.step)
    nearest = _nearest(case)
    unmoved = live is not None and bool(np.allclose(nearest.candidate, start, atol=1e-9))
    return Refused(
        reasons=reasons,
        nearest=None if unmoved else situation.plan_of(nearest.candidate),
        step=nearest.step,
    )


def _nearest(case: Case) -> Case:
    """The furthest admissible step from the base towards the candidate, by bisection."""
    goal = _stripped(_cooled(case), case.situation)
    best, low, high = replace(case, candidate=case.base), 0.0, 2.0
    for _ in range(BISECTIONS):
        step = (low + high) / 2.0
        trial = replace(case, candidate=case.base + min(step, 1.0) * (goal - case.base))
        if objections(trial):
            high = step
        else:
            best, low = trial, step
            if step >= 1.0:
                break
    return best


def _cooled(case: Case) -> Floats:
    """The candidate, with what cells would get back too soon given to the others instead.

    To go less far for their sake would leave work in a cell that somebody wants to relieve.
    """
    names = case.too_soon()
    soon = np.array([cell in names for cell in case.situation.cells])
    shares = case.candidate.copy()
    if not soon.any():
        return shares
    kept = np.minimum(shares[:, :-1], case.base[:, :-1])
    others = np.where(soon, 0.0, shares[:, :-1])
    takes = others.sum(axis=1, keepdims=True)
    over = np.where(soon, shares[:, :-1] - kept, 0.0).sum(axis=1, keepdims=True)
    grown = np.where(soon, kept, others * (1.0 + over / np.where(takes > 0.0, takes, 1.0)))
    shares[:, :-1] = np.where(takes > 0.0, grown, shares[:, :-1])
    return shares


def _stripped(shares: Floats, situation: Situation) -> Floats:
    """Shares after what nobody may take has gone to the others, in proportion."""
    permitted = situation.permitted
    kept = np.where(permitted, shares[:, :-1], 0.0)
    served = 1.0 - shares[:, -1]
    able = np.ones(len(situation.cells), dtype=bool)
    home = reference_shares(situation.capacity, permitted, able)
    stranded = kept.sum(axis=1) <= TOLERANCE * served
    kept = np.where(stranded[:, None], home, kept)
    scale = served / kept.sum(axis=1)
    clean = (kept == shares[:, :-1]).all(axis=1)
    scale = np.where(clean, 1.0, scale)
    return np.column_stack([kept * scale[:, None], shares[:, -1]])
