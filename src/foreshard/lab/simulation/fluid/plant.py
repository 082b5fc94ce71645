"""This module is the fluid core: thousands of cells, amounts of requests instead of single ones.

Each step goes once around: who asks (`arrival`, `callers`), which cell each is sent to
(`balancers`), what it meets there (`cells`), how long it takes and so what becomes of it
(`outcome`, `tries`), who asks again.

What it leaves out: single requests, so the luck of one; the memory of a cell for keys that left
and came back; and, of requests that were tried before, their mean age stands for all.
"""

from __future__ import annotations

import numpy as np

from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.effects import Effects, Floats, calm
from foreshard.lab.simulation.fluid.arrival import Arrivals
from foreshard.lab.simulation.fluid.balancers import Balancers
from foreshard.lab.simulation.fluid.callers import Callers, Ended
from foreshard.lab.simulation.fluid.cells import Cells
from foreshard.lab.simulation.fluid.outcome import Outcomes, Prospect, Sent
from foreshard.lab.simulation.fluid.sojourn import Part
from foreshard.lab.simulation.fluid.tally import Seen, Tally
from foreshard.lab.simulation.fluid.tries import Tries
from foreshard.lab.simulation.plant import Counts, Fate, Ledger
from foreshard.lab.simulation.routing import Routing
from foreshard.model.errors import LabError

__all__ = ["FluidPlant"]

TINY = 1e-12
ROUNDING_S = 1e-6
# Longest step: shorter than a check's interval and than any objective. Of many cells, where
# single steps cost most, the coarser one.
STEP_S, COARSE_STEP_S = 0.1, 0.25
MANY = 200
# Balancers' first guess of how long a request takes.
USUAL_S = 0.05


class FluidPlant:
    """Cells, requests and balancers of a scenario, in amounts.

    Args:
        scenario: What they are and what is asked; its faults are told as effects.
        seed: Of the scatter.
    """

    def __init__(self, scenario: Scenario, *, seed: int) -> None:
        classes = scenario.classes
        shape = (len(scenario.origins), len(classes), len(scenario.sites))
        self._scenario, self._shape = scenario, shape
        self._step_s = STEP_S if shape[2] < MANY else COARSE_STEP_S
        self._outcomes = Outcomes(scenario)
        self._arrivals = Arrivals(scenario, seed=seed, bin_s=self._step_s)
        self._balancers = Balancers(scenario, shape)
        self._cells = Cells(scenario)
        self._tries = Tries(shape, timeout_s=self._outcomes.timeout_s[:, 0], bin_s=self._step_s)
        self._tally = Tally(scenario)
        self._callers: Callers | None = None
        self._effects = calm(shape[2], shape[1], shape[0], connections=scenario.make.connections)
        self._now_s, self._bin, self._is_closed = 0.0, -1, False
        self._took_s = np.full(shape, USUAL_S)
        self._broken, self._due = np.zeros((2, *shape))
        self._scatter = np.ones(shape[1:])
        self._parts: tuple[Part, ...] = ()
        self._looked_busy_s = np.zeros(shape[2])

    def route(self, routing: Routing) -> None:
        """What arrives from now on is routed like this, once the control delay has passed.

        The first one holds at once: a proxy without a program has opened no door.
        """
        self._balancers.route(routing, now_s=self._now_s)
        if self._callers is None:
            scenario = self._scenario
            self._callers = Callers(
                self._shape,
                client_retries=scenario.load.client_retries,
                net=routing.net,
                proxies=scenario.proxies,
                retriable=np.array([each.retriable for each in scenario.classes]),
                timeout_s=self._outcomes.timeout_s[:, 0],
            )

    def advance(self, to_s: float, effects: Effects) -> None:
        """Let everything happen until then, under these effects.

        Raises:
            LabError: The moment lies in the past, or nothing is routed yet.
        """
        if to_s < self._now_s:
            raise LabError(
                f"simulation: cannot go back from {self._now_s} s to {to_s} s; begin a new one"
            )
        if self._callers is None:
            raise LabError("simulation: nothing is routed yet; call route() before advance()")
        self._befall(effects)
        while self._now_s < to_s - ROUNDING_S:
            number = int(self._now_s / self._step_s + ROUNDING_S)
            end_s = min(to_s, (number + 1) * self._step_s)
            end_s = self._balancers.until(self._now_s, end_s)
            self._step(self._callers, number, end_s)
            self._now_s = end_s
            self._balancers.follow(end_s)

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
            is_noticed=np.tile(self._balancers.seen, (self._shape[0], 1)),
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

    def _step(self, callers: Callers, number: int, end_s: float) -> None:
        step_s, demand = end_s - self._now_s, self._effects.demand
        is_new, self._bin = number != self._bin, number
        self._due = self._tries.due(number) if is_new else np.zeros(self._shape)
        rate_rps = self._arrivals.rate_rps(self._now_s + step_s / 2.0, demand)
        rate_rps = rate_rps * (not self._is_closed)
        fresh = rate_rps * step_s * self._arrivals.scatter(number, demand)
        shed = self._balancers.look(self._effects, now_s=self._now_s, step_s=step_s)
        asked = callers.ask(fresh, shed, step_s=step_s)
        share = self._balancers.spread(
            (asked.fresh + asked.repeated) / step_s,
            open_=self._tries.open,
            took_s=self._took_s,
            now_s=self._now_s,
            step_s=step_s,
        )
        usual = (rate_rps * step_s * (1.0 - shed))[:, :, None] * share
        if is_new:
            self._scatter = self._arrivals.spread(usual.sum(axis=0))
            self._own()
        real = share * self._scatter
        real /= np.maximum(real.sum(axis=2, keepdims=True), TINY)
        sent = Sent(
            fresh=asked.fresh[:, :, None] * real,
            again=asked.repeated[:, :, None] * real + asked.retried,
            lag_s=asked.lag_s,
        )
        prospect = self._serve(sent, usual, step_s)
        self._tally.ask(asked, now_s=self._now_s)
        ended = self._end(sent, prospect, share, number=number, step_s=step_s)
        over, age_s = callers.end(ended)
        self._tally.fate(Fate.FAILED, over, now_s=self._now_s + step_s / 2.0, age_s=age_s)
        if int(end_s + ROUNDING_S) > int(self._now_s + ROUNDING_S):
            self._draw()

    def _own(self) -> None:
        """Whose keys are whose; of free classes all keys come to all cells."""
        if self._cells.cold.is_needed:
            is_keyed = self._balancers.choice.is_keyed[:, :, None]
            mine = np.where(is_keyed, self._balancers.keyed, 1.0)
            self._cells.cold.own(mine.max(axis=0))

    def _serve(self, sent: Sent, usual: Floats, step_s: float) -> Prospect:
        """Send tries to the cells, and say what will become of them."""
        effects = self._effects
        is_taken = np.where(effects.is_up & effects.is_reachable, 1.0, 0.0)
        is_taken = is_taken * (1.0 - effects.error_ratio.T)
        passage = self._cells.step(
            effects,
            ((usual + sent.again) * is_taken).sum(axis=0),
            ((sent.fresh + sent.again) * is_taken).sum(axis=0),
            even=self._balancers.choice.even(self._tries.open, usual),
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
    ) -> Ended:
        """Let tries end; balancers are told, and everything is written down."""
        way_s, due, broken = self._outcomes.way_s, self._due, self._broken
        self._broken = np.zeros(self._shape)
        net = self._balancers.net
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
        later = ended.expired + ended.unlinked + broken
        later_s = ended.expired * (waits_s[0] + way_s)
        later_s = later_s + ended.unlinked * waits_s[1] + broken * self._took_s
        seen = Seen(
            ended=ended,
            elsewhere=refused + later,
            due=due,
            time_s=due * self._outcomes.timeout_s + later_s + refused * way_s,
        )
        unreached = (sent.fresh + sent.again) * ~self._effects.is_up + ended.unlinked
        self._tally.see(seen, prospect, now_s=self._now_s + step_s / 2.0)
        well, failed = ended.good + ended.slow, seen.elsewhere + due
        self._balancers.told(well + failed, failed, now_s=self._now_s + step_s)
        to = self._balancers.again(seen.elsewhere, share, now_s=self._now_s + step_s)
        is_lost = self._effects.is_up & ~self._effects.is_reachable
        again_s = np.where(is_lost, waits_s[1], self._took_s)
        return Ended(
            refused_fresh=_part(sent.fresh, prospect.refused),
            refused_again=_part(sent.again, prospect.refused),
            answered=well.sum(axis=2),
            late=due.sum(axis=2),
            broken=later.sum(axis=2),
            broken_s=later_s.sum(axis=2) / np.maximum(later.sum(axis=2), TINY),
            unreached=unreached.sum(axis=2) / np.maximum(seen.elsewhere.sum(axis=2), TINY),
            to=to,
            turns=step_s / np.maximum((to * again_s).sum(axis=2), TINY),
        )

    def _draw(self) -> None:
        self._tally.draw(self._parts, self._outcomes.timeout_s)


def _part(amount: Floats, share: Floats) -> Floats:
    """[O, K] mean of a share over the cells, weighted by the amounts there [O, K, C]."""
    total = amount.sum(axis=2)
    return np.asarray((amount * share).sum(axis=2) / np.maximum(total, TINY))
