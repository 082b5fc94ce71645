"""This module is what happened to every request of one fleet, as plain arrays.

A record file is an `.npz` without pickled objects: strings are fixed-width unicode.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from http import HTTPStatus
from pathlib import Path

import numpy as np
import numpy.typing as npt

from foreshard.model.errors import LabError
from foreshard.model.workload import RequestClass

__all__ = ["UNKNOWN_CELL", "Outcome", "Records", "Run", "Verdict", "judge", "load", "save"]

# Index of the serving cell when the answer did not tell.
UNKNOWN_CELL = 255


class Outcome(IntEnum):
    """How a request ended on the wire."""

    UNSENT = 0
    OPEN = 1
    ANSWERED = 2
    NOT_CONNECTED = 3
    BROKEN = 4
    TIMED_OUT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """Every request of one fleet in order of arrival; one entry a request.

    Attributes:
        t_s: float64, scheduled moment from the start of the run.
        request_class: uint8, index in class order.
        lateness_s: float32, how much later than scheduled it was sent (our own fault).
        latency_s: float32, from sending to the whole answer, or to giving up; NaN = none.
        status: uint16, HTTP status; 0 = no answer.
        outcome: uint8, an `Outcome`.
        cell: uint8, index of the serving cell or `UNKNOWN_CELL`.
    """

    t_s: npt.NDArray[np.float64]
    request_class: npt.NDArray[np.uint8]
    lateness_s: npt.NDArray[np.float32]
    latency_s: npt.NDArray[np.float32]
    status: npt.NDArray[np.uint16]
    outcome: npt.NDArray[np.uint8]
    cell: npt.NDArray[np.uint8]

    def __post_init__(self) -> None:
        lengths = {len(getattr(self, column.name)) for column in fields(self)}
        if len(lengths) != 1:
            raise LabError(f"records: columns have different lengths {sorted(lengths)}")

    def __len__(self) -> int:
        """Number of requests."""
        return len(self.t_s)

    @classmethod
    def blank(cls, t_s: npt.NDArray[np.float64], request_class: npt.NDArray[np.uint8]) -> Records:
        """Room for a schedule of which nothing was sent yet."""
        n = len(t_s)
        return cls(
            t_s=t_s,
            request_class=request_class,
            lateness_s=np.full(n, np.nan, np.float32),
            latency_s=np.full(n, np.nan, np.float32),
            status=np.zeros(n, np.uint16),
            outcome=np.full(n, Outcome.UNSENT, np.uint8),
            cell=np.full(n, UNKNOWN_CELL, np.uint8),
        )

    def finished(self) -> Records:
        """Those that ended; what was cut off with the run is nobody's fault."""
        return self.at(self.outcome > Outcome.OPEN)

    def at(self, which: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Records:
        """Those under a mask of the same length, or at these positions."""
        return Records(**{c.name: getattr(self, c.name)[which] for c in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was bad about each request; bool arrays of which at most one holds per request.

    Attributes:
        failed: No answer, or a status of 400 and above other than 429.
        slow: Answered well, but later than the objective of its class.
        shed: Refused with 429.
        weight: float64, how much the request counts when it is bad.
    """

    failed: npt.NDArray[np.bool_]
    slow: npt.NDArray[np.bool_]
    shed: npt.NDArray[np.bool_]
    weight: npt.NDArray[np.float64]

    @property
    def bad(self) -> npt.NDArray[np.bool_]:
        """Failed, slow or shed."""
        return self.failed | self.slow | self.shed

    @property
    def bad_weighted(self) -> npt.NDArray[np.float64]:
        """Weight of each bad request, 0 of each good one."""
        return np.where(self.bad, self.weight, 0.0)


def judge(records: Records, classes: Sequence[RequestClass]) -> Verdict:
    """Judge finished requests by the objectives and weights of their classes."""
    objective_s = np.array([c.objective_s for c in classes])[records.request_class]
    weight = np.array([c.weight for c in classes], dtype=np.float64)[records.request_class]
    answered = records.outcome == Outcome.ANSWERED
    shed = answered & (records.status == HTTPStatus.TOO_MANY_REQUESTS)
    failed = ~answered | ((records.status >= HTTPStatus.BAD_REQUEST) & ~shed)
    slow = ~failed & ~shed & (records.latency_s > objective_s)
    return Verdict(failed=failed, slow=slow, shed=shed, weight=weight)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of the load generator.

    Attributes:
        classes: Names in class order.
        cells: Names in cell order.
        fleets: Records by fleet, over the same arrivals.
    """

    classes: tuple[str, ...]
    cells: tuple[str, ...]
    fleets: Mapping[str, Records]


def save(run: Run, path: Path) -> None:
    """Write a run, atomically: a reader sees the whole file or none."""
    arrays = {
        f"{fleet}/{column.name}": getattr(records, column.name)
        for fleet, records in run.fleets.items()
        for column in fields(records)
    }
    names = {key: np.array(getattr(run, key), dtype=np.str_) for key in ("classes", "cells")}
    fleets = np.array(list(run.fleets), dtype=np.str_)
    scratch = path.with_name(f"{path.name}.part")
    with scratch.open("wb") as file:
        np.savez(file, allow_pickle=False, fleets=fleets, **names, **arrays)
    scratch.replace(path)


def load(path: Path) -> Run:
    """Read a run.

    Raises:
        LabError: The file is missing or is no record file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return Run(
                classes=tuple(map(str, file["classes"])),
                cells=tuple(map(str, file["cells"])),
                fleets={
                    str(fleet): Records(
                        **{c.name: file[f"{fleet}/{c.name}"] for c in fields(Records)}
                    )
                    for fleet in file["fleets"]
                },
            )
    except (OSError, KeyError, ValueError) as error:
        raise LabError(f"records {path} cannot be read: {error}") from error
