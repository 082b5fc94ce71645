"""This module is all proxies together: the program they follow, and what they notice."""

from __future__ import annotations

from collections import deque

import numpy as np

from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.effects import Effects, Floats
from foreshard.lab.simulation.fluid.choice import Choice
from foreshard.lab.simulation.fluid.net import Checks, Ejections
from foreshard.lab.simulation.fluid.slots import failed_over
from foreshard.lab.simulation.routing import Routing
from foreshard.model.errors import LabError
from foreshard.model.safety_net import SafetyNet

__all__ = ["Balancers"]

ROUNDING_S = 1e-6
TINY = 1e-12


class Balancers:
    """Who sends what where.

    Args:
        scenario: With the control delay.
        shape: O, K, C.
    """

    def __init__(self, scenario: Scenario, shape: tuple[int, int, int]) -> None:
        self._scenario = scenario
        self._coming: deque[tuple[float, Routing]] = deque()
        self._choice: Choice | None = None
        self._checks = Checks(shape[2])
        self._ejections = Ejections(shape)
        self._keyed = np.zeros(shape)
        self._owns_data = np.array([each.data is not None for each in scenario.classes])

    @property
    def choice(self) -> Choice:
        """What is followed now.

        Raises:
            LabError: Nothing yet.
        """
        if self._choice is None:
            raise LabError("simulation: nothing is routed yet; call route() before advance()")
        return self._choice

    @property
    def net(self) -> SafetyNet:
        """What stands underneath."""
        return self.choice.routing.net

    @property
    def seen(self) -> Floats:
        """[C] share of the proxies that hold a cell for alive."""
        return self._checks.seen

    @property
    def keyed(self) -> Floats:
        """[O, K, C] where the keys of keyed classes go; 0 for the others."""
        return self._keyed

    def route(self, routing: Routing, *, now_s: float) -> None:
        """Follow this soon; the first one at once, for a proxy without one opens no door."""
        delay_s = 0.0 if self._choice is None else self._scenario.control_delay_s
        self._coming.append((now_s + delay_s, routing))
        self.follow(now_s)

    def follow(self, now_s: float) -> None:
        """Take up the programs whose time has come."""
        while self._coming and self._coming[0][0] <= now_s + ROUNDING_S:
            _, routing = self._coming.popleft()
            choice = Choice(self._scenario, routing)
            if self._choice is not None:
                choice.follow(self._choice, now_s=now_s)
            self._choice = choice

    def until(self, now_s: float, end_s: float) -> float:
        """When the next program is due, at most `end_s`."""
        if self._coming and self._coming[0][0] > now_s + ROUNDING_S:
            return min(end_s, self._coming[0][0])
        return end_s

    def look(self, effects: Effects, *, now_s: float, step_s: float) -> Floats:
        """Check all cells; returns the share [O, K] that is shed."""
        self._checks.step(
            self.net, is_up=effects.is_up, is_reachable=effects.is_reachable, step_s=step_s
        )
        out = self._ejections.out(now_s)
        self._keyed, shed = self.choice.keyed(self._checks.seen, out, effects.hot_ratio)
        return shed

    def spread(
        self, flow: Floats, *, open_: Floats, took_s: Floats, now_s: float, step_s: float
    ) -> Floats:
        """[O, K, C] share of each flow that each cell is sent.

        Args:
            flow: [O, K] requests a second.
            open_: [O, K, C] requests in flight.
            took_s: [O, K, C] time that one takes.
            now_s: The beginning of the step.
            step_s: Its length.
        """
        choice, used = self.choice, self.choice.routing.weight > 0.0
        able = self._checks.seen * ~self._ejections.out(now_s)
        well = (used * able).sum(axis=2, keepdims=True)
        is_panic = well < self.net.panic_ratio * used.sum(axis=2, keepdims=True)
        choice.settle(
            np.where(is_panic, 1.0, able),
            slow=choice.slow_start(self._checks.back_s, now_s=now_s),
            open_=open_,
            flow=flow,
            took_s=took_s,
            step_s=step_s,
        )
        return np.where(choice.is_keyed[:, :, None], self._keyed, choice.share)

    def again(self, at: Floats, share: Floats, *, now_s: float) -> Floats:
        """[O, K, C] shares by which tries go on that failed there.

        A free class's avoid the cell where they failed. A key's stay with its owner until that is
        held for dead or ejected, as Envoy's hash balancers take no notice of earlier tries.

        Args:
            at: [O, K, C] tries that failed.
            share: [O, K, C] of each flow that each cell is sent.
            now_s: When they go on.
        """
        to = _elsewhere(at, share)
        keyed = self.choice.is_keyed & (at.sum(axis=2) > 0.0)
        if keyed.any():
            seen, out = self._checks.seen, self._ejections.out(now_s)
            for o, k in np.argwhere(keyed).tolist():
                near = self.choice.routing.backups[k]
                to[o, k] = failed_over(at[o, k] / at[o, k].sum(), seen, out[o, k], near)
        return to

    def told(self, tries: Floats, failed: Floats, *, now_s: float) -> None:
        """Take what came of tries [O, K, C]."""
        is_keyed = self.choice.is_keyed
        ejects = ~is_keyed | (self.net.ejects_keyed & ~self._owns_data)
        self._ejections.step(
            self.net,
            tries * ejects[:, :, None],
            failed * ejects[:, :, None],
            is_compared=~is_keyed,
            now_s=now_s,
            proxies=self._scenario.proxies,
        )


def _elsewhere(at: Floats, share: Floats) -> Floats:
    """[O, K, C] where tries go that failed there, never to the same cell if there is another."""
    rest = np.maximum(0.0, 1.0 - share)
    per = np.where(rest > 1e-9, at / np.maximum(rest, 1e-9), 0.0)
    to = share * np.maximum(0.0, per.sum(axis=2, keepdims=True) - per)
    total = to.sum(axis=2, keepdims=True)
    return np.asarray(np.where(total > TINY, to / np.maximum(total, TINY), share))
