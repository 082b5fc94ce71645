"""This module is one look at what cells answer: the evidence for what they can serve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreshard.model.errors import ForecastError

__all__ = ["Look"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Look:
    """One look at C cells and K classes.

    Attributes:
        rate_rps: [C, K] answered a second, NaN = not heard.
        failed_ratio: [C, K] of these, in [0, 1].
        latency_s: [C, K] mean, NaN = nothing was answered.
        in_flight: [C] open requests, NaN = unknown.
        busy: [C] utilisation of the scarcest gauge that bounds a rate, NaN = unknown.
        capacity: [C] work a second that the gauges offer, > 0.
        work: [K] of one request, in the unit of `capacity`, > 0.
        sent_rps: [K] what was let through to all cells, NaN = unknown.
        least_rps: [K] the least that a cell can be given of a class: shares are counted in
            slots and weights. Default: as little as one likes.
    """

    rate_rps: Array
    failed_ratio: Array
    latency_s: Array
    in_flight: Array
    busy: Array
    capacity: Array
    work: Array
    sent_rps: Array
    least_rps: Array | None = None

    def __post_init__(self) -> None:
        shape = self.rate_rps.shape
        cells, classes = (shape[0],), (shape[-1],)
        for name, wanted in (
            ("failed_ratio", shape),
            ("latency_s", shape),
            ("in_flight", cells),
            ("busy", cells),
            ("capacity", cells),
            ("work", classes),
            ("sent_rps", classes),
            ("least_rps", classes),
        ):
            given = getattr(self, name)
            if given is not None and given.shape != wanted:
                raise ForecastError(f"look: {name} has shape {given.shape}, must be {wanted}")
        if not (np.all(self.capacity > 0.0) and np.all(self.work > 0.0)):
            raise ForecastError(
                f"look: capacity {self.capacity.min()} and work {self.work.min()} must be > 0"
            )
