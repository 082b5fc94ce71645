"""This module is what each cell is trusted with, by what became of its requests.

Failures are an observation, not an opinion: a cell that fails what its siblings serve loses the
work at once, all of it, outside of any budget, and before any forecast is asked. Delay may be
the cell's load: what is late there is taken away in proportion, until it is late no more (AIMD:
Jain and Chiu 1989). One class goes alone where it suffers alone.

It returns by trial. After a rest that doubles with every relapse, the classes that a balancer
may ask twice are tried first, at a tenth, for their failures cost nobody anything; what may be
asked only once follows when they have gone well. A share then grows evenly over `warm_s`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from foreshard.planning.harm import Harm, HarmCount, Verdict, counted_harm, judged, no_harm
from foreshard.planning.problem import Flags, Floats

__all__ = ["Trial", "Trust", "full_trust", "trusted"]

# A class that is late by a third of its requests keeps a tenth a look.
DECREASE, LEAST_FACTOR = 3.0, 0.1
# Less than this of a share is none: it would tell nothing and hurt somebody.
GONE = 0.05
# The first trial, and how far it must have gone before what may be asked only once follows.
FIRST, PROVEN = 0.1, 0.25
# Utilisation up to which the rest may be led by what leaves a cell that fails.
ROOM = 0.92
# Of each class, this part of the fleet's size stays trusted whatever is seen.
LEAST_KEPT = 0.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trust:
    """What each cell is trusted with; C cells, K classes.

    Attributes:
        harm: What was counted.
        part: [C, K] of its usual share that a cell may have, in [0, 1].
        strikes: [C, K] harms since it was last whole for long.
        rests_s: [C, K] until then it is given no more.
        whole: [C] whether the cell was judged as a whole last.
    """

    harm: Harm
    part: Floats
    strikes: Floats
    rests_s: Floats
    whole: Flags

    @property
    def is_full(self) -> bool:
        """Whether nothing is held against anybody."""
        return not (self.part < 1.0).any()

    @property
    def doubted(self) -> Flags:
        """[C] cells that are trusted with less than their share of something."""
        return np.asarray((self.part < 1.0).any(axis=1))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """What does not change from look to look, or comes from elsewhere.

    Attributes:
        twice: [K] classes that a balancer may ask twice.
        weight: [K] of a bad request.
        size: [C] of each cell, > 0.
        used: Utilisation of the fleet, were all of it trusted.
        serves: [C] who takes work; what others do is another matter.
        suspected: [C, K] whom something else is held against: less is enough to believe it.
        rest_s: First rest, before a first trial; it doubles with each relapse.
        longest_rest_s: And the longest; so long without harm makes of a relapse a first one.
        warm_s: From the first trial to a full share.
    """

    twice: Flags
    weight: Floats
    size: Floats
    used: float
    serves: Flags
    suspected: Flags
    rest_s: float
    longest_rest_s: float
    warm_s: float


def full_trust(cells: int, classes: int) -> Trust:
    """Nothing was seen yet."""
    shape = (cells, classes)
    return Trust(
        harm=no_harm(cells, classes),
        part=np.ones(shape),
        strikes=np.zeros(shape),
        rests_s=np.full(shape, -np.inf),
        whole=np.zeros(cells, dtype=np.bool_),
    )


def trusted(
    trust: Trust, count: HarmCount, trial: Trial, *, now_s: float, dt_s: float
) -> tuple[Trust, Verdict]:
    """The trust after one look, and what that look was judged to say."""
    harm = counted_harm(trust.harm, count, dt_s=dt_s)
    verdict = judged(harm, count, (trust.part < 1.0) | trial.suspected)
    grown = _grown(replace(trust, harm=harm), trial, now_s=now_s, dt_s=dt_s)
    return _cut(grown, verdict, trial, now_s=now_s), verdict


def _cut(trust: Trust, verdict: Verdict, trial: Trial, *, now_s: float) -> Trust:
    """Take from those who do harm."""
    sick = (verdict.fails | verdict.delays) & trial.serves[:, None]
    if not sick.any():
        return trust
    factor = np.where(sick, np.maximum(LEAST_FACTOR, 1.0 - DECREASE * verdict.excess), 1.0)
    spare = _spare(trust, verdict, trial)[:, None]
    factor = np.where(sick & verdict.fails & spare, 0.0, factor)
    # A cell that is on trial as a whole fails it as a whole, whoever is tried.
    is_whole = verdict.whole | (trust.whole & trust.doubted)
    whole = is_whole[:, None]
    factor = np.where(whole, factor.min(axis=1, keepdims=True), factor)
    struck = sick | (whole & sick.any(axis=1, keepdims=True))
    wanted = trust.part * factor
    wanted = np.where(wanted < GONE, 0.0, wanted)
    part = _enough(trust.part, wanted, trial.size)
    fresh = struck & (now_s >= trust.rests_s)
    strikes = trust.strikes + fresh
    doubled = trial.rest_s * 2.0 ** np.maximum(0.0, strikes - 1.0)
    rest_s = np.minimum(trial.longest_rest_s, doubled)
    return replace(
        trust,
        harm=trust.harm.without(struck),
        part=part,
        strikes=strikes,
        rests_s=np.where(struck, now_s + rest_s, trust.rests_s),
        whole=np.where(sick.any(axis=1), is_whole, trust.whole),
    )


def _spare(trust: Trust, verdict: Verdict, trial: Trial) -> Flags:
    """[C] whose work the rest can carry under `ROOM`, the worst first, one after the other."""
    found = np.zeros(trial.size.size, dtype=np.bool_)
    part = trial.size / trial.size.sum() * trust.part.mean(axis=1)
    left = float(part.sum())
    worst = verdict.excess.max(axis=1)
    for c in np.argsort(-worst, kind="stable").tolist():
        if worst[c] <= 0.0 or trial.used > ROOM * (left - part[c]):
            break
        found[c] = True
        left -= float(part[c])
    return found


def _enough(before: Floats, wanted: Floats, size: Floats) -> Floats:
    """[C, K] no class loses more of the fleet than may be lost."""
    kept = size @ wanted / size.sum()
    lost = size @ (before - wanted) / size.sum()
    short = np.clip(LEAST_KEPT - kept, 0.0, np.maximum(lost, 0.0))
    granted = 1.0 - np.where(lost > 0.0, short / np.where(lost > 0.0, lost, 1.0), 0.0)
    return np.asarray(before - granted * (before - wanted))


def _grown(trust: Trust, trial: Trial, *, now_s: float, dt_s: float) -> Trust:
    """Give back to those who rested and did no harm since."""
    if trust.is_full and not trust.strikes.any():
        return trust
    leads = trial.twice if trial.twice.any() else trial.weight <= trial.weight.min()
    # Where a cell was judged as a whole, the others follow those that lead.
    proven = (np.where(leads, trust.part, np.inf).min(axis=1) >= PROVEN)[:, None]
    follows = trust.whole[:, None] & ~leads & ~proven & (trust.part < FIRST)
    may = (now_s >= trust.rests_s) & ~follows
    step = np.maximum(FIRST, trust.part + dt_s / max(trial.warm_s, 1e-9))
    part = np.where(may & (trust.part < 1.0), np.minimum(1.0, step), trust.part)
    over_s = trust.rests_s + trial.warm_s + trial.longest_rest_s
    forgiven = (part >= 1.0) & (now_s >= over_s)
    return replace(trust, part=part, strikes=np.where(forgiven, 0.0, trust.strikes))
