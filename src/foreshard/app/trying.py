"""This module is Foreshard as shipped, on trial: default settings, on the lab's stage.

No scenario has settings of its own. A scenario that goes faster than production (`pace`) has
every patience, horizon and window divided by that, and what may move in a minute multiplied, by
the same rule for all. What concerns the machine (tick, time-outs, staleness) stays real time, as
it does in the demo.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from foreshard.app.steering import Flown, loop_of, policy_of, solver_of
from foreshard.config import BudgetSettings, ForecastSettings, Settings, ThresholdSettings
from foreshard.config.learning import HistorySettings
from foreshard.config.patience import SHIPPED
from foreshard.controller.loop import Loop
from foreshard.controller.world import World
from foreshard.engine import Engine
from foreshard.lab.policy.ablation import DeclaredEngine, SheddingNothing
from foreshard.lab.policy.policy import Stage
from foreshard.lab.policy.steered import Foreshard
from foreshard.lab.scenario.scenario import Scenario
from foreshard.model.errors import LabError
from foreshard.model.topology import Cell
from foreshard.model.workload import Needs, RequestClass
from foreshard.planning.budget import Budget
from foreshard.planning.solver import Solver

__all__ = ["ABLATIONS", "Variant", "foreshard", "loop_on", "settings_for", "variant", "world_on"]

# Of ports that nobody listens on: every balancer needs an address of its own.
FIRST_ADMIN_PORT = 20_000
GAUGES = ("memory", "disk", "descriptors", "threads")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """Foreshard with something altered, to learn what that is worth.

    Attributes:
        lacks: What it goes without, for people.
        thresholds, budget: What differs in `planning.thresholds.Thresholds` and
            `planning.budget.Budget`.
        is_told_needs: Whether classes declare what a request costs; else it has to be found out.
        solver: Makes what plans, for a configuration.
        make: Puts the engine together.
    """

    lacks: str
    thresholds: Mapping[str, float] = field(default_factory=dict)
    budget: Mapping[str, float] = field(default_factory=dict)
    is_told_needs: bool = True
    solver: Callable[[Settings], Solver] = solver_of
    make: type[Engine] = Engine

    def engine(self, settings: Settings) -> Engine:
        """The engine of a configuration, so altered."""
        policy = policy_of(settings)
        thresholds: Any = dict(self.thresholds)
        budget: Any = settings.budget.model_dump() | dict(self.budget)
        classes = settings.request_classes()
        if not self.is_told_needs:
            classes = tuple(replace(each, declared=Needs(per_request={})) for each in classes)
        return self.make(
            fleet=settings.fleet(),
            classes=classes,
            origins=settings.origins(),
            default_class=settings.default_class,
            solver=self.solver(settings),
            policy=replace(policy, thresholds=replace(policy.thresholds, **thresholds)),
            budget=Budget(**budget),
        )


# No bound is met by what a fleet can do; twice over the brim is as good as no ceiling.
UNBOUNDED = 1e6
ABLATIONS: Final[Mapping[str, Variant]] = MappingProxyType(
    {
        "foreshard-unguarded": Variant(
            lacks="guards",
            budget={
                "max_moved_per_tick": 1.0,
                "max_moved_per_minute": 1.0,
                "min_cells": 1,
                "ceiling": UNBOUNDED,
                "rest_ceiling": UNBOUNDED,
                "max_evacuations": UNBOUNDED,
                "believable_failures": 1.0,
            },
        ),
        "foreshard-alone": Variant(lacks="contrast with siblings", thresholds={"contrast": 0.0}),
        "foreshard-whole": Variant(
            lacks="half before whole",
            thresholds={"confirm_s": 0.0},
            budget={"first_step_ratio": 1.0, "confirm_s": 0.0},
        ),
        "foreshard-declared": Variant(lacks="capacity tracking", make=DeclaredEngine),
        "foreshard-untold": Variant(lacks="declared needs", is_told_needs=False),
        "foreshard-shedless": Variant(
            lacks="shedding",
            solver=lambda settings: SheddingNothing(solver=solver_of(settings)),
        ),
    }
)


def variant(name: str) -> Foreshard:
    """The policy that is Foreshard with something altered.

    Args:
        name: Of one of the `ABLATIONS`.
    """
    return Foreshard(name, loop_on(SHIPPED, ABLATIONS[name]))


def foreshard(forecast: str = SHIPPED, *, name: str = "", flown: Flown | None = None) -> Foreshard:
    """The policy that is Foreshard.

    Args:
        forecast: A forecaster by name, or `none`.
        name: As on the command line; "" = `foreshard`, with `-FORECAST` if it is not the
            shipped default.
        flown: A trained model that flies; None = none was trained, and `trend` does.
    """
    own = "foreshard" if forecast == SHIPPED else f"foreshard-{forecast}"
    return Foreshard(name or own, loop_on(forecast, flown=flown))


def loop_on(
    forecast: str, altered: Variant | None = None, *, flown: Flown | None = None
) -> Callable[[Stage], Loop]:
    """What puts the shipped loop on a stage, altered where that is wanted."""

    def make(stage: Stage) -> Loop:
        settings = settings_for(stage.scenario, forecast=forecast)
        engine = altered.engine(settings) if altered else None
        return loop_of(settings, world_on(stage), stage.executor, engine=engine, flown=flown)

    return make


def world_on(stage: Stage) -> World:
    """The stage as the loop sees the world."""
    return World(
        clock=stage.clock,
        cells=stage.cells,
        traffic=stage.traffic,
        events=stage.events,
        sink=stage.sink,
        driver=stage.driver,
        store=stage.store,
    )


def settings_for(scenario: Scenario, *, forecast: str = SHIPPED) -> Settings:
    """The shipped defaults for a scenario's fleet and classes, at its pace.

    Args:
        scenario: Whose topology, classes and pace; nothing of what befalls it is looked at.
        forecast: A forecaster by name, or `none`.

    Raises:
        LabError: The pace is not positive.
    """
    pace = scenario.pace
    if not pace > 0.0:
        raise LabError(f"scenario {scenario.name}: pace is {pace}, must be > 0")
    fleet = scenario.fleet()
    latency_ms: dict[str, dict[str, float]] = {}
    for (origin, region), distance_ms in scenario.latency_ms.items():
        if region in fleet.regions:
            latency_ms.setdefault(origin, {})[region] = distance_ms
    return Settings.model_validate(
        {
            "service": scenario.name,
            "classes": [_class(each) for each in scenario.classes],
            "default_class": scenario.default_class,
            "cells": [_cell(cell) for cell in fleet.cells],
            "latency_ms": latency_ms,
            "scrape": {
                "gauges": [
                    _gauge("cpu", counter=True, scales_with_load=True, capacity=True),
                    _gauge("connections", scales_with_load=True),
                    *(_gauge(name) for name in GAUGES),
                ]
            },
            "balancers": [
                {"admin": f"127.0.0.1:{FIRST_ADMIN_PORT + number}", "origin": origin}
                for number, origin in enumerate(scenario.origins)
            ],
            **_patience(pace, forecast),
        }
    )


def _patience(pace: float, forecast: str) -> dict[str, Any]:
    """Every time that is about the service, as short as the scenario is fast."""
    foresight = ForecastSettings().model_dump()
    thresholds = ThresholdSettings().model_dump()
    budget = BudgetSettings().model_dump()
    moved = budget["max_moved_per_minute"]
    return {
        "forecast": foresight
        | {
            "model": forecast,
            "every_s": foresight["every_s"] / pace,
            "window_s": foresight["window_s"] / pace,
            "horizons_s": [horizon_s / pace for horizon_s in foresight["horizons_s"]],
        },
        "history": {"step_s": HistorySettings().step_s / pace},
        "thresholds": {
            key: value / pace if key.endswith("_s") else value for key, value in thresholds.items()
        },
        "budget": budget
        | {
            "confirm_s": budget["confirm_s"] / pace,
            "max_moved_per_minute": min(1.0, moved * max(1.0, pace)),
            "max_moved_per_hour": budget["max_moved_per_hour"] * max(1.0, pace),
            "cooldown_s": budget["cooldown_s"] / pace,
        },
    }


def _class(each: RequestClass) -> Mapping[str, Any]:
    values: dict[str, Any] = {
        "name": each.name,
        "priority": each.priority.name.lower(),
        "weight": each.weight,
        "objective_s": each.objective_s,
        "timeout_s": each.timeout_s,
        "match": {"method": each.match.method, "path_prefix": each.match.path_prefix},
        "retriable": each.retriable,
        "key_header": each.key_header,
        "regions": sorted(each.regions),
        "dependencies": sorted(each.dependencies),
        "needs": dict(each.declared.per_request),
        "move_cost_s": each.move_cost_s,
    }
    if each.data is not None:
        values["replicas"] = {home: list(others) for home, others in each.data.replicas.items()}
    return values


def _cell(cell: Cell) -> Mapping[str, Any]:
    nodes = [f"{node.host}:{node.port}" for node in cell.nodes]
    return {"name": cell.name, "region": cell.region, "zone": cell.zone, "nodes": nodes}


def _gauge(resource: str, **more: bool) -> Mapping[str, Any]:
    """A gauge as the stage's cells have it; the metric's name is never read there."""
    return {
        "resource": resource,
        "used": {"metric": "cell_resource_used", "labels": {"resource": resource}},
        "limit": {"metric": "cell_resource_limit", "labels": {"resource": resource}},
        **more,
    }
