"""This module is how the network is made and fitted, in numbers that a user may change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from foreshard.model.errors import InvalidValueError

__all__ = ["WEIGHTS", "Course"]

WEIGHTS: Final = ("into", "across", "gate", "deep", "deep_bias", "out", "out_bias")
"""Names of the network's weights; each has the nets along its first axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How to fit; the defaults are those of decision 0013.

    Attributes:
        nets: K >= 1, trained side by side and averaged.
        hidden: Width of the memory, >= 1.
        passes: Over all sequences, at most; >= 1.
        patience: Passes without an improvement before it stops; >= 1.
        rate: Of Adam, at the start, > 0; falls to 0 as a cosine.
        decay: Of the weights, a step, as a part of the rate; >= 0.
        dropped: Part of what the head reads that is left out, in [0, 1).
        batch: Sequences a step, >= 1.
        blend: Of the running mean of the weights, a step, in [0, 1).
        shift: Limits are shifted by up to this part, two times out of three; >= 0.
    """

    nets: int = 3
    hidden: int = 32
    passes: int = 12
    patience: int = 3
    rate: float = 3e-3
    decay: float = 1e-3
    dropped: float = 0.1
    batch: int = 256
    blend: float = 0.98
    shift: float = 0.12

    def __post_init__(self) -> None:
        for name in ("nets", "hidden", "passes", "patience", "batch"):
            if getattr(self, name) < 1:
                raise InvalidValueError(f"lstm: {name} is {getattr(self, name)}, must be >= 1")
        for name in ("dropped", "blend"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise InvalidValueError(
                    f"lstm: {name} is {getattr(self, name)}, must be in [0, 1)"
                )
        if not (self.rate > 0.0 and self.decay >= 0.0 and self.shift >= 0.0):
            raise InvalidValueError(
                f"lstm: rate is {self.rate}, decay {self.decay}, shift {self.shift}: the rate "
                "must be above 0, the others not below"
            )
