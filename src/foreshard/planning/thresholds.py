"""This module is when a prediction is believed; light, because every process reads it."""

from __future__ import annotations

from dataclasses import dataclass

from foreshard.model.errors import InvalidValueError

__all__ = ["Thresholds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """When a prediction is believed.

    Attributes:
        doubt_p: P over the longest horizon, beyond the siblings', from which a cell is
            doubted. Default .5: more likely than not.
        urgent_p: P over the shortest horizon from which the second half waits only half as long;
            and P over the longest from which a calibrated model is believed without a drift.
        relent_p: P over the longest horizon under which a doubt is given up; well under
            `doubt_p`, so that noise does not toggle it.
        doubt_s: A doubt must hold this long before it is acted upon. Default 15 s.
        confirm_s: The second half of an evacuation waits this long for the trend to hold.
            Default 60 s.
        relent_s: No evidence for this long ends a doubt. Default 120 s.
        class_first_s: While one class alone suffers in a cell, the cell as a whole is
            doubted only after this long. Default 60 s.
        calm_p: A class under this probability does not suffer.
        contrast: How much of what the siblings show is taken off, in [0, 1]; 0 = each cell is
            judged by itself. Default 1: what all of them do is the fleet's own rhythm.
    """

    doubt_p: float = 0.5
    urgent_p: float = 0.8
    relent_p: float = 0.2
    doubt_s: float = 15.0
    confirm_s: float = 60.0
    relent_s: float = 120.0
    class_first_s: float = 60.0
    calm_p: float = 0.3
    contrast: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.contrast <= 1.0:
            raise InvalidValueError(f"thresholds: contrast is {self.contrast}, must lie in [0, 1]")
        if not 0.0 < self.relent_p < self.doubt_p <= 1.0:
            raise InvalidValueError(
                f"thresholds: relent_p is {self.relent_p}, must be above 0 and below doubt_p "
                f"({self.doubt_p})"
            )
        for name in ("doubt_s", "confirm_s", "relent_s", "class_first_s"):
            if getattr(self, name) < 0.0:
                raise InvalidValueError(
                    f"thresholds: {name} is {getattr(self, name)}, must be >= 0"
                )
