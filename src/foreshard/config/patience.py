"""This module is how Foreshard reads the future, and what holds it back from acting on it."""

from __future__ import annotations

from dataclasses import fields

from pydantic import Field, model_validator

from foreshard.config.field import Count, NotNegative, Part, Positive, Ratio, Strict
from foreshard.planning.budget import Budget
from foreshard.planning.thresholds import Thresholds

__all__ = [
    "NEED_NO_TRAINING",
    "SHIPPED",
    "BudgetSettings",
    "ForecastSettings",
    "ThresholdSettings",
]

# What is wanted where nothing is said: trained models, `trend` as long as there is none.
SHIPPED = "ensemble"
NEED_NO_TRAINING = frozenset({"none", "trend"})


class ForecastSettings(Strict):
    """How the future is read."""

    model: str = Field(
        default=SHIPPED,
        description="A learner by name, whose newest good model flies once there is one, and "
        "`trend` until then and whenever it fails; `trend`: that alone; or `none`: then only what "
        "is observed counts.",
    )
    every_s: Positive = Field(
        default=5.0,
        le=60.0,
        description="Seconds between forecasts; drifts are slower than that. An alert rings when "
        "the newest is older than three minutes.",
    )
    window_s: Positive = Field(
        default=600.0,
        description="Seconds of history a forecast looks at; longer is calmer, and later to see "
        "a change.",
    )
    horizons_s: list[Positive] = Field(
        default=[300.0, 3600.0],
        min_length=2,
        description="Seconds ahead, rising: the first says how urgent a doubt is, the last "
        "whether there is one.",
    )


class ThresholdSettings(Strict):
    """When a prediction is believed; see `planning.thresholds.Thresholds`."""

    doubt_p: Part = Field(
        default=0.5,
        description="Failure probability over the last horizon, beyond that of the sibling "
        "cells, from which a cell is doubted; .5 is more likely than not.",
    )
    urgent_p: Ratio = Field(
        default=0.8,
        description="Failure probability over the first horizon from which the second half of "
        "an evacuation waits only half as long; and over the last horizon from which a trained "
        "model is believed although nothing drifts yet.",
    )
    relent_p: Part = Field(
        default=0.2,
        description="Failure probability under which a doubt is given up; well below doubt_p, "
        "so that noise does not toggle it.",
    )
    doubt_s: NotNegative = Field(
        default=15.0, description="Seconds that a doubt must hold before it is acted upon."
    )
    confirm_s: NotNegative = Field(
        default=60.0,
        description="Seconds that the second half of an evacuation waits for the trend to hold.",
    )
    relent_s: NotNegative = Field(
        default=120.0, description="Seconds without evidence that end a doubt."
    )
    class_first_s: NotNegative = Field(
        default=60.0,
        description="Seconds for which one class that suffers alone is moved alone, before the "
        "whole cell is doubted.",
    )
    drain_ahead_s: Positive = Field(
        default=300.0,
        description="Seconds before a maintenance window at which the cell is empty; room for "
        "handing over data.",
    )
    stride_s: Positive = Field(
        default=30.0, description="Seconds between the two halves of a planned drain."
    )
    warm_s: Positive = Field(
        default=120.0,
        description="Seconds from a returning cell's first traffic to its full share; caches "
        "and pools of most services fill in a minute or two.",
    )
    prove_s: Positive = Field(
        default=10.0, description="Seconds that a restarted cell is healthy before traffic."
    )
    shun_s: Positive = Field(
        default=120.0, description="Seconds that a class stays off a cell at least."
    )
    expire_s: Positive = Field(
        default=600.0,
        description="Seconds after which a drain that no forecast has renewed ends by itself.",
    )
    quarantine_s: Positive = Field(
        default=1_800.0,
        description="Seconds of health after which a quarantined cell may try again.",
    )
    restart_patience_s: Positive = Field(
        default=120.0,
        description="Seconds that an emptied or dead cell may take to come back by itself; then "
        "a restart is asked for.",
    )
    holdout_ratio: NotNegative = Field(
        default=0.0,
        le=0.5,
        description="Part of what a forecast asks for that is withheld at random, so that what "
        "acting averts can be told; never where critical requests would pay.",
    )
    holdout_seed: int = Field(default=0, ge=0, description="Of what is withheld.")

    @model_validator(mode="after")
    def _meaningful(self) -> ThresholdSettings:
        judged = {f.name for f in fields(Thresholds)}
        Thresholds(**self.model_dump(include=judged))
        return self


class BudgetSettings(Strict):
    """Bounds on acting; see `planning.budget.Budget`."""

    max_moved_per_tick: Part = Field(
        default=0.25,
        description="Share of the traffic, weighted, that may move in one tick; more at once is "
        "more than one fault. Leaving a dead cell is exempt.",
    )
    max_moved_per_minute: Part = Field(
        default=0.6,
        description="The same over a minute: moving on and back again is flapping.",
    )
    max_moved_per_hour: Positive = Field(
        default=12.0,
        description="The same over an hour, in times all traffic; what leaves cells that are "
        "being evacuated, or above `rest_ceiling`, does not count.",
    )
    max_moved_per_region: Part = Field(
        default=0.5,
        description="Share of a region's traffic that may leave its cells in one tick; with "
        "the exemptions of the hour.",
    )
    cooldown_s: NotNegative = Field(
        default=10.0,
        description="Seconds for which a cell that lost work by choice gets none back, unless "
        "a cell is being evacuated, or above `rest_ceiling`.",
    )
    min_zones: Count = Field(
        default=2,
        description="Zones that every flow keeps, where the regions that serve it have so many; "
        "a cell that it must leave does not count.",
    )
    first_step_ratio: Part = Field(
        default=0.5,
        description="Share of its traffic that a living cell may lose at once; half a drain "
        "costs a tenth of a whole one, should it be false.",
    )
    max_evacuations: int = Field(
        default=1,
        ge=0,
        description="Cells that are being evacuated by forecast at a time; 0 = none ever is.",
    )
    min_cells: Count = Field(
        default=2,
        description="Cells that every flow keeps, where so many are able; one cell is one "
        "failure away from none.",
    )
    ceiling: Part = Field(
        default=0.97,
        description="No cell is led above this utilisation; beyond it queues grow without end.",
    )
    rest_ceiling: Part = Field(
        default=0.85,
        description="A predicted evacuation may not lead another cell above this utilisation; "
        "false drains near the limit do more harm than most faults.",
    )
    confirm_s: NotNegative = Field(
        default=10.0, description="Seconds from the first to the second half of an evacuation."
    )
    believable_failures: Part = Field(
        default=0.34,
        description="Share of cells predicted to fail beyond which the forecast is distrusted: "
        "it is a broken model, or a common cause that moving work does not help; one cell is "
        "always believed.",
    )
    stale_s: Positive = Field(
        default=10.0, description="Seconds after which telemetry is not acted upon any more."
    )

    @model_validator(mode="after")
    def _meaningful(self) -> BudgetSettings:
        Budget(**self.model_dump())
        return self
