"""This module is what each cell will be good for in the next seconds, to somebody who knows.

It turns the effects of coming faults into the planner's words: capacity, who can serve a class
in time at all, and what share of requests a cell would spoil. Queues are foreseen too: a class
with an objective needs idle cpus, and the fewer and slower they are the more. The tail of the
waiting time in a queue with c servers falls as `exp(-2 (1 - u) c t E[s] / E[s^2])` (heavy
traffic; Kingman 1962), so the utilisation at which one request in e^n waits longer than its
slack is `1 - n E[s^2] / (2 E[s] c t)`. That is for work that comes to a cell whatever is there,
as keyed work does; work that goes to the less busy cell evens queues out and hardly needs any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from foreshard.lab.policy.setting import Setting
from foreshard.lab.scenario.scenario import Offer
from foreshard.lab.simulation.effects import STALL_S, Bools, Effects, Floats
from foreshard.model.workload import Priority

__all__ = ["Outlook", "fullness", "outlook_of"]

# One keyed request in 250 (n = 5.5): a late checkout more weighs as much as the report that is
# shed to prevent it. Of the shop a fifth is keyed: 1.5 together, where overloads of six cells
# do the least harm (0.7 and 3 do 5 % and 10 % more).
KEYED_TAIL, FREE_TAIL = 5.5, 0.6
# However many cpus there are: arrivals are not that smooth, and a plan is a second old.
FULLEST = 0.95
# Service and dependency times of a slow request, in means: the 98 % quantile of Erlang-4.
LATE = 2.3
# Part of the connections in use on average at which hardly anybody waits for one.
CONNECTIONS_USED = 0.6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outlook:
    """The worst of the coming seconds; O origins, K classes, C cells.

    Attributes:
        cpu: [C] cpu seconds a second that may be used without queues that hurt; 0 = none.
        connections: [C] requests inside at once, in those of a healthy cell.
        in_time: [O, K, C] whether a request can be served in time at all.
        spoilt: [K, C] share of requests that would fail or stall whatever the load.
    """

    cpu: Floats
    connections: Floats
    in_time: Bools
    spoilt: Floats

    def health(self, setting: Setting, work: Floats) -> Floats:
        """[C] part of its healthy worth that each cell has left, in [0, 1].

        Args:
            setting: The fleet.
            work: [K] cpu seconds a second that are asked of each class.
        """
        served = (self.in_time.any(axis=0) * (1.0 - self.spoilt) * work[:, None]).sum(axis=0)
        whole = setting.size * FULLEST
        return np.asarray(np.minimum(1.0, self.cpu / whole) * served / max(work.sum(), 1e-12))


def fullness(cpus: Floats, grain_s: float, slack_s: Floats, *, tail: float) -> Floats:
    """Utilisation up to which waiting longer than the slack is rare; in [0, FULLEST].

    Args:
        cpus: [C] servers times speed.
        grain_s: `E[s^2] / (2 E[s])` of the work, in cpu seconds.
        slack_s: [C] what the most pressing class can wait.
        tail: One request in e^tail may wait longer.
    """
    room = np.maximum(cpus * np.maximum(slack_s, 0.0), 1e-12)
    return np.clip(1.0 - tail * grain_s / room, 0.0, FULLEST)


def outlook_of(
    setting: Setting,
    offers: Sequence[Offer],
    coming: Sequence[Effects],
    demand_rps: Floats,
    *,
    service_cv: float,
) -> Outlook:
    """The worst of several moments.

    Args:
        setting: The fleet.
        offers: [K] with what each class costs.
        coming: The moments, at least one.
        demand_rps: [O, K] for the mix of the work.
        service_cv: Of cpu times.
    """
    alive = np.min([e.is_up & e.is_reachable for e in coming], axis=0)
    speed = np.min([e.speed for e in coming], axis=0) * alive
    usable = np.min([e.connections for e in coming], axis=0) * alive
    wait_s = np.max([e.wait_s for e in coming], axis=0).T
    errors = np.max([e.error_ratio for e in coming], axis=0).T
    stalls = np.max([e.stall_ratio for e in coming], axis=0)

    cpu_s = np.array([offer.work.cpu_s for offer in offers])
    asks_s = np.array([offer.work.dependency_s for offer in offers])
    objective_s = np.array([c.objective_s for c in setting.classes])
    able = speed > 0.0
    pace = np.where(able, speed, 1.0)
    own_s = LATE * (cpu_s[:, None] / pace[None] + asks_s[:, None]) + wait_s
    away_s = 1e-3 * setting.distance_ms
    slack_s = objective_s[None, :, None] - own_s[None] - away_s[:, None, :]
    stall_hurts = slack_s.max(axis=0) <= STALL_S
    in_time = (slack_s > 0.0) & able[None, None] & setting.allowed[None]

    pressing = np.array([c.priority != Priority.SHEDDABLE for c in setting.classes])
    pressing = pressing if pressing.any() else ~pressing
    urgent = np.where(in_time & pressing[None, :, None], slack_s, np.inf).min(axis=(0, 1))
    longest = float(objective_s[pressing].max())
    rates = demand_rps.sum(axis=0)
    mean_s = float(rates @ cpu_s)
    grain_s = float(rates @ cpu_s**2) * (1.0 + service_cv**2) / max(2.0 * mean_s, 1e-12)
    slack = np.where(np.isfinite(urgent), urgent, longest)
    keyed = float((rates * cpu_s) @ setting.keyed) / max(mean_s, 1e-12)
    tail = FREE_TAIL + (KEYED_TAIL - FREE_TAIL) * keyed
    filled = fullness(setting.size * speed, grain_s, slack, tail=tail)

    # A slow class holds its connection longer; the worst one counts for all.
    healthy_s = cpu_s + asks_s
    held_s = cpu_s[:, None] / pace[None] + asks_s[:, None] + wait_s
    longer = np.where(in_time.any(axis=0), held_s / healthy_s[:, None], 1.0).max(axis=0)
    return Outlook(
        cpu=setting.size * speed * filled,
        connections=CONNECTIONS_USED * usable / longer,
        in_time=in_time,
        spoilt=1.0 - (1.0 - errors) * (1.0 - stalls[None] * stall_hurts),
    )
