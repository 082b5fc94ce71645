"""This module is the engine: pure, so that every decision can be replayed and explained.

`Engine.step` has no I/O, no clock and no randomness of its own: the same inputs give the same
decision, bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from foreshard.engine.state import EngineState, cells_as_json, cells_from_json
from foreshard.engine.workload import Profiler
from foreshard.model.forecast import Forecast
from foreshard.model.plan import Act, Decision, Hold, Plan, Reason
from foreshard.model.routing import RoutingTable
from foreshard.model.telemetry import Fresh, Health, Observation
from foreshard.model.topology import Fleet
from foreshard.model.workload import Flow, RequestClass
from foreshard.planning.bounds import OUT, caps_of, takes_work
from foreshard.planning.brief import Ground, load_risk_of, plan_from, problem_of, shares_of
from foreshard.planning.budget import Budget
from foreshard.planning.guards import Admitted, vet
from foreshard.planning.judgement import Judgement, cell_doubts, class_doubts
from foreshard.planning.lifecycle import Outlook, live_on
from foreshard.planning.phases import CellState, Phase, Why
from foreshard.planning.policy import Policy
from foreshard.planning.problem import Flags, Problem, reference_shares, work_of
from foreshard.planning.removal import even_plan, without
from foreshard.planning.shunning import shun
from foreshard.planning.situation import Evacuation, Moved, Situation
from foreshard.planning.solver import Solver
from foreshard.planning.table import plan_of, table_of
from foreshard.planning.true_cost import expected_bad

__all__ = ["Engine"]

# A share that would change by less than this part of a mean cell's share stays where it is:
# moving it costs more than it brings.
DEAD_BAND = 0.08
# Rounding of shares to slots and weights.
ROUNDING = 2e-3
# Steps older than this no longer count against the budget.
REMEMBERED_S = 120.0


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
    """

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
        self._profiler = Profiler(fleet, classes, origins)
        self._ground = Ground(
            fleet=fleet,
            classes={c.name: c for c in classes},
            flows=tuple(Flow(o, c.name) for o in sorted(origins) for c in classes),
            resources=self._profiler.resources,
        )

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
        plan = plan_of(live) if live is not None else None
        kept = cells_from_json(remembered)
        cells = {}
        for name in self._fleet.names:
            used = plan is None or any(s.share(name) > 0.0 for s in plan.splits.values())
            fresh = CellState(phase=Phase.ACTIVE if used else Phase.RECYCLING, since_s=now_s)
            cells[name] = kept.get(name, fresh)
        return EngineState(
            cells=cells,
            workload=self._profiler.begin(),
            table=live,
            plan=plan,
            version=live.version if live else 0,
        )

    def memory(self, state: EngineState) -> Mapping[str, Any]:
        """What must survive a restart, as JSON values."""
        return cells_as_json(state.cells)

    def step(
        self, state: EngineState, observation: Observation, forecast: Forecast | None
    ) -> tuple[EngineState, Decision]:
        """One decision.

        Args:
            state: From the step before, or `begin`.
            observation: The newest look at the fleet; never older than in the step before.
            forecast: The newest forecast, whatever its age; None = there is none.
        """
        workload = self._profiler.update(state.workload, observation)
        state = replace(state, workload=workload, pending=None, pending_moved=None)
        judgement = self._judge(state, observation, forecast)
        panic = self._panic(state, observation, judgement)
        outlook = Outlook(
            observation=observation,
            judgement=judgement,
            affordable=lambda cell: self._is_affordable(state, cell, part=0.5),
            panic=panic is not None,
        )
        cells, reasons, recycle = live_on(state.cells, outlook, self._policy)
        shuns, class_reasons = shun(
            state.shuns,
            classes=self._ground.classes,
            observation=observation,
            judgement=judgement,
            policy=self._policy,
        )
        reasons = (*reasons, *class_reasons, *((panic,) if panic else ()))
        state = replace(
            state,
            cells=cells,
            shuns=shuns,
            judged_at_s=forecast.made_at_s if judgement and forecast else state.judged_at_s,
            evacuating=self._evacuating(state, cells, observation.now_s),
        )
        state, more, alternatives = self._route(state, observation, forecast)
        because = (*reasons, *more)
        pending = state.pending
        plan = pending[1] if pending else state.plan
        assert plan is not None  # noqa: S101 - _route makes a first plan where there is none
        return state, Decision(
            now_s=observation.now_s,
            routing=Act(table=pending[0], because=because) if pending else Hold(because=because),
            plan=plan,
            recycle=recycle,
            alternatives=alternatives,
            phases={name: str(cell.phase) for name, cell in cells.items()},
        )

    def settle(self, state: EngineState, *, applied: bool) -> EngineState:
        """The state after the sink answered; a refused table leaves the live one in place."""
        if state.pending is None:
            return state
        table, plan = state.pending
        moved = state.pending_moved
        settled = replace(state, pending=None, pending_moved=None)
        if not applied:
            return settled
        steps = tuple(m for m in state.moved if moved and m.at_s > moved.at_s - REMEMBERED_S)
        return replace(settled, table=table, plan=plan, moved=(*steps, *((moved,) if moved else ())))

    def _judge(
        self, state: EngineState, observation: Observation, forecast: Forecast | None
    ) -> Judgement | None:
        """What a forecast that was not judged before holds against whom."""
        if forecast is None or forecast.made_at_s <= state.judged_at_s:
            return None
        if observation.now_s - forecast.made_at_s > self._budget.stale_s:
            return None
        serving = [name for name, cell in sorted(state.cells.items()) if takes_work(cell)]
        thresholds = self._policy.thresholds
        return Judgement(
            cells=cell_doubts(forecast, serving=serving, floor=thresholds.relent_p),
            classes=class_doubts(forecast, serving=serving, thresholds=thresholds),
        )

    def _panic(
        self, state: EngineState, observation: Observation, judgement: Judgement | None
    ) -> Reason | None:
        """More trouble at once than is believable: then the instruments are distrusted."""
        limit = self._budget.believable_failures * len(state.cells)
        dead = sum(1 for r in observation.cells.values() if r.health is Health.DOWN)
        likely = self._policy.thresholds.doubt_p
        doubted = sum(1 for d in judgement.cells.values() if d.p_long >= likely) if judgement else 0
        if max(dead, doubted) <= limit:
            return None
        what = f"{dead} cells look dead" if dead > limit else f"{doubted} cells are said to fail"
        text = f"{what} out of {len(state.cells)}, more than is believable; no cell is taken out"
        return Reason(subject="fleet", code="guard.panic", text=text)

    def _takes(self, state: EngineState) -> Flags:
        return np.array([takes_work(state.cells[name]) for name in self._fleet.names])

    def _is_affordable(self, state: EngineState, cell: str, *, part: float) -> bool:
        """Whether the rest could carry `part` of a cell's share under the ceiling."""
        estimate = self._profiler.estimate(state.workload)
        takes = self._takes(state)
        c = self._fleet.index[cell]
        takes[c] = True
        work = estimate.demand_rps @ estimate.needs
        own = estimate.capacity[c] / estimate.capacity[takes].sum(axis=0) * work
        takes[c] = False
        if not takes.any():
            return False
        left = work - (1.0 - part) * own
        used = left / estimate.capacity[takes].sum(axis=0)
        return float(np.nanmax(used)) <= self._budget.rest_ceiling

    def _evacuating(
        self, state: EngineState, cells: Mapping[str, CellState], now_s: float
    ) -> Mapping[str, Evacuation]:
        """Who is being evacuated, with what each carried before it began."""
        found = {}
        for name, cell in cells.items():
            if cell.phase is Phase.ACTIVE or cell.phase is Phase.WARMING:
                continue
            before = state.evacuating.get(name)
            if before is not None and before.why is cell.why:
                found[name] = before
                continue
            carried = float("nan")
            if state.plan is not None:
                situation = self._situation(state, None, now_s)
                shares = shares_of(state.plan, self._ground)
                carried = float(situation.traffic(shares)[self._fleet.index[name]])
            found[name] = Evacuation(since_s=now_s, why=cell.why, share_before=carried)
        return found

    def _situation(
        self, state: EngineState, observation: Observation | None, now_s: float
    ) -> Situation:
        estimate = self._profiler.estimate(state.workload)
        readings = observation.cells if observation else {}
        barred = {
            n
            for n, cell in state.cells.items()
            if cell.phase in OUT and not (cell.phase is Phase.DRAINED and cell.why is Why.FORECAST)
        }
        return Situation(
            now_s=now_s,
            cells=self._fleet.names,
            flows=self._ground.flows,
            eligible=self._ground.eligible(),
            demand_rps=estimate.demand_rps,
            weight=np.array([self._ground.classes[f.request_class].weight for f in self._ground.flows]),
            needs=estimate.needs,
            capacity=estimate.capacity,
            health={n: r.health for n, r in readings.items()},
            telemetry_age_s={
                n: r.reading.age_s for n, r in readings.items() if isinstance(r.reading, Fresh)
            },
            barred=frozenset(barred),
            evacuating=state.evacuating,
            moved=state.moved,
        )

    def _route(
        self, state: EngineState, observation: Observation, forecast: Forecast | None
    ) -> tuple[EngineState, tuple[Reason, ...], tuple[Reason, ...]]:
        """Make a table pending, or leave the live one; with reasons and alternatives."""
        now_s = observation.now_s
        gone = frozenset(n for n, cell in state.cells.items() if not takes_work(cell))
        if state.plan is None:
            plan = even_plan(self._fleet, self._ground.flows, self._ground.classes, gone)
            text = "nothing was live: every cell gets the same until more is known"
            return self._pend(state, plan), (_about_fleet("plan.first", text),), ()
        if (blind := self._blindness(state, observation)) is not None:
            return self._pend(state, without(state.plan, gone)), (blind,), ()
        problem = self._problem(state, forecast, now_s)
        solution = self._solver.solve(problem)
        if not solution.has_plan:
            text = f"the planner found no plan ({solution.status}); dead cells leave, all else stays"
            lost = _about_fleet("plan.not_found", text)
            return self._pend(state, without(state.plan, gone)), (lost,), ()
        candidate = plan_from(solution, self._ground)
        if not _is_worth_it(problem, shares_of(candidate, self._ground)):
            return state, (), ()
        verdict = vet(candidate, state.plan, self._situation(state, observation, now_s), self._budget)
        alternatives = self._alternatives(problem, candidate)
        moved = Moved(at_s=now_s, ratio=verdict.moved_ratio)
        if isinstance(verdict, Admitted):
            state = replace(state, refusals=0, pending_moved=moved)
            return self._pend(state, verdict.plan), (), alternatives
        state = replace(state, refusals=state.refusals + 1, pending_moved=moved)
        reasons = verdict.reasons
        if state.refusals >= 3:
            text = f"{state.refusals} plans in a row were refused by guards; a person should look"
            reasons = (*reasons, _about_fleet("guard.refuses", text))
        if verdict.nearest is None:
            return replace(state, pending_moved=None), reasons, alternatives
        return self._pend(state, verdict.nearest), reasons, alternatives

    def _pend(self, state: EngineState, plan: Plan) -> EngineState:
        """The state with the plan's table pending, unless it is what is live."""
        table = table_of(
            plan,
            version=state.version + 1,
            fleet=self._fleet,
            classes=self._classes,
            default_class=self._default_class,
            previous=state.table,
        )
        if state.table is not None and replace(table, version=state.table.version) == state.table:
            return replace(state, pending_moved=None)
        return replace(state, pending=(table, plan), version=table.version)

    def _blindness(self, state: EngineState, observation: Observation) -> Reason | None:
        """Why there is too little to plan with; None when there is enough."""
        serving = [n for n, cell in sorted(state.cells.items()) if takes_work(cell)]
        silent = [n for n in serving if not self._is_heard(observation, n)]
        if observation.demand_rps is None:
            what = "the balancers are silent"
        elif 2 * len(silent) > len(serving):
            what = f"{len(silent)} of {len(serving)} serving cells are silent"
        elif not state.workload.is_trusted:
            what = "demand and capacities are not known yet"
        else:
            return None
        return _about_fleet("telemetry.stale", f"{what}; the live plan is held, only dead cells leave")

    def _is_heard(self, observation: Observation, cell: str) -> bool:
        reading = observation.cells[cell].reading
        return isinstance(reading, Fresh) and reading.age_s <= self._budget.stale_s

    def _problem(self, state: EngineState, forecast: Forecast | None, now_s: float) -> Problem:
        ground = self._ground
        estimate = self._profiler.estimate(state.workload)
        takes = self._takes(state)
        everyone = np.ones_like(takes)
        home = reference_shares(estimate.capacity, ground.eligible(), everyone)
        emptying = {n for n, c in state.cells.items() if c.why is Why.FORECAST and takes_work(c)}
        emptying |= {n for n, c in state.cells.items() if c.phase is Phase.DRAINED and c.why is Why.FORECAST}
        crowded = frozenset(
            n for n in emptying if not self._is_affordable(state, n, part=1.0)
        )
        lower, upper = caps_of(
            state.cells,
            state.shuns,
            cells=self._fleet.names,
            flows=ground.flows,
            home=home,
            eligible=ground.eligible(),
            crowded=crowded,
            now_s=now_s,
            policy=self._policy,
        )
        assert state.plan is not None  # noqa: S101 - the first plan was made before
        rates = shares_of(state.plan, ground) * estimate.demand_rps[:, None]
        present = work_of(estimate.needs, estimate.capacity, rates)
        serving = [n for n, cell in sorted(state.cells.items()) if cell.phase is Phase.ACTIVE]
        return problem_of(
            ground,
            demand_rps=estimate.demand_rps,
            needs=estimate.needs,
            capacity=estimate.capacity,
            takes=takes,
            lower=lower,
            upper=upper,
            standing_risk=np.array([float(n in emptying) for n in self._fleet.names]),
            load_risk=load_risk_of(forecast, ground, serving=serving, present_work=present),
            previous=state.plan,
        )

    def _alternatives(self, problem: Problem, candidate: Plan) -> tuple[Reason, ...]:
        """What leaving everything as it is would have cost, beside what was chosen."""
        assert problem.previous is not None  # noqa: S101 - there is a live plan
        stay = expected_bad(problem, problem.previous)
        go = expected_bad(problem, shares_of(candidate, self._ground))
        busiest = float(problem.utilisation(problem.previous).max())
        text = (
            f"leaving every share as it is: {stay:.1f} expected weighted bad requests/s instead "
            f"of {go:.1f}, the busiest cell at {busiest:.0%}"
        )
        facts = {"stay": round(stay, 3), "go": round(go, 3), "busiest": round(busiest, 3)}
        return (Reason(subject="fleet", code="plan.unchanged", text=text, facts=facts),)


def _is_worth_it(problem: Problem, shares: np.ndarray) -> bool:
    """Whether shares differ from the live ones by more than moving is worth."""
    assert problem.previous is not None  # noqa: S101 - there is a live plan
    live = problem.previous
    band = DEAD_BAND / len(problem.cells)
    forced = (live > problem.upper + ROUNDING) | (live < problem.lower - ROUNDING / 20.0)
    return bool(forced.any() or (np.abs(shares - live) > band).any())


def _about_fleet(code: str, text: str) -> Reason:
    return Reason(subject="fleet", code=code, text=text)
