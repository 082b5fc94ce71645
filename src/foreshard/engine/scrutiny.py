"""This module is what the engine believes of what it was told: doubts, panic, blindness."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from foreshard.engine.state import EngineState
from foreshard.model.events import EventKind
from foreshard.model.forecast import Forecast
from foreshard.model.plan import Intent, Reason
from foreshard.model.telemetry import CellReading, Fresh, Health, Observation
from foreshard.planning.bounds import takes_work
from foreshard.planning.brief import Estimate, Ground, shares_of
from foreshard.planning.budget import Budget
from foreshard.planning.caution import Caution, excess_of
from foreshard.planning.holdout import withhold
from foreshard.planning.judgement import Judgement, cell_doubts, class_doubts
from foreshard.planning.lapse import answers
from foreshard.planning.phases import CellState, Phase, Why
from foreshard.planning.policy import Policy
from foreshard.planning.problem import work_of
from foreshard.planning.thresholds import Thresholds

__all__ = [
    "Belief",
    "about_fleet",
    "all_look_dead",
    "believe",
    "blindness",
    "cautious",
    "change_freeze",
    "corrected",
    "is_heard",
    "staleness",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """What is believed of a forecast.

    Attributes:
        judgement: What is to be acted upon; None = there is no new forecast.
        distrust: More is said to fail than is believable.
        intents: What the forecast asks for, where nothing is being done yet.
        reasons: What of it is withheld at random.
    """

    judgement: Judgement | None = None
    distrust: Reason | None = None
    intents: tuple[Intent, ...] = ()
    reasons: tuple[Reason, ...] = ()


def believe(
    forecast: Forecast | None,
    state: EngineState,
    ground: Ground,
    *,
    policy: Policy,
    budget: Budget,
    now_s: float,
    without: Collection[str] = (),
) -> Belief:
    """What is believed of a forecast; nothing when it is old, or was judged before.

    Of cells that it has to do `without` because their gauges are not believed, it says nothing.
    """
    judgement = _judged(
        forecast,
        state.cells,
        now_s=now_s,
        judged_at_s=state.judged_at_s,
        stale_s=budget.stale_s,
        thresholds=policy.thresholds,
        without=without,
    )
    if judgement is None:
        return Belief()
    found = withhold(
        judgement,
        cells=state.cells,
        shuns=state.shuns,
        ground=ground,
        policy=policy,
        now_s=now_s,
    )
    return Belief(
        judgement=found.judgement,
        distrust=_panic(state.cells, judgement, budget=budget, likely_p=policy.thresholds.doubt_p),
        intents=found.intents,
        reasons=found.reasons,
    )


def _judged(
    forecast: Forecast | None,
    cells: Mapping[str, CellState],
    *,
    now_s: float,
    judged_at_s: float,
    stale_s: float,
    thresholds: Thresholds,
    without: Collection[str] = (),
) -> Judgement | None:
    """What a forecast holds against whom; None when it is old, or was judged before.

    Of cells that it has to do `without` because their gauges are not believed, it says nothing.
    """
    if forecast is None or forecast.made_at_s <= judged_at_s:
        return None
    if now_s - forecast.made_at_s > stale_s:
        return None
    serving = [name for name, cell in sorted(cells.items()) if takes_work(cell)]
    doubts = cell_doubts(
        forecast, serving=serving, floor=thresholds.relent_p, contrast=thresholds.contrast
    )
    return Judgement(
        cells={name: doubt for name, doubt in doubts.items() if name not in without},
        classes=class_doubts(forecast, serving=serving, thresholds=thresholds),
        known=frozenset(forecast.cells).difference(without),
        unheard={name: doubt for name, doubt in doubts.items() if name in without},
    )


def _panic(
    cells: Mapping[str, CellState], judgement: Judgement, *, budget: Budget, likely_p: float
) -> Reason | None:
    """More cells predicted to fail than is believable: then the forecast is distrusted."""
    # One is always believable, in a fleet of two as well: the rest must be able to carry it.
    limit = max(1.0, budget.believable_failures * len(cells))
    # A forecast that is wrong about many is no better for those whose gauges are believed.
    doubts = (*judgement.cells.values(), *judgement.unheard.values())
    doubted = sum(1 for doubt in doubts if doubt.p_long >= likely_p)
    if doubted <= limit:
        return None
    text = (
        f"{doubted} of {len(cells)} cells are said to fail, more than is believable; the forecast "
        "is distrusted, only observed health counts"
    )
    return about_fleet("guard.panic", text)


def all_look_dead(observation: Observation, cells: Mapping[str, CellState]) -> Reason | None:
    """Everything in service looks dead: then what looks is more likely to be broken."""
    serving = [name for name, cell in sorted(cells.items()) if takes_work(cell)]
    if not serving or any(observation.cells[n].health is not Health.DOWN for n in serving):
        return None
    text = f"all {len(serving)} cells in service look dead; nobody is taken out for it"
    return about_fleet("guard.panic", text)


def corrected(
    observation: Observation, cells: Mapping[str, CellState], budget: Budget
) -> tuple[Observation, tuple[Reason, ...]]:
    """The look without deaths that requests contradict, where more look dead than is believable.

    A health check that asks a database fails in all cells, one a moment after the other, while
    all of them serve: to believe it leaves the last cell with the work of all.
    """
    down = [n for n, cell in sorted(cells.items()) if _looks_dead(observation.cells[n], cell)]
    out = sum(1 for cell in cells.values() if cell.why is Why.DOWN and not takes_work(cell))
    serve = [name for name in down if answers(observation.cells[name])]
    if not serve or len(down) + out <= max(1.0, budget.believable_failures * len(cells)):
        return observation, ()
    unknown = {n: replace(observation.cells[n], health=Health.UNKNOWN) for n in serve}
    text = (
        f"{len(down) + out} of {len(cells)} cells look dead, more than is believable, and "
        f"{', '.join(serve)} answer what they are asked; they are not taken out"
    )
    seen = replace(observation, cells={**observation.cells, **unknown})
    return seen, (about_fleet("guard.panic", text),)


def _looks_dead(reading: CellReading, cell: CellState) -> bool:
    return takes_work(cell) and reading.health is Health.DOWN


def change_freeze(observation: Observation) -> Reason | None:
    """A change freeze that is open now; deaths and maintenance still take work off cells."""
    now_s = observation.now_s
    for event in observation.events:
        if event.kind is EventKind.FREEZE and event.is_within(now_s):
            left_s = event.ends_at_s - now_s
            text = f"change freeze {event.id} ends in {left_s:.0f} s; only dead cells leave"
            return about_fleet("guard.change_freeze", text)
    return None


def staleness(forecast: Forecast | None, *, now_s: float, stale_s: float) -> Reason | None:
    """A forecast that has stopped coming."""
    if forecast is None or now_s - forecast.made_at_s <= stale_s:
        return None
    text = f"the newest forecast is {now_s - forecast.made_at_s:.0f} s old and is not acted upon"
    return about_fleet("forecast.stale", text)


def blindness(
    observation: Observation,
    cells: Mapping[str, CellState],
    *,
    is_trusted: bool,
    stale_s: float,
    peers: Collection[str] = (),
) -> Reason | None:
    """Why there is too little to plan with; None when there is enough.

    Args:
        observation: The newest.
        cells: Only those that take work are asked after.
        is_trusted: Whether demand and capacities are known by now.
        stale_s: Older telemetry counts as silence.
        peers: Cells that stand for regions of other engines, or in regions that are lost: one that
            is silent is cut off, and no reason not to plan.
    """
    serving = [n for n, cell in sorted(cells.items()) if takes_work(cell) and n not in peers]
    silent = [name for name in serving if not is_heard(observation.cells[name], stale_s)]
    if observation.demand_rps is None:
        what = "the balancers are silent"
    elif 2 * len(silent) > len(serving):
        what = f"{len(silent)} of {len(serving)} serving cells are silent"
    elif not is_trusted:
        what = "demand and capacities are not known yet"
    else:
        return None
    return about_fleet("telemetry.stale", f"{what}; the live plan is held, only dead cells leave")


def cautious(
    state: EngineState,
    estimate: Estimate,
    observation: Observation,
    forecast: Forecast | None,
    ground: Ground,
    *,
    thresholds: Thresholds,
) -> Caution:
    """What is held against each cell's load after a tick.

    Args:
        state: Before.
        estimate: Demand, needs, capacity.
        observation: The newest.
        forecast: One that was not judged before; None = no news.
        ground: Fleet, classes, flows.
        thresholds: When a prediction is believed.
    """
    caution = state.caution.faded(observation.interval_s, fade_s=thresholds.relent_s)
    if forecast is None or state.plan is None:
        return caution
    index = ground.fleet.index
    serving = np.array([state.cells[n].phase is Phase.ACTIVE for n in index])
    excess = excess_of(forecast, serving, index, contrast=thresholds.contrast)
    rates = shares_of(state.plan, ground) * estimate.demand_rps[:, None]
    nominal = estimate.capacity * state.workload.factor
    return caution.warned(excess, work_of(estimate.needs, nominal, rates))


def about_fleet(code: str, text: str) -> Reason:
    """A reason about the fleet as a whole."""
    return Reason(subject="fleet", code=code, text=text)


def is_heard(reading: CellReading, stale_s: float) -> bool:
    """Whether a cell has spoken of itself lately."""
    return isinstance(reading.reading, Fresh) and reading.reading.age_s <= stale_s
