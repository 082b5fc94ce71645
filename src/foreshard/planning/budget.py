"""This module is how much Foreshard may do: bounds on acting, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass

from foreshard.model.errors import InvalidValueError

__all__ = ["Budget"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Bounds that guards hold a plan to.

    *Traffic* is weighted: demand times the class's weight, as a fraction of the fleet's.

    Attributes:
        max_moved_per_tick: Traffic that may move in one step, in (0, 1]. Default .25: one
            cell of six and a class of another; more at once is more than one fault. Leaving a
            dead or barred cell, or one in maintenance, is exempt.
        max_moved_per_minute: The same over the last minute, with the same exemption. Default
            .6: moving on and back again is flapping, not steering.
        max_moved_per_hour: Traffic that may move by choice over the last hour, in times all
            traffic; leaving a cell that is being evacuated, or stands above `rest_ceiling`, is
            exempt as well. Default 12: a fifth of what the minute would allow; a fleet that needs
            more is being chased, not steered.
        max_moved_per_region: Part of a region's traffic that may leave its cells by choice in one
            step, in (0, 1], with the exemptions of the hour. Default .5: half before whole holds
            for regions too.
        cooldown_s: A cell that lost work by choice gets none back for so long, unless some cell
            is being evacuated or stands above `rest_ceiling`. Default 10 s: ten looks; what is
            given back sooner was taken on noise.
        min_zones: Zones that every flow must keep, where the regions that serve it have so many;
            where it must leave does not count. Default 2: a zone fails as a whole.
        min_cells: Cells that every flow must keep, where so many are able. Default 2: one
            cell is one failure away from none.
        ceiling: Utilisation that no cell may be led above. Default .97: beyond it queues
            grow without end at the least burst.
        rest_ceiling: Utilisation above which an evacuation that is only predicted must not
            lead another cell. Default .85: false drains near the N-1 limit do more harm than
            most faults.
        first_step_ratio: Part of its traffic that a living cell may lose at once. Default .5:
            half a drain costs a tenth of a whole one, should it be false.
        confirm_s: From the first step of an evacuation to the rest. Default 10 s: ten looks
            in which the trend may prove wrong.
        max_evacuations: Cells that are being evacuated by forecast at a time. Default 1: two
            at once cost 24 % where one cost 2 %.
        believable_failures: Fraction of cells predicted to fail beyond which the forecast is
            distrusted. Default .34: more than a third at once is a broken model or a common
            cause, and moving work among the doomed helps neither. One cell is always believed.
        stale_s: Telemetry older than this is not acted upon. Default 10 s: ten missed looks.
    """

    max_moved_per_tick: float = 0.25
    max_moved_per_minute: float = 0.6
    max_moved_per_hour: float = 12.0
    max_moved_per_region: float = 0.5
    cooldown_s: float = 10.0
    min_zones: int = 2
    min_cells: int = 2
    ceiling: float = 0.97
    rest_ceiling: float = 0.85
    first_step_ratio: float = 0.5
    confirm_s: float = 10.0
    max_evacuations: int = 1
    believable_failures: float = 0.34
    stale_s: float = 10.0

    def __post_init__(self) -> None:
        for name in (
            "max_moved_per_tick",
            "max_moved_per_minute",
            "max_moved_per_region",
            "first_step_ratio",
            "believable_failures",
        ):
            value = getattr(self, name)
            if not 0.0 < value <= 1.0:
                raise InvalidValueError(f"budget: {name} is {value}, must be in (0, 1]")
        if not 0.0 < self.rest_ceiling <= self.ceiling:
            raise InvalidValueError(
                f"budget: rest_ceiling is {self.rest_ceiling}, must be above 0 and at most "
                f"ceiling ({self.ceiling})"
            )
        if not self.max_moved_per_hour >= self.max_moved_per_minute:
            raise InvalidValueError(
                f"budget: max_moved_per_hour is {self.max_moved_per_hour}, must be at least "
                f"max_moved_per_minute ({self.max_moved_per_minute})"
            )
        for name in ("min_cells", "min_zones"):
            if getattr(self, name) < 1:
                value = getattr(self, name)
                raise InvalidValueError(f"budget: {name} is {value}, must be at least 1")
        for name in ("confirm_s", "max_evacuations", "stale_s", "cooldown_s"):
            if not getattr(self, name) >= 0:
                raise InvalidValueError(f"budget: {name} is {getattr(self, name)}, must be >= 0")
