"""This module is the engine and its loop, put together from settings, on any world."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points

from foreshard.config import Settings
from foreshard.controller.foresight import Foresight
from foreshard.controller.loop import Loop, World
from foreshard.engine import Engine
from foreshard.forecast.announcement import AttentiveForecaster
from foreshard.forecast.forecaster import Forecaster
from foreshard.forecast.window import WindowBuffer
from foreshard.model.errors import ConfigError
from foreshard.planning.budget import Budget
from foreshard.planning.policy import Policy
from foreshard.planning.solver import Solver
from foreshard.planning.thresholds import Thresholds
from foreshard.ports import Executor

__all__ = ["engine_of", "loop_of", "policy_of", "solver_of"]

# Cells x flows up to which `fleet` would plan exactly anyway: what it brings for larger ones, a
# compiler among it, is not loaded for them.
SMALL_PAIRS = 256


def policy_of(settings: Settings) -> Policy:
    """How patient a configuration is."""
    judged = {
        "doubt_p",
        "urgent_p",
        "relent_p",
        "doubt_s",
        "confirm_s",
        "relent_s",
        "class_first_s",
    }
    patience = settings.thresholds.model_dump()
    thresholds = Thresholds(**{k: v for k, v in patience.items() if k in judged})
    return Policy(thresholds=thresholds, **{k: v for k, v in patience.items() if k not in judged})


def engine_of(settings: Settings) -> Engine:
    """The engine of a configuration."""
    return Engine(
        fleet=settings.fleet(),
        classes=settings.request_classes(),
        origins=settings.origins(),
        default_class=settings.default_class,
        solver=solver_of(settings),
        policy=policy_of(settings),
        budget=Budget(**settings.budget.model_dump()),
    )


def solver_of(settings: Settings) -> Solver:
    """The planner for a fleet of that size."""
    pairs = len(settings.cells) * len(settings.classes) * len(settings.origins())
    name = "exact" if pairs <= SMALL_PAIRS else "fleet"
    make: Callable[[], Solver] = entry_points(group="foreshard.solvers")[name].load()
    return make()


def loop_of(
    settings: Settings, world: World, executor: Executor, *, engine: Engine | None = None
) -> Loop:
    """The loop of a configuration.

    Args:
        settings: How it decides.
        world: What it looks at and acts on.
        executor: Where forecasts are computed.
        engine: Another than the configuration's own; None = that.

    Raises:
        ConfigError: There is no such forecaster.
    """
    return Loop(
        engine or engine_of(settings),
        settings.fleet(),
        world,
        foresight=_foresight(settings, executor),
        tick_s=settings.tick_s,
        mode=settings.mode,
    )


def _foresight(settings: Settings, executor: Executor) -> Foresight | None:
    forecast = settings.forecast
    if forecast.model == "none":
        return None
    found = entry_points(group="foreshard.forecasters")
    if forecast.model not in found.names:
        names = ", ".join((*sorted(found.names), "none"))
        raise ConfigError(f"forecast.model is {forecast.model!r}, must be one of {names}")
    make: Callable[..., Forecaster] = found[forecast.model].load()
    length = max(2, round(forecast.window_s / settings.tick_s))
    classes = settings.request_classes()
    return Foresight(
        AttentiveForecaster(
            inner=make(horizons_s=tuple(forecast.horizons_s)),
            needs={each.name: each.dependencies for each in classes},
        ),
        WindowBuffer(classes, length=length),
        executor,
        every_s=forecast.every_s,
    )
