"""This module is the engine: pure, so that every decision can be replayed and explained.

`Engine.step` has no I/O, no clock and no randomness of its own: the same inputs give the same
decision, bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from foreshard.engine.credence import believed, no_credence
from foreshard.engine.custodian import Custodian
from foreshard.engine.ledger import (
    CHANGED,
    alternatives,
    class_leaves,
    evacuations,
    half_leaves,
    is_of_others,
    is_worth_it,
    lightened,
    situation_of,
    step_of,
    takers,
    untried,
)
from foreshard.engine.memory import (
    begun,
    is_remembered_alike,
    memory_of,
    recall,
    recall_handovers,
    recall_trust,
)
from foreshard.engine.question import pose
from foreshard.engine.scrutiny import (
    about_fleet,
    all_look_dead,
    believe,
    blindness,
    cautious,
    change_freeze,
    corrected,
    staleness,
)
from foreshard.engine.state import EngineState
from foreshard.engine.strain import refusals, strains
from foreshard.engine.witness import distrusted, heard
from foreshard.engine.workload import Profiler
from foreshard.model.forecast import Forecast
from foreshard.model.plan import Act, Decision, Hold, Plan, Reason
from foreshard.model.routing import RoutingTable
from foreshard.model.telemetry import Observation
from foreshard.model.topology import Fleet
from foreshard.model.workload import Flow, RequestClass
from foreshard.planning.bounds import takes_work
from foreshard.planning.brief import Estimate, Ground, plan_from, shares_of
from foreshard.planning.budget import Budget
from foreshard.planning.guards import Admitted, vet
from foreshard.planning.lifecycle import Outlook, live_on
from foreshard.planning.policy import Policy
from foreshard.planning.problem import Flags, Problem
from foreshard.planning.removal import even_plan, fitted, without
from foreshard.planning.shunning import shun
from foreshard.planning.solver import Solver, SolveStatus
from foreshard.planning.table import kept_to, plan_of, table_of

__all__ = ["Engine"]

# Steps older than this no longer count against the budget.
REMEMBERED_S = 3_600.0
# The design's number: one refusal is a guard at work, three in a row are a disagreement.
ALARMING_REFUSALS = 3


class Engine:
    """Decides; see the module.

    Args:
        fleet: The cells.
        classes: In order of match.
        origins: Regions in which balancers stand.
        default_class: Class of requests that match none.
        solver: Plans.
        policy: How patient to be.
        budget: Bounds on acting.

    Attributes:
        profiler: What estimates demand, costs and capacity; the lab tries others.
    """

    profiler: ClassVar[type[Profiler]] = Profiler

    def __init__(
        self,
        *,
        fleet: Fleet,
        classes: Sequence[RequestClass],
        origins: Sequence[str],
        default_class: str,
        solver: Solver,
        policy: Policy,
        budget: Budget,
    ) -> None:
        self._fleet = fleet
        self._classes = tuple(classes)
        self._default_class = default_class
        self._solver = solver
        self._policy = policy
        self._budget = budget
        self._profiler = self.profiler(fleet, classes, origins)
        self._custodian = Custodian(fleet, classes, restart_s=policy.restart_patience_s)
        self._ground = Ground(
            fleet=fleet,
            classes={c.name: c for c in classes},
            flows=tuple(Flow(o, c.name) for o in sorted(origins) for c in classes),
            resources=self._profiler.resources,
        )

    @property
    def estimator(self) -> Profiler:
        """What estimates demand, costs and capacity here."""
        return self._profiler

    def begin(
        self, live: RoutingTable | None, remembered: Mapping[str, Any], *, now_s: float
    ) -> EngineState:
        """The first state: what is live stays live, what is remembered of cells is kept.

        A cell that the live table gives nothing, and of which nothing is remembered, has to
        prove itself before it gets traffic again.

        Args:
            live: The table that balancers serve now; None = none was ever committed.
            remembered: As `memory` returned it; may be empty.
            now_s: The moment.
        """
        ground = self._ground
        plan = None
        if live is not None:
            plan = fitted(plan_of(live), self._fleet, ground.flows, ground.classes)
        kept, shuns, caution, factor = recall(remembered, self._fleet)
        cells = begun(kept, plan, self._fleet, now_s=now_s)
        state = EngineState(
            cells=cells,
            shuns=shuns,
            workload=self._profiler.begin(factor),
            caution=caution,
            trust=recall_trust(remembered, self._fleet, tuple(self._ground.classes)),
            credence=no_credence(len(self._fleet.cells)),
            table=live,
            plan=plan,
            version=live.version if live else 0,
            handovers=recall_handovers(remembered),
            muster=self._custodian.muster(cells, {}, now_s=now_s),
        )
        return self._custodian.settled(state, live)

    def adopt(self, state: EngineState, live: RoutingTable | None) -> EngineState:
        """The state after it was learned anew what is live; all else is kept."""
        adopted = replace(
            state,
            table=live,
            plan=plan_of(live) if live is not None else None,
            version=max(state.version, live.version if live is not None else 0),
            pending=None,
            pending_moved=None,
            unsettled=False,
        )
        return self._custodian.settled(adopted, state.table)

    def memory(self, state: EngineState) -> Mapping[str, Any]:
        """What must survive a restart, as JSON values."""
        return memory_of(state, self._fleet, tuple(self._ground.classes))

    def remembers_alike(self, one: EngineState, other: EngineState) -> bool:
        """Whether `memory` is known to be the same for both."""
        return is_remembered_alike(one, other)

    def holdings(self, state: EngineState) -> tuple[Ground, Estimate, Flags]:
        """The fleet, what is known of demand and capacity, and [C] which cells take work."""
        estimate = self._profiler.estimate(state.workload)
        return self._ground, estimate, takers(state.cells, self._ground)

    def step(
        self, state: EngineState, observation: Observation, forecast: Forecast | None
    ) -> tuple[EngineState, Decision]:
        """One decision.

        Args:
            state: From the step before, or `begin`.
            observation: The newest look at the fleet; never older than in the step before.
            forecast: The newest forecast, whatever its age; None = there is none.
        """
        credence, observation, odd, doubts = believed(state.credence, observation, self._fleet)
        observation, contradicted = corrected(observation, state.cells, self._budget)
        before = state.workload
        workload = self._profiler.update(before, observation, state.plan)
        state = replace(
            state, workload=workload, credence=credence, pending=None, pending_moved=None
        )
        estimate = self._profiler.estimate(workload)
        now_s, stale_s = observation.now_s, self._budget.stale_s
        belief = believe(
            forecast,
            state,
            self._ground,
            policy=self._policy,
            budget=self._budget,
            now_s=now_s,
            without=odd,
        )
        # A forecast that is distrusted takes no class off a cell either, and renews no shift.
        judgement = belief.judgement if belief.distrust is None else None
        alarms = [
            belief.distrust,
            all_look_dead(observation, state.cells),
            staleness(forecast, now_s=now_s, stale_s=stale_s),
        ]
        freeze = change_freeze(observation)
        outlook = Outlook(
            observation=observation,
            judgement=judgement,
            affordable=half_leaves(state, estimate, self._ground, self._budget),
            distrusts_forecast=alarms[0] is not None or freeze is not None,
            distrusts_deaths=alarms[1] is not None,
            max_evacuations=self._budget.max_evacuations,
            holding=self._custodian.holding(state.table),
            distrusted=distrusted(state.trust, self._fleet),
            untried=untried(state, estimate, self._ground),
        )
        cells, reasons, recycle = live_on(state.cells, outlook, self._policy)
        takes = takers(cells, self._ground)
        trust, harm_reasons = heard(
            state, estimate, observation, self._ground, serves=takes, policy=self._policy
        )
        shuns, class_reasons = shun(
            state.shuns,
            classes=self._ground.classes,
            observation=observation,
            judgement=judgement,
            policy=self._policy,
            affordable=class_leaves(state, estimate, self._ground, self._budget),
            is_steady=trust.is_full,
        )
        strained = strains(before, workload, self._fleet, self._classes)
        alarmed = [alarm for alarm in alarms if alarm is not None]
        told = (*harm_reasons, *strained, *class_reasons, *belief.reasons, *alarmed)
        reasons = (*doubts, *contradicted, *reasons, *told)
        heeded, thresholds = forecast if judgement else None, self._policy.thresholds
        state = replace(
            state,
            cells=cells,
            shuns=shuns,
            trust=trust,
            judged_at_s=forecast.made_at_s if belief.judgement and forecast else state.judged_at_s,
            evacuating=evacuations(state, cells, estimate, self._ground, observation),
            caution=cautious(
                state, estimate, observation, heeded, self._ground, thresholds=thresholds
            ),
        )
        state, answers = self._custodian.hear(state, observation)
        state, more, others = self._route(state, estimate, observation)
        if is_of_others(state, self._classes, self._default_class):
            assert state.plan is not None  # noqa: S101 - it is of a live table
            state, more = self._pend(state, state.plan), (*more, CHANGED)
        pending = state.pending
        because = (
            *reasons,
            *answers,
            *more,
            *refusals(state.plan, pending[1] if pending else None),
        )
        if pending and not because:
            because = (step_of(state, distrusted(state.trust, self._fleet)),)
        plan = pending[1] if pending else state.plan
        assert plan is not None  # noqa: S101 - _route makes a first plan where there is none
        return state, Decision(
            now_s=observation.now_s,
            routing=Act(table=pending[0], because=because) if pending else Hold(because=because),
            plan=plan,
            recycle=tuple(r for r in recycle if r.cell not in self._fleet.peers),
            alternatives=others,
            phases={name: str(cell.phase) for name, cell in cells.items()},
            notices=self._custodian.notices(state),
            intents=() if outlook.distrusts_forecast else belief.intents,
        )

    def settle(self, state: EngineState, *, applied: bool) -> EngineState:
        """The state after the sink answered, or did not.

        Args:
            state: From `step`.
            applied: Whether the table is live. False = not as far as is known: until the next
                observation says that tables are refused, or `adopt` what is live, or a table is
                applied, slots of data that it moves may be here or there.
        """
        if state.pending is None:
            return state
        table, plan = state.pending
        moved = state.pending_moved
        settled = replace(state, pending=None, pending_moved=None)
        if not applied:
            unsettled = state.unsettled or self._custodian.moves(state.table, table)
            return replace(settled, unsettled=unsettled)
        steps = state.moved
        if moved is not None:
            kept = (m for m in steps if m.at_s > moved.at_s - REMEMBERED_S)
            steps = (*kept, moved)
        settled = replace(settled, table=table, plan=plan, moved=steps, unsettled=False)
        return self._custodian.settled(settled, state.table)

    def _route(
        self, state: EngineState, estimate: Estimate, observation: Observation
    ) -> tuple[EngineState, tuple[Reason, ...], tuple[Reason, ...]]:
        """Make a table pending, or leave the live one; with reasons and alternatives."""
        gone = frozenset(n for n, cell in state.cells.items() if not takes_work(cell))
        live = state.plan
        if live is None:
            plan = even_plan(self._fleet, self._ground.flows, self._ground.classes, gone)
            text = "nothing was live: every cell gets the same until more is known"
            return self._pend(state, plan), (about_fleet("plan.first", text),), ()
        held = blindness(
            observation,
            state.cells,
            is_trusted=state.workload.is_trusted,
            stale_s=self._budget.stale_s,
            peers=self._fleet.peers | observation.lost,
        )
        held = held or change_freeze(observation)
        if held is None:
            problem = pose(
                state,
                estimate,
                observation,
                self._ground,
                policy=self._policy,
                budget=self._budget,
            )
            problem, solution, state, asks = self._custodian.solve(problem, state, self._solver)
            state = replace(state, prices=solution.prices)
            if solution.status is SolveStatus.OPTIMAL:
                candidate = plan_from(solution, self._ground, problem.upper > 0.0)
                state, more, others = self._vetted(
                    state, estimate, observation, problem, candidate
                )
                return state, (*asks, *more), others
            text = f"no plan was found ({solution.status}); dead cells leave, all else stays"
            held = about_fleet("plan.not_found", text)
        kept = without(live, gone, self._fleet, self._ground.classes)
        return self._pend(state, kept), (held,), ()

    def _vetted(
        self,
        state: EngineState,
        estimate: Estimate,
        observation: Observation,
        problem: Problem,
        candidate: Plan,
    ) -> tuple[EngineState, tuple[Reason, ...], tuple[Reason, ...]]:
        """The candidate pending if it is worth it and admissible, else the nearest that is."""
        shares = shares_of(candidate, self._ground)
        if not is_worth_it(problem, shares) and not self._custodian.is_due(state):
            return replace(state, refusals=0), (), ()
        seen = situation_of(state, estimate, self._ground, observation)
        situation = self._custodian.situated(seen, state)
        verdict = vet(candidate, state.plan, situation, self._budget)
        others, lighter = alternatives(problem, shares), lightened(state, problem, shares)
        if isinstance(verdict, Admitted):
            kept = replace(state, refusals=0, pending_moved=verdict.step)
            return self._pend(kept, verdict.plan), lighter, others
        stuck = state.refusals + 1 if verdict.is_stuck else 0
        state = replace(state, refusals=stuck, pending_moved=verdict.step)
        reasons = (*lighter, *verdict.reasons)
        if state.refusals >= ALARMING_REFUSALS:
            text = f"guards refused {state.refusals} plans in a row whole; a person should look"
            reasons = (*reasons, about_fleet("guard.refuses", text))
        if verdict.nearest is None:
            return replace(state, pending_moved=None), reasons, others
        return self._pend(state, verdict.nearest), reasons, others

    def _pend(self, state: EngineState, plan: Plan) -> EngineState:
        """The state with the plan's table pending, unless it is what is live."""
        table = table_of(
            plan,
            version=state.version + 1,
            fleet=self._fleet,
            classes=self._classes,
            default_class=self._default_class,
            previous=state.table,
            custodians=self._custodian.place(plan, state),
        )
        if state.table is not None and replace(table, version=state.table.version) == state.table:
            return replace(state, pending_moved=None)
        return replace(state, pending=(table, kept_to(plan, table)), version=table.version)
