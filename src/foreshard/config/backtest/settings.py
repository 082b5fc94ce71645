"""This module is what may be said in a backtest file, and what holds where nothing is said."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    model_validator,
)

from foreshard.config.backtest.consistency import backtest_contradictions
from foreshard.config.field import NO_TRUTH, Count, NotNegative, Number, Positive, Strict
from foreshard.forecast.limit import LimitRule
from foreshard.forecast.onset import BreachRule
from foreshard.lab.backtest.outline import LOAD, GaugeColumn, Outline, Reading
from foreshard.model.errors import ConfigError

__all__ = [
    "BacktestSettings",
    "BreachSettings",
    "DataSettings",
    "GaugeColumnSettings",
    "LearnedLimitSettings",
    "LoadColumnSettings",
    "RangeSettings",
    "SourceSettings",
    "TrainSettings",
    "TrustSettings",
    "Unit",
]

DAY_S = 86_400.0


class Unit(StrEnum):
    """In which numbers of a time column count."""

    S = "s"
    MS = "ms"
    US = "us"
    NS = "ns"

    @property
    def seconds(self) -> float:
        """Of one unit."""
        return {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}[self.value]


def _kind_of_limit(value: object) -> str:
    is_mapping = isinstance(value, dict | LearnedLimitSettings)
    return "as a quantile" if is_mapping else "as a number"


def _moment(value: object) -> object:
    """A moment as seconds since the epoch; without a zone it is in UTC."""
    if isinstance(value, bool):
        raise ValueError("must be a moment, such as 2026-05-01T00:00:00Z, or seconds")  # noqa: TRY004 - pydantic collects ValueErrors
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as error:
            raise ValueError("must be a moment, such as 2026-05-01T00:00:00Z") from error
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if isinstance(value, datetime):
        aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        return aware.timestamp()
    return value


Moment = Annotated[
    float,
    BeforeValidator(_moment),
    WithJsonSchema({"type": ["number", "string"], "examples": ["2026-05-01T00:00:00Z"]}),
]
"""Seconds since the epoch (or since whenever the data count from), or an ISO 8601 moment."""
Share = Annotated[float, Field(gt=0.0, lt=1.0), NO_TRUTH]


class LearnedLimitSettings(Strict):
    """A limit that nobody declared: a high quantile of what was usual."""

    quantile: Share = Field(description="Of the gauge in its own entity.")
    of: Literal["train"] = Field(
        default="train",
        description="Learned before the scored part begins, where data are trusted.",
    )
    min_headroom: NotNegative = Field(
        default=0.0,
        description="The limit counts where it lies so far above the median, in the gauge's unit.",
    )


class SourceSettings(Strict):
    """Where a series comes from."""

    column: str = Field(default="", description="Of the table; for --data.")
    query: str = Field(default="", description="In PromQL, a series an entity; for --prometheus.")


class LoadColumnSettings(SourceSettings):
    """The work that is offered to an entity."""

    counter: bool = Field(
        default=False, description="It only rises: its rate a second is the load."
    )


class GaugeColumnSettings(Strict):
    """One gauge against its limit."""

    name: str = Field(min_length=1, description="In tables and pictures.", examples=["memory"])
    column: str = Field(default="", description='Of the table; "" = called like the gauge.')
    query: str = Field(default="", description="In PromQL, a series an entity; for --prometheus.")
    limit: (
        Annotated[
            Annotated[LearnedLimitSettings, Tag("as a quantile")]
            | Annotated[Positive, Tag("as a number")],
            Discriminator(_kind_of_limit),
        ]
        | None
    ) = Field(
        default=None,
        description="Where it is exhausted: a number in its unit, or a quantile to be learned; "
        "null = it is context.",
    )
    counter: bool = Field(
        default=False, description="It only rises: its rate a second is the gauge."
    )
    scales_with_load: bool = Field(
        default=False, description="It follows the work that the entity is given (cpu)."
    )


class TrustSettings(Strict):
    """Which rows limits are learned from."""

    column: str = Field(default="", description="Of the table.")
    query: str = Field(default="", description="In PromQL; for --prometheus.")
    equals: Number = Field(description="Rows with this value are trusted.")


class DataSettings(Strict):
    """Where everything stands in the data."""

    entity: str = Field(
        default="entity", description="Column, or label, that tells entities (cells) apart."
    )
    time: str = Field(default="ts", description="Column of moments.")
    unit: Unit = Field(default=Unit.S, description="Of numbers in that column.")
    group: str = Field(
        default="", description='Column, or label, of groups of siblings; "" = none.'
    )
    load: LoadColumnSettings | None = Field(
        default=None, description="The work that is offered to an entity; null = unknown."
    )
    trusted: TrustSettings | None = Field(
        default=None, description="Rows that limits are learned from; null = all."
    )


class BreachSettings(Strict):
    """What a failure is."""

    sustain: Count = Field(
        default=BreachRule().sustain, description="Samples on end at a limit that make a failure."
    )
    merge_gap_s: NotNegative = Field(
        default=BreachRule().merge_gap_s,
        description="Seconds: failures less than this apart are one.",
    )
    quiet_s: NotNegative = Field(
        default=BreachRule().quiet_s,
        description="Seconds after a failure in which nothing is forecast, nor scored.",
    )


class TrainSettings(Strict):
    """What is learned from before the scored part begins: one of the two."""

    fraction: Share | None = Field(default=None, description="Of each entity's record.")
    until: Moment | None = Field(default=None, description="Moment.")


class RangeSettings(Strict):
    """Which stretch a Prometheus is asked for."""

    days: Positive = Field(default=28.0, description="Length.")
    until: Moment | None = Field(default=None, description="Its end; null = now.")


class BacktestSettings(Strict):
    """A backtest: where the data are, what a failure is, what is forecast and how it is judged."""

    name: str = Field(min_length=1, description="Of the backtest, for tables and pages.")
    about: str = Field(default="", description="What is forecast, in a sentence or two.")
    step_s: Positive = Field(description="Seconds between samples.")
    data: DataSettings = Field(
        default=DataSettings(), description="Where everything stands in the data."
    )
    gauges: list[GaugeColumnSettings] = Field(min_length=1, description="What is watched.")
    events: SourceSettings | None = Field(
        default=None,
        description="A series above 0 while somebody says that the entity has failed: it is "
        "forecast instead of gauges at their limits; null = the gauges.",
    )
    breach: BreachSettings = Field(default=BreachSettings(), description="What a failure is.")
    horizons_s: list[Positive] = Field(
        default=[300.0, 3600.0],
        min_length=1,
        description="Seconds ahead, rising, multiples of step_s.",
    )
    train: TrainSettings = Field(
        default=TrainSettings(fraction=0.5),
        description="What is learned from before the scored part begins.",
    )
    refit_s: Positive | None = Field(
        default=DAY_S,
        description="Seconds after which models are fitted anew, on everything up to then; null "
        "= once.",
    )
    calibration_days: NotNegative = Field(
        default=10.0,
        description="Thresholds are chosen on the forecasts of so many days before; 0 = only in "
        "hindsight.",
    )
    false_alarms_per_cell_day: list[Positive] = Field(
        default=[1.0, 3.0], min_length=1, description="At which recall is told, rising."
    )
    shared_incidents_s: Positive | None = Field(
        default=None,
        description="Entities share incidents: intervals draw blocks of so many seconds as well "
        "as entities; null = they do not.",
    )
    seed: Annotated[int, Field(ge=0), NO_TRUTH] = Field(
        default=1, description="Of models, of chance and of the intervals."
    )
    range: RangeSettings = Field(
        default=RangeSettings(), description="Which stretch a Prometheus is asked for."
    )

    @model_validator(mode="after")
    def _consistent(self) -> BacktestSettings:
        found = backtest_contradictions(self.model_dump(mode="json"))
        if found:
            raise ValueError("; ".join(f"{one.key} {one.says}" for one in found))
        return self

    def noun(self, *, from_prometheus: bool = False) -> Outline:
        """The backtest in the lab's words.

        Args:
            from_prometheus: Series come from queries; else from columns.

        Raises:
            ConfigError: A series has no query, or no column.
        """
        lacking: list[str] = []

        def source(key: str, told: SourceSettings | TrustSettings, column: str = "") -> str:
            found = told.query if from_prometheus else told.column or column
            if not found:
                what = "query" if from_prometheus else "column"
                lacking.append(f"  {key}.{what} is missing: say where it comes from")
            return found

        data = self.data
        reading = Reading(
            gauges=tuple(
                GaugeColumn(
                    name=gauge.name,
                    source=source(
                        f"gauges.{number}",
                        SourceSettings(column=gauge.column, query=gauge.query),
                        gauge.name,
                    ),
                    limit=_rule(gauge.limit),
                    is_counter=gauge.counter,
                    scales_with_load=gauge.scales_with_load,
                )
                for number, gauge in enumerate(self.gauges)
            ),
            step_s=self.step_s,
            entity=data.entity,
            time="" if from_prometheus else data.time,
            unit_s=data.unit.seconds,
            group=data.group,
            load=GaugeColumn(
                name=LOAD,
                source=source("data.load", data.load),
                is_counter=data.load.counter,
            )
            if data.load
            else None,
            trusted=(source("data.trusted", data.trusted), data.trusted.equals)
            if data.trusted
            else None,
            declared=source("events", self.events) if self.events else "",
        )
        if lacking:
            raise ConfigError(
                "\n".join([f"backtest {self.name}: {len(lacking)} to mend", *lacking])
            )
        return Outline(
            name=self.name,
            about=" ".join(self.about.split()),
            reading=reading,
            rule=BreachRule(**self.breach.model_dump()),
            horizons_s=tuple(self.horizons_s),
            train_fraction=self.train.fraction,
            train_until_s=self.train.until,
            refit_s=self.refit_s,
            calibration_s=self.calibration_days * DAY_S,
            budgets=tuple(self.false_alarms_per_cell_day),
            block_s=self.shared_incidents_s,
            seed=self.seed,
        )


def _rule(limit: LearnedLimitSettings | float | None) -> LimitRule | None:
    if limit is None:
        return None
    if isinstance(limit, LearnedLimitSettings):
        return LimitRule(quantile=limit.quantile, min_headroom=limit.min_headroom)
    return LimitRule(absolute=limit)
