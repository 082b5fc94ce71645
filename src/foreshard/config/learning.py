"""This module is what is kept of the past, and how models are made of it."""

from __future__ import annotations

from pydantic import Field

from foreshard.config.field import Count, NotNegative, Positive, Strict

__all__ = ["HistorySettings", "TrainingSettings"]

DAY_S = 86_400.0


class HistorySettings(Strict):
    """The metric history, kept in `history/` of the data directory."""

    step_s: Positive = Field(
        default=60.0,
        le=3_600.0,
        description="Seconds in a step, the grain of what is kept: the highest of each gauge, the "
        "mean of the load. What failed and what led to it must be told apart at this grain.",
    )
    keep_s: Positive = Field(
        default=30 * DAY_S,
        description="Seconds of history kept; a month holds four of each weekday.",
    )
    most_mb: NotNegative = Field(
        default=2_048.0,
        description="Megabytes that it may take; the oldest goes first. 10,000 cells of 12 gauges "
        "take 390 a day, 100 take 4. 0 = none is kept, and nothing can be learned.",
    )
    memory_mb: Positive = Field(
        default=1_000.0,
        description="Megabytes of memory in which a trained model remembers the last week; what "
        "does not fit is remembered in blocks of ten steps.",
    )


class TrainingSettings(Strict):
    """How models are made; see `foreshard train`."""

    every_s: Positive | None = Field(
        default=DAY_S,
        description="Seconds between refits by the engine; null = only `foreshard train` trains. "
        "A model that is fitted once decays within days.",
    )
    least_s: Positive = Field(
        default=3 * DAY_S,
        description="Seconds of history before the engine trains for the first time; less holds "
        "hardly a failure, nor two days to compare.",
    )
    reach_s: Positive = Field(
        default=30 * DAY_S, description="Seconds of history that a model learns from at most."
    )
    held_out_s: Positive = Field(
        default=6 * 3_600.0,
        description="Seconds, the newest, on which a new model must beat the one that flies "
        "before it may; longer where failures are too rare to judge by.",
    )
    memory_mb: Positive = Field(
        default=1_000.0,
        ge=100.0,
        description="Megabytes of memory that training may take beyond the 700 of the program; a "
        "record too large for that is shortened, then thinned out cell by cell, and the model's "
        "card says so. The limit of the unit or the container must have room for it beside the "
        "engine, or less is taken.",
    )
    seed: int = Field(
        default=1, ge=0, description="The same history and seed give the same model."
    )
    sustain: Count = Field(
        default=3, description="Steps on end at a limit that make a failure of a cell."
    )
    merge_gap_s: NotNegative = Field(
        default=3_600.0, description="Seconds within which two failures of a cell are one."
    )
    quiet_s: NotNegative = Field(
        default=3_600.0,
        description="Seconds after a failure in which no forecast of the cell is judged.",
    )
