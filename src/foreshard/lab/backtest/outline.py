"""This module is what a backtest is told: where gauges and limits are, what is forecast."""

from __future__ import annotations

from dataclasses import dataclass

from foreshard.forecast.limit import LimitRule
from foreshard.forecast.onset import BreachRule
from foreshard.model.errors import LabError

__all__ = ["LOAD", "GaugeColumn", "Outline", "Reading"]

# No gauge of a spec can be called so.
LOAD = "\0load"


@dataclass(frozen=True, slots=True, kw_only=True)
class GaugeColumn:
    """One gauge and where it comes from.

    Attributes:
        name: In every table and picture.
        source: Column of the table, or query.
        limit: None = context, in which nothing is reached.
        is_counter: It only rises, and its rate a second is the gauge; a fall is a reset.
        scales_with_load: It follows the work the cell is given.
    """

    name: str
    source: str
    limit: LimitRule | None = None
    is_counter: bool = False
    scales_with_load: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Where everything stands in the data.

    Attributes:
        gauges: At least one.
        step_s: Between samples, > 0.
        entity, time, group: See `ports.Wanted`.
        unit_s: See `ports.Wanted`.
        load: The work offered, called `LOAD`; None = unknown.
        trusted: Source and value: limits are learned where it has that value; None = everywhere.
        declared: Source that is above 0 while somebody says that the entity has failed; "" =
            gauges at their limits are what is forecast.
    """

    gauges: tuple[GaugeColumn, ...]
    step_s: float
    entity: str = "entity"
    time: str = "ts"
    unit_s: float = 1.0
    group: str = ""
    load: GaugeColumn | None = None
    trusted: tuple[str, float] | None = None
    declared: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """A backtest.

    Attributes:
        name: Short.
        about: What is forecast, in a sentence or two.
        reading: Where everything stands in the data.
        rule: What a failure is.
        horizons_s: H, rising, > 0, whole steps.
        train_fraction: Of each entity's own record; what comes after is scored. None = by date.
        train_until_s: Moment at which scoring begins; None = by fraction.
        refit_s: Models are fitted anew so often, on everything up to then; None = once.
        calibration_s: Thresholds are chosen on forecasts of so long before; 0 = only in hindsight.
        budgets: False alarms for a cell and day at which recall is told, rising, > 0.
        block_s: Cells share incidents: intervals resample blocks of so long as well; None = cells
            alone.
        seed: Of models, of chance and of the bootstrap.
    """

    name: str
    about: str
    reading: Reading
    rule: BreachRule
    horizons_s: tuple[float, ...] = (300.0, 3600.0)
    train_fraction: float | None = 0.5
    train_until_s: float | None = None
    refit_s: float | None = 86_400.0
    calibration_s: float = 10.0 * 86_400.0
    budgets: tuple[float, ...] = (1.0, 3.0)
    block_s: float | None = None
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("horizons_s", "budgets"):
            values: tuple[float, ...] = getattr(self, name)
            if not values or values[0] <= 0.0 or list(values) != sorted(set(values)):
                raise LabError(f"backtest: {name} is {values}, must rise from above 0")
        if (self.train_fraction is None) == (self.train_until_s is None):
            raise LabError("backtest: give train_fraction or train_until_s, not both, not neither")
        if self.train_fraction is not None and not 0.0 < self.train_fraction < 1.0:
            raise LabError(f"backtest: train_fraction is {self.train_fraction}, must be in (0, 1)")
        if self.refit_s is not None and self.refit_s < self.reading.step_s:
            raise LabError(
                f"backtest: refit_s is {self.refit_s}, must be at least step_s "
                f"({self.reading.step_s})"
            )
