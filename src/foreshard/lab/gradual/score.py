"""This module is what alarms were worth: how many failures they announced, how early, how falsely.

An alarm is the first sample at which the probability stands over the threshold, and none for a
while after it. It announces a run if it comes while the degradation is on, and early enough before
the failure. Where a cell is well every alarm is false; between the first sign and the end of a
failure none is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreshard.lab.gradual.fleet import Run, Trial
from foreshard.model.errors import LabError

__all__ = ["Announced", "Score", "find_alarms", "safe_threshold", "score_alarms"]

DAY_S = 86400.0
# Alarms earlier than this before the failure leave time to act.
LEAST_LEAD_S = 300.0
# Thresholds are tried on so fine a scale; finer ones mean nothing.
THRESHOLDS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """One run, and its first alarm.

    Attributes:
        run: See `fleet.Run`.
        lead_s: From the alarm to the failure; 0 = there was none.
        lead_ratio: The same over the degradation's length.
        in_time: It left time to act.
    """

    run: Run
    lead_s: float
    lead_ratio: float
    in_time: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What alarms were worth.

    Attributes:
        runs: Each with its alarm.
        false_alarms: How many.
        healthy_days: Cell-days in which an alarm would have been false.
    """

    runs: tuple[Announced, ...]
    false_alarms: int
    healthy_days: float

    @property
    def announced_ratio(self) -> float:
        """Runs announced in time, of all; NaN of none."""
        return float(np.mean([r.in_time for r in self.runs])) if self.runs else float("nan")

    @property
    def lead_ratio(self) -> float:
        """Median over all runs of the lead over the degradation's length; 0 where missed."""
        return float(np.median([r.lead_ratio for r in self.runs])) if self.runs else float("nan")

    @property
    def false_a_day(self) -> float:
        """False alarms a healthy cell-day."""
        return self.false_alarms / self.healthy_days if self.healthy_days else float("nan")


def find_alarms(
    p: NDArray[np.float32], threshold: float, *, refractory: int
) -> list[tuple[int, int]]:
    """The alarms of a fleet, by cell and then by time.

    Args:
        p: [C, T], NaN = nothing is said.
        threshold: An alarm is raised where p is at or over it.
        refractory: Samples after an alarm in which there is no other.
    """
    found: list[tuple[int, int]] = []
    for cell, row in enumerate(p):
        free = 0
        for at in np.flatnonzero(row >= threshold).tolist():
            if at >= free:
                found.append((cell, at))
                free = at + max(refractory, 1)
    return found


def safe_threshold(
    p: NDArray[np.float32],
    healthy: NDArray[np.bool_],
    *,
    false_a_day: float,
    step_s: float,
    refractory: int,
) -> float:
    """The lowest threshold that would have alarmed in healthy cells no oftener than asked for.

    Args:
        p: [C, T], of a stretch that is not scored.
        healthy: [C, T], where an alarm would have been false.
        false_a_day: Asked for, a cell and day.
        step_s: Between two samples.
        refractory: See `find_alarms`.

    Raises:
        LabError: Nothing is said of any healthy sample.
    """
    seen = p[healthy & ~np.isnan(p)]
    if not seen.size:
        raise LabError("gradual: no forecast of any healthy sample, no threshold can be chosen")
    most = false_a_day * float(healthy.sum()) * step_s / DAY_S
    # The scale is fine where probabilities are rare: near none of them lie above the highest.
    upper = np.unique(np.quantile(seen, 1.0 - np.geomspace(1.0, 0.1 / seen.size, THRESHOLDS)))
    kept = np.where(healthy, p, np.float32(np.nan))
    for threshold in upper.tolist():
        if len(find_alarms(kept, threshold, refractory=refractory)) <= most:
            return float(threshold)
    return float(np.nextafter(np.float32(upper[-1]), np.float32(np.inf)))


def score_alarms(
    trial: Trial, p: NDArray[np.float32], threshold: float, *, first: int, refractory: int
) -> Score:
    """Score a stretch of a trial.

    Args:
        trial: The fleet and the truth.
        p: [C, T - first], of the samples from `first` on; NaN = nothing is said.
        threshold: See `find_alarms`.
        first: Where the scored stretch begins; runs that began before it do not count.
        refractory: See `find_alarms`.
    """
    step_s = trial.history.step_s
    alarms: list[list[int]] = [[] for _ in trial.history.cells]
    for cell, at in find_alarms(p, threshold, refractory=refractory):
        alarms[cell].append(first + at)
    runs = [run for run in trial.runs if run.fault.begin >= first]
    return Score(
        runs=tuple(_announced(run, alarms[run.fault.cell], step_s) for run in runs),
        false_alarms=sum(
            not trial.ill[cell, at] for cell, times in enumerate(alarms) for at in times
        ),
        healthy_days=float((~trial.ill[:, first:]).sum()) * step_s / DAY_S,
    )


def _announced(run: Run, alarms: Sequence[int], step_s: float) -> Announced:
    begin, onset = run.fault.begin, run.onset
    during = [at for at in alarms if begin <= at < onset]
    lead_s = (onset - during[0]) * step_s if during else 0.0
    return Announced(
        run=run,
        lead_s=lead_s,
        lead_ratio=lead_s / ((onset - begin) * step_s) if during else 0.0,
        in_time=lead_s >= LEAST_LEAD_S,
    )
