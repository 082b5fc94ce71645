"""This module is what the fleet is asked for and what that costs, as estimated so far.

It joins five estimators: demand per flow, needs per class, how much more than its siblings each
cell uses for the same work, what its queue says that it can serve, and what arrives there beyond
its share of the keys. The effective capacity that a plan may count on is the declared one divided
by that factor, never more than the queue says, and less what a plan cannot move.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from foreshard.engine.counted import Counted, counted, gauged, or_none, sane
from foreshard.forecast import demand
from foreshard.model.plan import Plan
from foreshard.model.telemetry import CellReading, Observation
from foreshard.model.topology import Fleet
from foreshard.model.workload import Flow, RequestClass
from foreshard.planning.brief import LEAST_SHARE, Estimate
from foreshard.planning.problem import Flags, Floats
from foreshard.planning.slots import slot_count_for
from foreshard.planning.spread import lay_out
from foreshard.profile import needs
from foreshard.profile.burden import Burden, beyond_rps, start_burden, update_burden
from foreshard.profile.look import Look
from foreshard.profile.serving import ServingState, start_serving, update_serving

__all__ = ["Profiler", "Workload"]

# Averages are trusted after so many looks.
TRUSTED_LOOKS = 8
# A cell within this of its siblings is taken for their equal: noise must not move keys.
FACTOR_BAND = 0.12
# What a request of unknown cost is taken to need, as a share of a cell's second.
UNKNOWN_COST = 0.01
# How far a cost may be off that was declared, and one that nobody declared, as a part of it: the
# second rests on what cells use almost alone.
DECLARED_SD, UNDECLARED_SD = 0.5, 10.0
BASE_RATIO, NOISE_RATIO = 0.05, 0.1
# Demand is planned for its middle: the ceilings hold the reserve for what is above it.
AHEAD_S = 5.0
# A cell that says it is so many times as large as the median of the fleet is believed no further:
# a limit read from the host in place of the container would pull all work there. One that says it
# is small is believed much further: if it lies, the others have its work, which fits by size.
MOST_LARGER, MOST_SMALLER = 2.0, 8.0
# A factor that is believed is believed until it has changed by this much more: a plan follows the
# world, not every reading.
FACTOR_STEP = 0.08
# Arrivals beyond so many times what is known of them, and some, are a broken counter.
MOST_UNEXPLAINED, UNEXPLAINED_RPS = 10.0, 1_000.0
# Who is held low still gets so many of a table's least shares: one may be rounded away.
SEEN_SHARES = 2.0
# A cell that one key fills is planned with as if it had so much room left.
LEAST_ROOM = 0.05
# A peer region that grants nothing is as large as this part of a cell: a capacity must be above 0.
LEAST_GRANT = 1e-6
# No resource comes in such an amount, in whatever unit.
BOUNDLESS = 1e30
# A request that is thought to cost nothing still has to be counted as something.
LEAST_WORK = 1e-6
# Nobody is asked for fifty times what there is: a broken counter would be remembered as what
# requests cost, and the fleet would shed for minutes.
MOST_ASKED = 50.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Workload:
    """What is known so far.

    Attributes:
        demand: State of the demand estimator, flows in the profiler's order.
        needs: State of the needs estimator.
        capacity: [C, R] declared by the cells, NaN = never heard.
        factor: [C, R] how much more each cell uses than its siblings, as it is acted upon: 1
            within a band, then held until it has moved a step.
        serving: What cells can really serve, by their queues.
        burden: What cells get beyond their share of keys.
        looks: Observations in which balancers and most cells were heard.
        seen_s: Time of the last observation; NaN before the first.
        count: What balancers saw last; None before the first observation.
    """

    demand: demand.DemandState
    needs: needs.NeedsState
    capacity: Floats
    factor: Floats
    serving: ServingState
    burden: Burden
    looks: int = 0
    seen_s: float = float("nan")
    count: Counted | None = None

    @property
    def is_trusted(self) -> bool:
        """Whether enough was seen to plan with."""
        return self.looks >= TRUSTED_LOOKS and bool(self.is_offered.any())

    @property
    def is_offered(self) -> Flags:
        """[R] resources of which some cell said what it offers; the others bound nothing."""
        return np.asarray(np.isfinite(self.capacity).any(axis=0))


class Profiler:
    """Turns observations into a workload; holds only what never changes.

    Args:
        fleet: The cells.
        classes: Their declared needs are the prior.
        origins: Regions in which balancers stand.
    """

    def __init__(
        self, fleet: Fleet, classes: Sequence[RequestClass], origins: Sequence[str]
    ) -> None:
        self._fleet = fleet
        self._classes = tuple(classes)
        self.flows = tuple(Flow(o, c.name) for o in sorted(origins) for c in classes)
        declared = [frozenset(c.declared.per_request) for c in classes]
        told = [names for names in declared if names]
        common = frozenset.intersection(*told) if told else frozenset[str]()
        self.resources = tuple(sorted(common)) or ("cpu",)
        self._declared = self._prior()
        slot = 1.0 / slot_count_for(len(fleet.cells))
        self._least_shares = np.array(
            [max(LEAST_SHARE, slot if c.is_keyed else 0.0) for c in self._classes]
        )
        self.names = tuple(c.name for c in classes)
        self._class_of_flow = np.array([self.names.index(f.request_class) for f in self.flows])
        self._is_peer = np.array([cell.is_peer for cell in fleet.cells])
        self._is_keyed = np.array([c.is_keyed for c in self._classes])
        # The newest plan as shares: read once for each plan, not once for each look.
        self._read: tuple[Plan | None, Floats] = (None, np.zeros((0, 0)))

    def begin(self, factor: Mapping[str, Floats] | None = None) -> Workload:
        """A workload that rests on what was declared, and on remembered factors by cell."""
        cells, resources = len(self._fleet.cells), len(self.resources)
        mean = self._declared.mean(axis=0)
        prior = needs.NeedsPrior(
            declared=self._declared,
            base_sd=BASE_RATIO * mean / UNKNOWN_COST,
            noise_sd=NOISE_RATIO * mean / UNKNOWN_COST,
            relative_sd=np.array(
                [DECLARED_SD if c.declared.per_request else UNDECLARED_SD for c in self._classes]
            ),
        )
        return Workload(
            demand=demand.start(len(self.flows)),
            needs=needs.start(prior, cells=cells),
            capacity=np.full((cells, resources), np.nan),
            factor=np.array(
                [
                    known
                    if (known := (factor or {}).get(name)) is not None
                    and known.shape == (resources,)
                    else np.ones(resources)
                    for name in self._fleet.names
                ]
            ),
            serving=start_serving(np.array([c.objective_s for c in self._classes]), cells=cells),
            burden=start_burden(cells, len(self._classes)),
        )

    def update(
        self, workload: Workload, observation: Observation, live: Plan | None = None
    ) -> Workload:
        """Take in one observation; what is missing in it changes nothing but its own certainty.

        Args:
            workload: From the observation before.
            observation: The newest.
            live: The plan by which requests were sent; None = there was none.
        """
        dt_s = max(observation.interval_s, 1e-3)
        believable = _is_believable(observation)
        asked = [self._offered(observation, f) if believable else np.nan for f in self.flows]
        readings = [observation.cells[name] for name in self._fleet.names]
        count = counted(readings, self.names)
        rates, used, capacity = self._told(count, readings, workload.capacity, dt_s=dt_s)
        telling = np.where(workload.serving.is_soaked[:, None], np.nan, used)
        state = needs.update(workload.needs, rates, telling, dt_s=dt_s)
        factor = state.factor.factor
        spoke = np.isfinite(used[:, np.isfinite(capacity).any(axis=0)]).all(axis=1)
        heard = (
            believable
            and observation.demand_rps is not None
            and 2 * int((spoke & ~self._is_peer).sum()) > int((~self._is_peer).sum())
        )
        after = replace(
            workload,
            demand=demand.update(workload.demand, np.array(asked), dt_s=dt_s),
            needs=state,
            capacity=capacity,
            # What is remembered holds until enough was seen to know better.
            factor=_held(workload.factor, factor) if workload.is_trusted else workload.factor,
            looks=workload.looks + heard,
            seen_s=observation.now_s,
            count=replace(count, rate_rps=rates),
        )
        due = self._due(live, np.array(asked))
        keyed = np.where(self._is_keyed, rates, 0.0)
        after = replace(after, burden=update_burden(after.burden, keyed, due, dt_s=dt_s))
        look = self._look(after, observation, used, needs.costs(state))
        return replace(after, serving=update_serving(workload.serving, look, dt_s=dt_s))

    def estimate(self, workload: Workload) -> Estimate:
        """What a plan is made with; declared figures where nothing better is known."""
        asked = demand.quantile_rps(workload.demand, ahead_s=AHEAD_S, deviations=0.0)
        costs = needs.costs(workload.needs)
        capacity, typical = _by_gauges(workload, self._is_peer)
        size = (capacity / typical).min(axis=1)
        serves = workload.serving.effective(size) / size
        served = capacity * serves[:, None]
        beyond = beyond_rps(workload.burden) @ costs
        return Estimate(
            demand_rps=np.nan_to_num(asked),
            needs=costs[self._class_of_flow],
            capacity=np.maximum(served - beyond, LEAST_ROOM * served),
            most_rps=workload.serving.class_ceiling.T[self._class_of_flow],
        )

    def _look(
        self,
        workload: Workload,
        observation: Observation,
        used: Floats,
        told: Floats,
    ) -> Look:
        """What balancers and gauges say of queues; work in mean cells' seconds."""
        capacity, typical = _by_gauges(workload, self._is_peer)
        count = workload.count
        assert count is not None  # noqa: S101 - set in the update that asks
        sent = [np.nan] * len(self._classes)
        if observation.demand_rps is not None:
            sent = [0.0] * len(self._classes)
            for flow, k in zip(self.flows, self._class_of_flow.tolist(), strict=True):
                shed = sane(observation.shed_rps.get(flow, 0.0))
                sent[k] += float(np.maximum(self._offered(observation, flow) - shed, 0.0))
        return Look(
            rate_rps=count.rate_rps,
            failed_ratio=count.failed_ratio,
            latency_s=count.latency_s,
            in_flight=count.in_flight,
            busy=np.fmax.reduce(used / workload.capacity, axis=1),
            capacity=(capacity / typical).min(axis=1),
            work=np.maximum((told / typical).max(axis=1), LEAST_WORK),
            sent_rps=np.array(sent),
            least_rps=SEEN_SHARES * self._least_shares * np.nan_to_num(np.array(sent)),
        )

    def _due(self, live: Plan | None, asked: Floats) -> Floats:
        """[C, K] what the plan gave cells of keyed classes; 0 of the others, NaN = not known."""
        due = np.full((len(self._fleet.names), len(self._classes)), np.nan)
        due[:, ~self._is_keyed] = 0.0
        if live is None:
            return due
        if self._read[0] is not live:
            self._read = live, self._given(live)
        for k in np.flatnonzero(self._is_keyed).tolist():
            of_class = self._class_of_flow == k
            due[:, k] = asked[of_class] @ self._read[1][of_class]
        return due

    def _given(self, live: Plan) -> Floats:
        """[F, C] shares of keyed classes."""
        shares = np.zeros((len(self.flows), len(self._fleet.names)))
        for f, flow in enumerate(self.flows):
            split = live.splits.get(flow)
            if split is not None and self._is_keyed[self._class_of_flow[f]]:
                lay_out(split, self._fleet.index, shares[f])
        return shares

    def _offered(self, observation: Observation, flow: Flow) -> float:
        """What arrives of a flow; NaN where nobody counts a class that is answered."""
        offered = observation.demand_rps
        if offered is None:
            return np.nan
        if flow in offered:
            return sane(offered[flow])
        name = flow.request_class
        if any(f.request_class == name for f in offered):
            return 0.0
        seen = [(r.traffic or {}).get(name) for r in observation.cells.values()]
        return np.nan if any(t is not None and t.rate_rps > 0.0 for t in seen) else 0.0

    def _prior(self) -> Floats:
        """[K, R] declared needs; a class of unknown cost gets the mean of the others."""
        rows = [
            [c.declared.per_request.get(r, np.nan) for r in self.resources] for c in self._classes
        ]
        declared = np.array(rows)
        positive = np.where(declared > 0.0, declared, np.nan)
        has_any = np.isfinite(positive).any(axis=0)
        mean = np.where(
            has_any, np.nanmean(np.where(has_any, positive, 1.0), axis=0), UNKNOWN_COST
        )
        return np.where(np.isfinite(positive), positive, mean)

    def _told(
        self, count: Counted, readings: Sequence[CellReading], before: Floats, *, dt_s: float
    ) -> tuple[Floats, Floats, Floats]:
        """Rates [C, K], used [C, R] and declared capacity [C, R]; NaN = not heard."""
        said = gauged(readings, self.resources, newest_s=1.5 * dt_s)
        capacity = np.where(np.isnan(said.capacity), before, said.capacity)
        offered = np.where(np.isfinite(capacity), capacity, np.inf)
        rates = count.rate_rps.copy()
        rates[(rates @ self._declared > MOST_ASKED * offered).any(axis=1)] = np.nan
        return rates, said.used, capacity


def _by_gauges(workload: Workload, is_peer: Flags) -> tuple[Floats, Floats]:
    """[C, R] what cells offer, less what they need beyond their siblings; [R] the median's.

    A resource of which no cell says what it offers bounds nothing, if another one does. A peer
    region is no sibling: what it grants is taken as it is, and what it never granted is nothing.
    """
    known = np.where(np.isfinite(workload.capacity), workload.capacity, np.nan)
    heard = np.isfinite(known)
    kin = heard & ~is_peer[:, None]
    boundless = kin.any() & ~kin.any(axis=0)
    typical = np.where(boundless, BOUNDLESS, 1.0)
    for r in np.flatnonzero(kin.any(axis=0)):
        said = np.sort(known[kin[:, r], r])
        typical[r] = (said[(said.size - 1) // 2] + said[said.size // 2]) / 2.0
    believed = np.clip(known, typical / MOST_SMALLER, typical * MOST_LARGER)
    offered = np.where(heard, believed, np.where(boundless, np.inf, typical))
    grant = np.where(np.isfinite(known), known, np.where(boundless, np.inf, 0.0))
    grant = np.maximum(grant, LEAST_GRANT * typical)
    offered = np.where(is_peer[:, None], grant, offered)
    return offered / workload.factor, typical


def _is_believable(observation: Observation) -> bool:
    """Whether what arrived was answered, refused or is open: nothing else can become of it."""
    readings = observation.cells.values()
    rates = [t.rate_rps for reading in readings for t in (reading.traffic or {}).values()]
    answered = sum(rate for rate in rates if 0.0 <= rate < np.inf)
    refused = sum(or_none(rate) for rate in observation.shed_rps.values())
    still_open = sum(or_none(reading.in_flight) for reading in readings)
    arrived = sum((observation.demand_rps or {}).values())
    span_s = max(observation.interval_s, 1e-3)
    explained = answered + refused + still_open / span_s
    return not arrived > MOST_UNEXPLAINED * explained + UNEXPLAINED_RPS


def _held(held: Floats, now: Floats) -> Floats:
    """The factor to act upon, given the one acted upon so far.

    Never under 1: a cell that looks better than its siblings is not given more for it.
    """
    now = np.maximum(now, 1.0)
    apart = np.log(now)
    stepped = np.abs(np.log(now / held)) > np.log1p(FACTOR_STEP)
    calm = apart < np.log1p(0.5 * FACTOR_BAND)
    moves = stepped & ((held != 1.0) | (apart > np.log1p(FACTOR_BAND)))
    kept: Floats = np.where(calm, 1.0, np.where(moves, now, held))
    return kept
