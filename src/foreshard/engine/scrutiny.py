"""This module is what the engine believes of what it was told: doubts, panic, blindness."""

from __future__ import annotations

from collections.abc import Mapping

from foreshard.model.forecast import Forecast
from foreshard.model.plan import Reason
from foreshard.model.telemetry import Fresh, Health, Observation
from foreshard.planning.bounds import takes_work
from foreshard.planning.budget import Budget
from foreshard.planning.judgement import Judgement, Thresholds, cell_doubts, class_doubts
from foreshard.planning.phases import CellState

__all__ = ["about_fleet", "blindness", "judge", "panic"]


def judge(
    forecast: Forecast | None,
    cells: Mapping[str, CellState],
    *,
    now_s: float,
    judged_at_s: float,
    stale_s: float,
    thresholds: Thresholds,
) -> Judgement | None:
    """What a forecast holds against whom; None when it is old, or was judged before."""
    if forecast is None or forecast.made_at_s <= judged_at_s:
        return None
    if now_s - forecast.made_at_s > stale_s:
        return None
    serving = [name for name, cell in sorted(cells.items()) if takes_work(cell)]
    return Judgement(
        cells=cell_doubts(forecast, serving=serving, floor=thresholds.relent_p),
        classes=class_doubts(forecast, serving=serving, thresholds=thresholds),
    )


def panic(
    observation: Observation, judgement: Judgement | None, *, budget: Budget, likely_p: float
) -> Reason | None:
    """More trouble at once than is believable: then the instruments are distrusted."""
    count = len(observation.cells)
    # One cell of two is a third of nothing: one alone is always believed.
    limit = max(1.0, budget.believable_failures * count)
    dead = sum(1 for r in observation.cells.values() if r.health is Health.DOWN)
    doubts = judgement.cells.values() if judgement else ()
    doubted = sum(1 for doubt in doubts if doubt.p_long >= likely_p)
    if max(dead, doubted) <= limit:
        return None
    what = f"{dead} cells look dead" if dead > limit else f"{doubted} cells are said to fail"
    text = f"{what} out of {count}, more than is believable; no cell is taken out"
    return about_fleet("guard.panic", text)


def blindness(
    observation: Observation,
    cells: Mapping[str, CellState],
    *,
    is_trusted: bool,
    stale_s: float,
) -> Reason | None:
    """Why there is too little to plan with; None when there is enough.

    Args:
        observation: The newest.
        cells: Only those that take work are asked after.
        is_trusted: Whether demand and capacities are known by now.
        stale_s: Older telemetry counts as silence.
    """
    serving = [name for name, cell in sorted(cells.items()) if takes_work(cell)]
    silent = [name for name in serving if not _is_heard(observation, name, stale_s)]
    if observation.demand_rps is None:
        what = "the balancers are silent"
    elif 2 * len(silent) > len(serving):
        what = f"{len(silent)} of {len(serving)} serving cells are silent"
    elif not is_trusted:
        what = "demand and capacities are not known yet"
    else:
        return None
    return about_fleet("telemetry.stale", f"{what}; the live plan is held, only dead cells leave")


def about_fleet(code: str, text: str) -> Reason:
    """A reason about the fleet as a whole."""
    return Reason(subject="fleet", code=code, text=text)


def _is_heard(observation: Observation, cell: str, stale_s: float) -> bool:
    reading = observation.cells[cell].reading
    return isinstance(reading, Fresh) and reading.age_s <= stale_s
