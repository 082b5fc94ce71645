"""This module is what becomes of the tries that are sent in one step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.effects import Effects, Floats
from foreshard.lab.simulation.fluid.cells import Passage
from foreshard.lab.simulation.fluid.sojourn import Split, split
from foreshard.lab.simulation.fluid.tries import Amounts

__all__ = ["Outcomes", "Prospect", "Sent", "refusal"]

TINY = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sent:
    """Tries of one step.

    Attributes:
        fresh: [O, K, C] first tries of first requests.
        again: [O, K, C] all others.
        lag_s: [O, K] how long ago the others' requests came.
    """

    fresh: Floats
    again: Floats
    lag_s: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prospect:
    """What will become of what was sent.

    Attributes:
        refused: [K, C] share that fails at once.
        came: Amounts of the others.
        good_s, slow_s: [O, K, C] mean times of these.
        took_s: [O, K, C] mean time of a try that is let in.
        slow_lag_s: [O, K] how long before their last try slow requests came, in the mean.
    """

    refused: Floats
    came: Amounts
    good_s: Floats
    slow_s: Floats
    took_s: Floats
    slow_lag_s: Floats


def refusal(effects: Effects, passage_refused: Floats) -> tuple[Floats, Floats]:
    """[K, C] share of tries that fails at once, and share that the cell takes in."""
    error = effects.error_ratio.T
    at_door = error + (1.0 - error) * passage_refused
    refused = np.where(effects.is_up, np.where(effects.is_reachable, at_door, 0.0), 1.0)
    is_there = effects.is_up & effects.is_reachable
    return refused, np.where(is_there, 1.0 - refused, 0.0)


class Outcomes:
    """Objectives, time-outs and ways of a scenario.

    Args:
        scenario: With classes and distances.
    """

    def __init__(self, scenario: Scenario) -> None:
        classes = scenario.classes
        self._objective_s = np.array([[each.objective_s] for each in classes])
        self.timeout_s = np.array([[each.timeout_s] for each in classes])
        fleet = scenario.fleet()
        way_ms = [[fleet.distance_ms(o, cell) for cell in fleet.cells] for o in scenario.origins]
        ways_s = np.array(way_ms)[:, None, :] / 1_000.0
        # All origins alike are computed once.
        self.way_s = ways_s if ways_s.any() else ways_s[:1]

    def prospect(self, sent: Sent, passage: Passage, effects: Effects) -> Prospect:
        """Split what is sent by what will become of it."""
        refused, taken = refusal(effects, passage.refused)
        inside = taken * (1.0 - passage.expired)
        fresh, again = sent.fresh * inside, sent.again * inside
        first = self._split(passage, self._objective_s)
        both = fresh + again
        late, slow, good = both * first.late, fresh * first.slow, fresh * _good(first)
        slow_s, good_s = fresh * first.slow_s, fresh * first.good_s
        slow_lag_s = np.zeros_like(sent.lag_s)
        if again.any():
            left_s = np.maximum(0.0, self._objective_s - sent.lag_s[:, :, None])
            then = self._split(passage, left_s)
            slow, slow_s = slow + again * then.slow, slow_s + again * then.slow_s
            good, good_s = good + again * _good(then), good_s + again * then.good_s
            late_comers = (again * then.slow).sum(axis=2) / np.maximum(slow.sum(axis=2), TINY)
            slow_lag_s = sent.lag_s * late_comers
        came = Amounts(
            good=good,
            slow=slow,
            try_slow=both * first.slow,
            late=late,
            expired=(sent.fresh + sent.again) * (taken * passage.expired),
            unlinked=(sent.fresh + sent.again) * (effects.is_up & ~effects.is_reachable),
        )
        way_s = self.way_s
        return Prospect(
            refused=refused,
            came=came,
            good_s=good_s / np.maximum(good, TINY) + way_s,
            slow_s=slow_s / np.maximum(slow, TINY) + way_s,
            took_s=first.good_s + first.slow_s + first.late * self.timeout_s + way_s,
            slow_lag_s=slow_lag_s,
        )

    def _split(self, passage: Passage, objective_s: Floats) -> Split:
        return split(
            passage.parts,
            objective_s=objective_s - self.way_s,
            timeout_s=self.timeout_s - self.way_s,
        )


def _good(split_: Split) -> Floats:
    return np.maximum(0.0, 1.0 - split_.slow - split_.late)
