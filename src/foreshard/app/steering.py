"""This module is the engine and its loop, put together from settings, on any world."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import entry_points

from foreshard.app.learning import learner_names
from foreshard.app.remembering import siblings_of
from foreshard.config import Settings
from foreshard.config.patience import NEED_NO_TRAINING, SHIPPED
from foreshard.controller.foresight import Adviser, Foresight
from foreshard.controller.loop import Loop
from foreshard.controller.world import World
from foreshard.engine import Engine
from foreshard.forecast.announcement import AttentiveForecaster
from foreshard.forecast.forecaster import Forecaster
from foreshard.forecast.learned import AdvisedForecaster, LearnedForecaster
from foreshard.forecast.learner import RiskModel
from foreshard.forecast.outlook import Outlook
from foreshard.forecast.past import Past
from foreshard.forecast.trend import TrendForecaster
from foreshard.forecast.window import WindowBuffer
from foreshard.model.errors import ConfigError
from foreshard.model.workload import RequestClass
from foreshard.planning.budget import Budget
from foreshard.planning.policy import Policy
from foreshard.planning.solver import Solver
from foreshard.planning.thresholds import Thresholds
from foreshard.ports import Executor

__all__ = ["Flown", "engine_of", "loop_of", "policy_of", "solver_of", "trained_names"]

# Cells x flows up to which `fleet` would plan exactly anyway: what it brings for larger ones, a
# compiler among it, is not loaded for them.
SMALL_PAIRS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Flown:
    """A trained model.

    Attributes:
        model: Itself.
        name: Its id.
    """

    model: RiskModel
    name: str


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


def engine_of(
    settings: Settings,
    *,
    classes: Sequence[RequestClass] | None = None,
    default_class: str | None = None,
) -> Engine:
    """The engine of a configuration.

    Args:
        settings: How it decides.
        classes: Others than the configuration's; None = those.
        default_class: The same of it.
    """
    return Engine(
        fleet=settings.fleet(),
        classes=settings.request_classes() if classes is None else classes,
        origins=settings.origins(),
        default_class=settings.default_class if default_class is None else default_class,
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
    settings: Settings,
    world: World,
    executor: Executor,
    *,
    engine: Engine | None = None,
    adviser: Adviser | None = None,
    flown: Flown | None = None,
) -> Loop:
    """The loop of a configuration.

    Args:
        settings: How it decides.
        world: What it looks at and acts on.
        executor: Where forecasts are computed.
        engine: Another than the configuration's own; None = that.
        adviser: Where a trained model speaks, from a process of its own; None = nowhere.
        flown: A trained model to fly in this process (the lab); None = none.

    Raises:
        ConfigError: There is no such forecaster.
    """
    return Loop(
        engine or engine_of(settings),
        settings.fleet(),
        world,
        foresight=_foresight(settings, executor, adviser, flown),
        tick_s=settings.tick_s,
        mode=settings.mode,
    )


def _foresight(
    settings: Settings, executor: Executor, adviser: Adviser | None, flown: Flown | None
) -> Foresight | None:
    forecast = settings.forecast
    if forecast.model == "none":
        return None
    horizons_s = tuple(forecast.horizons_s)
    length = max(2, round(forecast.window_s / settings.tick_s))
    found = entry_points(group="foreshard.forecasters")
    forecaster: Forecaster = TrendForecaster(horizons_s=horizons_s)
    past: Past | None = None
    if forecast.model in found.names:
        make: Callable[..., Forecaster] = found[forecast.model].load()
        forecaster = make(horizons_s=horizons_s)
    elif forecast.model not in trained_names():
        names = ", ".join(sorted({*found.names, *trained_names(), "none"}))
        raise ConfigError(f"forecast.model is {forecast.model!r}, must be one of {names}")
    elif flown is not None:
        past = Past(
            step_s=settings.history.step_s,
            most_bytes=round(settings.history.memory_mb * 1e6),
            siblings=siblings_of(settings),
        )
        trend = TrendForecaster(horizons_s=horizons_s)
        forecaster = LearnedForecaster(model=flown.model, name=flown.name, trend=trend)
    classes = settings.request_classes()

    def tuned(
        served: Sequence[RequestClass],
    ) -> tuple[Forecaster, Callable[[Outlook], Forecaster]]:
        needs = {each.name: each.dependencies for each in served}
        attentive = AttentiveForecaster(inner=forecaster, needs=needs)

        def advised(outlook: Outlook) -> Forecaster:
            # What is announced is laid over what the model says, and is not weighed down by it.
            return replace(attentive, inner=AdvisedForecaster(inner=forecaster, outlook=outlook))

        return attentive, advised

    attentive, advised = tuned(classes)
    return Foresight(
        attentive,
        WindowBuffer(classes, length=length, past=past),
        executor,
        every_s=forecast.every_s,
        adviser=adviser,
        advised=advised,
        tuned=tuned,
    )


def trained_names() -> frozenset[str]:
    """Names of the learners whose models may fly; what they need may not be installed."""
    return frozenset({SHIPPED, *learner_names()}) - NEED_NO_TRAINING
