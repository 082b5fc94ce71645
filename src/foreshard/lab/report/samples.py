"""This module is what Foreshard believed and did over time, read from the report's samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from foreshard.lab.report.document import Value

__all__ = ["SampledRun", "Stated", "read_samples"]

# Nothing is drawn over a time in which so many ticks in a row were not heard of, and so long.
SILENT_TICKS, SILENT_S = 5.0, 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """A probability and where 80 % of what makes it up lies."""

    p: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledRun:
    """One row a tick.

    Attributes:
        t_s: Seconds from the start of the story, rising.
        share: [time][class][cell], fractions of each class's demand.
        phase: [time][cell].
        risk: By horizon in seconds, [time][cell]; None = nothing was stated.
        class_risk: By horizon in seconds, [time][class][cell].
    """

    cells: tuple[str, ...]
    classes: tuple[str, ...]
    t_s: tuple[float, ...]
    share: tuple[tuple[tuple[float, ...], ...], ...]
    phase: tuple[tuple[str, ...], ...]
    risk: Mapping[float, tuple[tuple[Stated | None, ...], ...]]
    class_risk: Mapping[float, tuple[tuple[tuple[Stated | None, ...], ...], ...]]

    def silences(self) -> Mapping[int, float]:
        """When nothing was heard: by the row that ended it, how long it lasted in seconds."""
        if len(self.t_s) < 2:
            return {}
        steps = [b - a for a, b in pairwise(self.t_s)]
        long_s = max(SILENT_S, SILENT_TICKS * median(steps))
        return {i: step for i, step in enumerate(steps, start=1) if step > long_s}


def read_samples(value: Value) -> SampledRun:
    """Read and hold to one shape.

    Raises:
        LabError: Damaged.
    """
    cells = tuple(v.text() for v in value["cells"].items())
    classes = tuple(v.text() for v in value["classes"].items())
    t_s = value["t_s"].numbers()
    if any(b < a for a, b in pairwise(t_s)):
        value["t_s"].refuse("a list of moments that rise")
    rows, horizons = len(t_s), value["horizons_s"].numbers(0.0)
    return SampledRun(
        cells=cells,
        classes=classes,
        t_s=t_s,
        share=tuple(
            tuple(
                tuple(v.number(0.0, 1.001) for v in row.items(len(cells)))
                for row in at.items(len(classes))
            )
            for at in value["share"].items(rows)
        ),
        phase=tuple(
            tuple(v.text() for v in at.items(len(cells))) for at in value["phase"].items(rows)
        ),
        risk={
            h: tuple(
                tuple(_stated(v) for v in at.items(len(cells)))
                for at in value["risk"][f"{h:g}"].items(rows)
            )
            for h in horizons
        },
        class_risk={
            h: tuple(
                tuple(
                    tuple(_stated(v) for v in row.items(len(cells)))
                    for row in at.items(len(classes))
                )
                for at in value["class_risk"][f"{h:g}"].items(rows)
            )
            for h in horizons
        },
    )


def _stated(value: Value) -> Stated | None:
    if value.raw is None:
        return None
    p, low, high = (v.number(0.0, 1.0) for v in value.items(3))
    return Stated(p=p, low=low, high=high)
