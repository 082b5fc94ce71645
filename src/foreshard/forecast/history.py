"""This module is the long memory of a fleet: evenly spaced, as fractions of limits, gaps as NaN.

A `Window` is what the engine looks at every second; a `History` is weeks of it in steps, what
models are fitted on and tried on. Nothing in it is filled in: what was not heard is NaN, what an
intervention changed is marked, and a model may use samples up to a moment and none after it.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from foreshard.model.errors import ForecastError

__all__ = ["ALONE", "History"]

# The sibling number of a cell that has none.
ALONE = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A long, evenly spaced memory of C cells, G gauges and T samples.

    Attributes:
        cells: C names, each once.
        gauges: G names, each once.
        begins_s: Sample t stands at `begins_s + t * step_s` and covers the step before it.
        step_s: > 0.
        value: float32 [C, G, T], fraction of the limit (>= 1 = at it), NaN = missing; in its own
            unit where the gauge has no limit.
        counts: bool [C, G], the gauge has a limit that counts in that cell; others are context.
        scales_with_load: bool [G].
        load: float32 [C, T], NaN = unknown.
        sibling: int32 [C], cells with the same number are siblings (region, version, hardware);
            `ALONE` = has none.
        censored: bool [C, T], an intervention changed what came after this sample, so that nothing
            having happened proves nothing.
        up_s: float32 [C, T], since the cell's last restart, NaN = unknown.
        declared: bool [C, T], breaches that somebody else declared (experts, a pager); where it is
            given, they are what is forecast, and not the gauges at their limits.
        older: The same cells and gauges further back, in longer steps (see `past.coarsened`);
            None = the history itself is all there is.
        weight: float32 [C, T], >= 0, how many samples each stands for in training, because others
            like it are censored (`censoring.weights_of`); None = one each.
    """

    cells: tuple[str, ...]
    gauges: tuple[str, ...]
    begins_s: float
    step_s: float
    value: NDArray[np.float32]
    counts: NDArray[np.bool_]
    scales_with_load: NDArray[np.bool_]
    load: NDArray[np.float32]
    sibling: NDArray[np.int32]
    censored: NDArray[np.bool_]
    up_s: NDArray[np.float32]
    declared: NDArray[np.bool_] | None = None
    older: History | None = None
    weight: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if not (np.isfinite(self.step_s) and self.step_s > 0.0 and np.isfinite(self.begins_s)):
            raise ForecastError(
                f"history: begins_s is {self.begins_s}, step_s {self.step_s}: must be finite, "
                "the step above 0"
            )
        for name in ("cells", "gauges"):
            names: tuple[str, ...] = getattr(self, name)
            if len(set(names)) < len(names):
                twice = sorted(n for n, times in Counter(names).items() if times > 1)
                raise ForecastError(f"history: {name} {twice} stand there twice, must be unique")
        if self.value.ndim != 3:
            raise ForecastError(f"history: value has shape {self.value.shape}, must be [C, G, T]")
        c, g, t = len(self.cells), len(self.gauges), self.value.shape[2]
        wanted = {
            "value": ((c, g, t), np.float32),
            "counts": ((c, g), np.bool_),
            "scales_with_load": ((g,), np.bool_),
            "load": ((c, t), np.float32),
            "sibling": ((c,), np.int32),
            "censored": ((c, t), np.bool_),
            "up_s": ((c, t), np.float32),
        }
        if self.declared is not None:
            wanted["declared"] = ((c, t), np.bool_)
        if self.weight is not None:
            wanted["weight"] = ((c, t), np.float32)
        for name, (shape, kind) in wanted.items():
            array: NDArray[np.generic] = getattr(self, name)
            if array.shape != shape or array.dtype != kind:
                raise ForecastError(
                    f"history: {name} is {array.dtype} {array.shape}, must be "
                    f"{np.dtype(kind)} {shape}"
                )
        if self.older is not None and (self.older.cells, self.older.gauges) != (
            self.cells,
            self.gauges,
        ):
            raise ForecastError("history: older is of other cells or gauges")

    @classmethod
    def of_gauges(
        cls,
        value: NDArray[np.float32],
        *,
        cells: tuple[str, ...],
        gauges: tuple[str, ...],
        step_s: float,
        begins_s: float = 0.0,
    ) -> Self:
        """A history of which only gauges are known, all of which count and none of which scales.

        Args:
            value: float32 [C, G, T], fractions of the limits, NaN = missing.
            cells: C names.
            gauges: G names.
            step_s: > 0.
            begins_s: Moment of the first sample.

        Raises:
            ForecastError: Shapes do not match.
        """
        c, g, t = value.shape
        return cls(
            cells=cells,
            gauges=gauges,
            begins_s=begins_s,
            step_s=step_s,
            value=value,
            counts=np.ones((c, g), dtype=bool),
            scales_with_load=np.zeros(g, dtype=bool),
            load=np.full((c, t), np.nan, dtype=np.float32),
            sibling=np.full(c, ALONE, dtype=np.int32),
            censored=np.zeros((c, t), dtype=bool),
            up_s=np.full((c, t), np.nan, dtype=np.float32),
        )

    @property
    def samples(self) -> int:
        """T."""
        return int(self.value.shape[2])

    def time_s(self) -> NDArray[np.float64]:
        """float64 [T], the moments of the samples."""
        return self.begins_s + self.step_s * np.arange(self.samples, dtype=np.float64)

    def steps(self, seconds: float) -> int:
        """So many seconds in samples, rounded, at least 1 for anything above 0."""
        return max(round(seconds / self.step_s), 1 if seconds > 0.0 else 0)

    def sample_of(self, moment_s: float) -> int:
        """The sample whose step covers a moment; it may lie outside of the history."""
        return math.ceil((moment_s - self.begins_s) / self.step_s - 1e-9)

    def until(self, t: int) -> Self:
        """A view of the first t samples: what was known before sample t came."""
        return self.between(0, t)

    def between(self, first: int, end: int) -> Self:
        """A view of the samples [first, end).

        Raises:
            ForecastError: It reaches outside the history.
        """
        if not 0 <= first <= end <= self.samples:
            raise ForecastError(
                f"history: [{first}, {end}) reaches outside its {self.samples} samples"
            )
        cut = slice(first, end)
        newest_s = self.begins_s + (end - 1) * self.step_s
        return replace(
            self,
            older=None if self.older is None else self.older.up_to(newest_s),
            begins_s=self.begins_s + first * self.step_s,
            value=self.value[:, :, cut],
            load=self.load[:, cut],
            censored=self.censored[:, cut],
            up_s=self.up_s[:, cut],
            declared=None if self.declared is None else self.declared[:, cut],
            weight=None if self.weight is None else self.weight[:, cut],
        )

    def up_to(self, moment_s: float) -> Self:
        """A view of the samples that were over at a moment."""
        over = int(np.floor((moment_s - self.begins_s) / self.step_s + 1e-9)) + 1
        return self.until(min(max(over, 0), self.samples))
