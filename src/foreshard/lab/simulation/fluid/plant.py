"""This module is the fluid core: thousands of cells, amounts of requests instead of single ones.

Each step goes once around: who asks (`arrival`, `callers`), which cell each is sent to
(`choice`, `net`), what it meets there (`cells`), how long it takes and so what becomes of it
(`sojourn`, `tries`), who asks again.

What it leaves out: single requests, so the luck of one; the memory of a cell for keys that left
and come back; and, of requests that were tried before, their mean age stands for all.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.effects import Effects, Floats, calm
from foreshard.lab.simulation.fluid.arrival import Arrivals
from foreshard.lab.simulation.fluid.callers import Callers, Ended
from foreshard.lab.simulation.fluid.cells import Cells
from foreshard.lab.simulation.fluid.choice import Choice
from foreshard.lab.simulation.fluid.net import Checks, Ejections
from foreshard.lab.simulation.fluid.outcome import Outcomes, Prospect, Sent
from foreshard.lab.simulation.fluid.sojourn import Part
from foreshard.lab.simulation.fluid.tally import Seen, Tally
from foreshard.lab.simulation.fluid.tries import Tries
from foreshard.lab.simulation.plant import Counts, Fate, Ledger
from foreshard.lab.simulation.routing import Routing
from foreshard.model.errors import LabError

__all__ = ["FluidPlant"]

TINY = 1e-12
# Longest step: shorter than a check's interval and than any objective. Of many cells, where
# single steps cost most, the coarser one.
STEP_S, COARSE_STEP_S = 0.1, 0.25
MANY = 200
ROUNDING_S = 1e-6


class FluidPlant:
    """Cells, requests and balancers of a scenario, in amounts.

    Args:
        scenario: What they are and what is asked.
        seed: Of the scatter.
    """

    def __init__(self, scenario: Scenario, *, seed: int) -> None:
        self._scenario = scenario
        classes = scenario.classes
        self._shape = (len(scenario.origins), len(classes), len(scenario.sites))
        self._step_s = STEP_S if len(scenario.sites) < MANY else COARSE_STEP_S
        self._outcomes = Outcomes(scenario)
        self._timeout_s = self._outcomes.timeout_s[:, 0]
        self._arrivals = Arrivals(scenario, seed=seed, bin_s=self._step_s)
        self._cells = Cells(scenario)
        self._checks = Checks(self._shape[2])
        self._ejections = Ejections(self._shape)
        self._tries = Tries(self._shape, timeout_s=self._timeout_s, bin_s=self._step_s)
        self._tally = Tally(scenario)
        self._coming: deque[tuple[float, Routing]] = deque()
        self._choice: Choice | None = None
        self._callers: Callers | None = None
        self._effects = calm(
            self._shape[2],
            self._shape[1],
            self._shape[0],
            connections=scenario.make.connections,
        )
        self._now_s, self._bin, self._is_closed = 0.0, -1, False
        self._took_s = np.full(self._shape, 0.05)
        self._broken = np.zeros(self._shape)
        self._due = np.zeros(self._shape)
        self._spread = np.ones(self._shape[1:])
        self._parts: tuple[Part, ...] = ()
        self._looked_busy_s = np.zeros(self._shape[2])

    def route(self, routing: Routing) -> None:
        """What arrives from now on is routed like this, once the control delay has passed.

        The first one holds at once: a proxy without a program has opened no door.
        """
        delay_s = 0.0 if self._choice is None else self._scenario.control_delay_s
        self._coming.append((self._now_s + delay_s, routing))
        self._follow()

    def advance(self, to_s: float, effects: Effects) -> None:
        """Let everything happen until then, under these effects.

        Raises:
            LabError: The moment lies in the past, or nothing is routed yet.
        """
        if to_s < self._now_s:
            raise LabError(
                f"simulation: cannot go back from {self._now_s} s to {to_s} s; begin a new one"
            )
        self._befall(effects)
        while self._now_s < to_s - ROUNDING_S:
            number = int(self._now_s / self._step_s + ROUNDING_S)
            end_s = min(to_s, (number + 1) * self._step_s)
            if self._coming and self._coming[0][0] > self._now_s + ROUNDING_S:
                end_s = min(end_s, self._coming[0][0])
            self._step(number, end_s)
            self._now_s = end_s
            self._follow()

    def count(self) -> Counts:
        """What was seen since the last call."""
        tally, busy_s = self._tally, self._cells.busy_s
        cells_first = (0, 2, 1)
        counts = Counts(
            arrived=tally.arrived,
            shed=tally.shed,
            tries=tally.tries.transpose(cells_first),
            failed=tally.failed.transpose(cells_first),
            slow=tally.slow.transpose(cells_first),
            latency_s=tally.latency_s.transpose(cells_first),
            in_flight=self._tries.open.transpose(cells_first),
            busy_s=busy_s - self._looked_busy_s,
            inside=self._cells.inside,
            waiting=self._cells.waiting,
            is_noticed=np.tile(self._checks.seen, (self._shape[0], 1)),
        )
        self._looked_busy_s = busy_s
        tally.clear()
        return counts

    def ledger(self) -> Ledger:
        """What became of all requests so far; those still open are not in it."""
        return self._tally.ledger()

    def close(self) -> Ledger:
        """Let what is open end (nothing arrives any more), and return the whole ledger."""
        self._is_closed = True
        while self._callers is not None and not self._callers.is_idle:
            self.advance(self._now_s + 1.0, self._effects)
        self._draw()
        return self.ledger()

    def _follow(self) -> None:
        """Take up the programs whose time has come."""
        while self._coming and self._coming[0][0] <= self._now_s + ROUNDING_S:
            _, routing = self._coming.popleft()
            choice = Choice(self._scenario, routing)
            if self._choice is not None:
                choice.follow(self._choice, now_s=self._now_s)
            self._choice = choice
            if self._callers is None:
                classes = self._scenario.classes
                self._callers = Callers(
                    self._shape,
                    client_retries=self._scenario.load.client_retries,
                    net=routing.net,
                    proxies=self._scenario.proxies,
                    retriable=np.array([each.retriable for each in classes]),
                    timeout_s=self._timeout_s,
                )

    def _befall(self, effects: Effects) -> None:
        """Deaths and starts since the last effects."""
        died = self._effects.is_up & ~effects.is_up
        began = ~self._effects.is_up & effects.is_up
        self._effects = effects
        if died.any():
            self._cells.end(died)
            self._broken += self._tries.end(died)
        if began.any():
            self._cells.start(began)

    def _step(self, number: int, end_s: float) -> None:
        choice, callers = self._choice, self._callers
        if choice is None or callers is None:
            raise LabError("simulation: nothing is routed yet; call route() before advance()")
        step_s, effects = end_s - self._now_s, self._effects
        self._due = np.zeros(self._shape) if number == self._bin else self._tries.due(number)
        self._checks.step(
            choice.routing.net,
            is_up=effects.is_up,
            is_reachable=effects.is_reachable,
            step_s=step_s,
        )
        rate = self._arrivals.rate_rps(self._now_s + step_s / 2.0, effects.demand)
        rate = rate * (not self._is_closed)
        fresh = rate * step_s * self._arrivals.scatter(number, effects.demand)
        keyed, shed = choice.keyed(self._checks.seen, effects.hot_ratio)
        asked = callers.ask(fresh, shed, step_s=step_s)
        self._settle(choice, (asked.fresh + asked.repeated) / step_s, step_s)
        share = np.where(choice.is_keyed[:, :, None], keyed, choice.share)
        usual = (rate * step_s * (1.0 - shed))[:, :, None] * share
        if number != self._bin:
            self._bin = number
            self._spread = self._arrivals.spread(usual.sum(axis=0))
            self._own(choice, keyed)
        real = share * self._spread
        real /= np.maximum(real.sum(axis=2, keepdims=True), TINY)
        again = asked.repeated[:, :, None] * real + asked.retried
        sent = Sent(fresh=asked.fresh[:, :, None] * real, again=again, lag_s=asked.lag_s)
        prospect = self._serve(sent, usual, step_s)
        self._tally.arrived += asked.arrived
        self._tally.shed += asked.shed
        self._tally.fate(Fate.SHED, asked.shed, now_s=self._now_s, age_s=asked.shed_lag_s)
        self._end(sent, prospect, share, number=number, step_s=step_s)

    def _settle(self, choice: Choice, flow: Floats, step_s: float) -> None:
        net, used = choice.routing.net, choice.routing.weight > 0.0
        able = self._checks.seen * ~self._ejections.out(self._now_s)
        well = (used * able).sum(axis=2, keepdims=True)
        able = np.where(well < net.panic_ratio * used.sum(axis=2, keepdims=True), 1.0, able)
        choice.settle(
            able,
            slow=choice.slow_start(self._checks.back_s, now_s=self._now_s),
            open_=self._tries.open,
            flow=flow,
            took_s=self._took_s,
            step_s=step_s,
        )

    def _own(self, choice: Choice, keyed: Floats) -> None:
        """Whose keys are whose; of free classes all keys come to all cells."""
        if self._cells.cold.is_needed:
            is_keyed = choice.is_keyed[:, :, None]
            self._cells.cold.own(np.where(is_keyed, keyed, 1.0).max(axis=0))

    def _serve(self, sent: Sent, usual: Floats, step_s: float) -> Prospect:
        """Send tries to the cells, and say what will become of them."""
        effects = self._effects
        is_taken = np.where(effects.is_up & effects.is_reachable, 1.0, 0.0)
        is_taken = is_taken * (1.0 - effects.error_ratio.T)
        passage = self._cells.step(
            effects,
            ((usual + sent.again) * is_taken).sum(axis=0),
            ((sent.fresh + sent.again) * is_taken).sum(axis=0),
            step_s=step_s,
        )
        self._parts = passage.parts
        prospect = self._outcomes.prospect(sent, passage, effects)
        self._took_s = np.broadcast_to(prospect.took_s, self._shape)
        came = prospect.came.good + prospect.came.slow
        self._tally.came(came, self._outcomes.way_s, now_s=self._now_s)
        return prospect

    def _end(
        self, sent: Sent, prospect: Prospect, share: Floats, *, number: int, step_s: float
    ) -> None:
        """Let tries end, and tell everybody who is told."""
        assert self._callers is not None
        assert self._choice is not None
        net, way_s, due, broken = (
            self._choice.routing.net,
            self._outcomes.way_s,
            self._due,
            self._broken,
        )
        self._broken = np.zeros(self._shape)
        waits_s = np.array([self._scenario.make.pool_wait_s, net.connect_timeout_s])
        ended = self._tries.step(
            prospect.came,
            good_s=prospect.good_s,
            slow_s=prospect.slow_s,
            waits_s=waits_s,
            number=number,
            step_s=step_s,
        )
        refused = (sent.fresh + sent.again) * prospect.refused
        elsewhere = refused + ended.expired + ended.unlinked + broken
        seen = Seen(
            ended=ended,
            elsewhere=elsewhere,
            due=due,
            time_s=due * self._timeout_s[:, None]
            + ended.expired * (waits_s[0] + way_s)
            + ended.unlinked * waits_s[1]
            + refused * way_s
            + broken * self._took_s,
        )
        self._tally.see(seen, prospect, now_s=self._now_s + step_s / 2.0)
        is_free = ~self._choice.is_keyed[:, :, None]
        failed = (elsewhere + due) * is_free
        self._ejections.step(
            net,
            (ended.good + ended.slow) * is_free + failed,
            failed,
            now_s=self._now_s + step_s,
            proxies=self._scenario.proxies,
        )
        later = ended.expired + ended.unlinked + broken
        over, age_s = self._callers.end(
            Ended(
                refused_fresh=_part(sent.fresh, prospect.refused),
                refused_again=_part(sent.again, prospect.refused),
                answered=(ended.good + ended.slow).sum(axis=2),
                late=due.sum(axis=2),
                broken=later.sum(axis=2),
                broken_s=_part(
                    later, (seen.time_s - due * self._timeout_s[:, None]) / np.maximum(later, TINY)
                ),
                at=elsewhere,
                share=share,
                turns=step_s / np.maximum(_part(sent.fresh, self._took_s), TINY),
            )
        )
        self._tally.fate(Fate.FAILED, over, now_s=self._now_s + step_s / 2.0, age_s=age_s)
        if int(self._now_s + step_s + ROUNDING_S) > int(self._now_s + ROUNDING_S):
            self._draw()

    def _draw(self) -> None:
        self._tally.draw(self._parts, self._timeout_s[:, None])


def _part(amount: Floats, share: Floats) -> Floats:
    """[O, K] mean of a share over the cells, weighted by the amounts there [O, K, C]."""
    total = amount.sum(axis=2)
    return np.asarray((amount * share).sum(axis=2) / np.maximum(total, TINY))
