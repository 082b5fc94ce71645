"""This module is the strongest that reacts: feedback on measured harm, and shedding by class.

Each second, for every cell and class, by what the balancers counted and no forecast:

- A cell that serves a class worse than its siblings do loses part of it, the more the worse: a
  multiplicative decrease, of one class where only one suffers. Keyed classes lose slots. What
  all cells share is no reason to move anything.
- A cell whose cpus are full while its siblings' are not loses some of everything.
- A cell that refuses connections loses all.
- No class keeps less than half of the fleet's size, and a cell keeps a probe of each class, or
  nobody would see it recover.
- After a while without harm a share grows again: fast up to what it last bore well, slowly
  beyond, and only where cpus have room. Each relapse doubles the while.
- While cpus are full where the traffic is, the least important class is let in less
  (multiplicative decrease) and then again more (additive increase); the next one follows only
  when it is all gone. Critical classes are never shed.

Sources: R. Jain and D. Chiu, "Analysis of the increase and decrease algorithms for congestion
avoidance", 1989; M. Allman et al., RFC 5681 (slow-start threshold); FluxNinja Aperture
documentation, "AIMD load scheduler"; ejection back-off as Envoy's outlier detection.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from foreshard.lab.policy.program import Draft, even_shares, seated
from foreshard.lab.policy.setting import Setting
from foreshard.lab.policy.view import View
from foreshard.lab.simulation.effects import Bools, Floats
from foreshard.lab.simulation.routing import Pick
from foreshard.model.routing import SlotRow
from foreshard.model.workload import Priority

__all__ = ["ClosedLoop", "Trust", "admitted", "excess_harm", "met_by_work", "relieved", "returned"]

# Two looks: one second's counts of a cell and class are a few dozen requests.
MEMORY = 0.5
# Under this, and with fewer bad requests than this, it is chance.
HARM_RATIO, HARM_COUNT = 0.03, 1.5
# A class that fails by a third leaves at once.
DECREASE, LEAST_FACTOR = 3.0, 0.1
HOT_CPU, HOT_FACTOR = 0.95, 0.9
PROBE = 0.02
# Of a class, that must stay in place whatever is measured.
LEAST_KEPT = 0.5
HOLD_S, LONGEST_HOLD_S = 5.0, 60.0
# A second: up to this part of what was last borne well fast, then slowly.
SAFE_PART, FAST, SLOW = 0.7, 0.1, 0.02
ROOM_CPU = 0.9
# Shedding: full, nearly full, room again; what is let in is changed by so much each second.
FULL_CPU, BUSY_CPU, CALM_CPU = 0.98, 0.95, 0.90
FULL_FACTOR, BUSY_FACTOR, LET_IN = 0.3, 0.9, 0.05
# After a gap in the readings it does not make up for more than this.
LONGEST_LOOK_S = 2.0
# A class of which less than this is let in counts as gone.
GONE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trust:
    """What each cell is trusted with; K classes, C cells.

    Attributes:
        weight: [K, C] part of its even share, in [0, 1].
        borne: [K, C] the most it had before the last harm.
        strikes: [K, C] harms since it was last whole.
        rests_s: [K, C] until then it is given no more.
    """

    weight: Floats
    borne: Floats
    strikes: Floats
    rests_s: Floats


def excess_harm(bad: Floats, total: Floats) -> Floats:
    """[K, C] by how much larger a cell's share of bad requests is than its median sibling's.

    Args:
        bad: [K, C] bad requests of late.
        total: [K, C] requests of late.
    """
    ratio = np.where(total > 0.0, bad / np.maximum(total, 1e-9), np.nan)
    usual = np.zeros((len(ratio), 1))
    for k, row in enumerate(ratio):
        known = row[np.isfinite(row)]
        # The lower of two middle ones: half of a fleet in trouble is not what is usual.
        usual[k] = np.quantile(known, 0.5, method="lower") if known.size else 0.0
    excess = np.where(np.isfinite(ratio), ratio - usual, 0.0)
    return np.where((bad >= HARM_COUNT) & (excess > HARM_RATIO), excess, 0.0)


def relieved(trust: Trust, excess: Floats, hot: Bools, size: Floats, *, now_s: float) -> Trust:
    """Take from those who do harm.

    Args:
        trust: Before.
        excess: [K, C] from `excess_harm`.
        hot: [C] cells with full cpus whose siblings have room.
        size: [C].
        now_s: The moment.
    """
    factor = np.where(excess > 0.0, np.maximum(LEAST_FACTOR, 1.0 - DECREASE * excess), 1.0)
    factor = np.minimum(factor, np.where(hot, HOT_FACTOR, 1.0)[None])
    wanted = np.maximum(np.minimum(trust.weight, PROBE), trust.weight * factor)
    kept = (wanted * size).sum(axis=1, keepdims=True) / size.sum()
    lost = ((trust.weight - wanted) * size).sum(axis=1, keepdims=True) / size.sum()
    short = np.clip(LEAST_KEPT - kept, 0.0, np.maximum(lost, 0.0))
    part = 1.0 - np.where(lost > 0.0, short / np.where(lost > 0.0, lost, 1.0), 0.0)
    weight = trust.weight - part * (trust.weight - wanted)
    struck = factor < 1.0
    # One harm is one strike, however many seconds it takes to get rid of.
    fresh = struck & (now_s >= trust.rests_s)
    strikes = trust.strikes + fresh
    hold_s = np.minimum(LONGEST_HOLD_S, HOLD_S * 2.0 ** np.maximum(0.0, strikes - 1.0))
    return Trust(
        weight=weight,
        borne=np.where(fresh, trust.weight, trust.borne),
        strikes=strikes,
        rests_s=np.where(struck, now_s + hold_s, trust.rests_s),
    )


def returned(trust: Trust, has_room: Bools, *, passed_s: float, now_s: float) -> Trust:
    """Give back to those who did no harm for a while, where cpus have room.

    Args:
        trust: Before.
        has_room: [C].
        passed_s: Since the last look.
        now_s: The moment.
    """
    may = (now_s >= trust.rests_s) & has_room[None] & (trust.weight < 1.0)
    step = np.where(trust.weight < SAFE_PART * trust.borne, FAST, SLOW) * passed_s
    weight = np.minimum(1.0, trust.weight + np.where(may, step, 0.0))
    whole = weight >= 1.0
    rested = whole & (now_s >= trust.rests_s + LONGEST_HOLD_S)
    return replace(
        trust,
        weight=weight,
        borne=np.where(whole, 1.0, trust.borne),
        strikes=np.where(rested, 0.0, trust.strikes),
    )


def admitted(accept: Floats, rank: Floats, cpu: float, *, passed_s: float) -> Floats:
    """What of each class is let in.

    Args:
        accept: [K] before, in [0, 1].
        rank: [K] priority: the largest is shed first, 0 never.
        cpu: Utilisation where the traffic is; NaN = unknown, which changes nothing.
        passed_s: Since the last look.
    """
    accept = accept.copy()
    if cpu > BUSY_CPU:
        able = [k for k in np.argsort(-rank, kind="stable") if rank[k] > 0]
        for k in able:
            if accept[k] > GONE:
                same = (rank == rank[k]) & (accept > GONE)
                # Queues keep cpus full for a while; what matters more is given up gently.
                at_once = cpu > FULL_CPU and rank[k] == rank.max()
                accept[same] *= FULL_FACTOR if at_once else BUSY_FACTOR
                break
    elif cpu < CALM_CPU and (accept < 1.0).any():
        first = rank[accept < 1.0].min()
        back = (rank == first) & (accept < 1.0)
        accept[back] = np.minimum(1.0, accept[back] + LET_IN * passed_s)
    return accept


def met_by_work(cpu: Floats, size: Floats) -> float:
    """Utilisation that a mean unit of work meets: an idle cell says nothing about the busy ones.

    Args:
        cpu: [C] utilisation; NaN = unknown.
        size: [C] of each cell, as far as it is trusted.
    """
    work = np.nan_to_num(cpu) * size
    if work.sum() <= 0.0:
        return float("nan")
    return float(work @ np.nan_to_num(cpu) / work.sum())


class ClosedLoop:
    """The rule, with what was counted and whom it trusts.

    Its times are those of a control loop with queues, and so machine time at every pace: divided
    by a pace of 15 they did two to three times the harm.
    """

    def __init__(self, setting: Setting) -> None:
        _, classes, cells = setting.shape
        self._setting = setting
        self._even = even_shares(setting)
        self._trust = Trust(
            weight=np.ones((classes, cells)),
            borne=np.ones((classes, cells)),
            strikes=np.zeros((classes, cells)),
            rests_s=np.full((classes, cells), -np.inf),
        )
        self._accept = np.ones(classes)
        self._counts = np.zeros((2, classes, cells))
        self._seen_s = 0.0
        self._rows: dict[int, SlotRow] = {}
        self._draft = self._drawn()

    def decide(self, view: View) -> Draft:
        """Take, give back, shed."""
        setting, before = self._setting, (self._trust, self._accept)
        now_s = view.now_s
        passed_s = min(LONGEST_LOOK_S, max(0.0, now_s - self._seen_s))
        self._seen_s = now_s
        excess = self._excess(view)
        cpu = np.where(view.is_down, np.nan, view.cpu)
        mean = met_by_work(cpu, setting.size * self._trust.weight.mean(axis=0))
        hot = (cpu > HOT_CPU) & (mean < ROOM_CPU)
        trust = relieved(self._trust, excess, hot, setting.size, now_s=now_s)
        has_room = ~(cpu > ROOM_CPU) & ~view.is_down
        trust = returned(trust, has_room, passed_s=passed_s, now_s=now_s)
        self._trust = replace(trust, weight=np.where(view.is_down, 0.0, trust.weight))
        rank = np.array([float(c.priority - Priority.CRITICAL) for c in setting.classes])
        self._accept = admitted(self._accept, rank, mean, passed_s=passed_s)
        if not _same(before, (self._trust, self._accept)):
            self._draft = self._drawn()
        return self._draft

    def _excess(self, view: View) -> Floats:
        """[K, C] harm of late that has not ended yet."""
        heard = np.isfinite(view.rate_rps)
        if not heard.any():
            return np.zeros(self._trust.weight.shape)
        rate = np.where(heard, view.rate_rps, 0.0)
        ratio = np.where(heard, view.bad_ratio, 0.0)
        self._counts = MEMORY * self._counts + np.array([ratio * rate, rate])
        return np.where(ratio > HARM_RATIO, excess_harm(*self._counts), 0.0)

    def _drawn(self) -> Draft:
        setting = self._setting
        likes = self._even * self._trust.weight[None]
        total = likes.sum(axis=2, keepdims=True)
        share = np.where(total > 0.0, likes / np.where(total > 0.0, total, 1.0), self._even)
        for k in np.flatnonzero(setting.keyed).tolist():
            refused = float(1.0 - self._accept[k])
            self._rows[k] = seated(setting, self._rows.get(k), share[0, k], refused)
        shed = np.repeat((1.0 - self._accept)[None], len(setting.origins), axis=0)
        return Draft(
            share=share,
            free=Pick.LEAST_REQUEST,
            slots=dict(self._rows),
            shed=shed,
            net=setting.net,
        )


def _same(before: tuple[Trust, Floats], after: tuple[Trust, Floats]) -> bool:
    return np.array_equal(before[0].weight, after[0].weight) and np.array_equal(
        before[1], after[1]
    )
