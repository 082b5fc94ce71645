"""This module is the profiler at work: what the loop sees goes into a survey of the fleet's work.

It steers nothing: what it finds is a report, and tells its news to the log. A large fleet is read
as often as its part of the time allows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from time import thread_time

import numpy as np
import structlog
from numpy.typing import NDArray

from foreshard.controller.account import catalogue_of, report_of
from foreshard.engine.counted import Counted, gauged
from foreshard.model.category import Dependence, Tag, WorkloadProfile
from foreshard.model.cost import CostReport
from foreshard.model.errors import StoreError
from foreshard.model.events import DependencyLevel, EventKind
from foreshard.model.telemetry import Fresh, Observation
from foreshard.model.topology import Fleet
from foreshard.model.workload import RequestClass
from foreshard.ports import StateStore
from foreshard.profile.catalogue import Catalogue
from foreshard.profile.dependency import (
    dependences,
    start_failures,
    update_failures,
    with_dependencies,
)
from foreshard.profile.survey import Survey, Surveyor

__all__ = ["KEY", "MOST_RESOURCES", "Profiling"]

log = structlog.get_logger(__name__)

Array = NDArray[np.float64]

# Where the report is kept.
KEY = "profile"
# Part of the engine's time that reading may take, and how often what was found is written.
PART, WRITE_S = 0.05, 10.0
# More gauges than this are seldom costs, and each takes its time.
MOST_RESOURCES = 8
# What is as good as down for those who need it.
DOWN = frozenset({DependencyLevel.PARTIAL_OUTAGE, DependencyLevel.MAJOR_OUTAGE})


class Profiling:
    """Surveys one fleet.

    Args:
        fleet: The cells.
        classes: In the order in which the engine counts them.
        store: Where the report is kept, and read again after a restart.
    """

    def __init__(self, fleet: Fleet, classes: Sequence[RequestClass], store: StateStore) -> None:
        self._fleet, self._store = fleet, store
        self.take_up(classes)
        self._tags: Mapping[str, Tag] = {}
        self._trouble = ""
        self._taken_s = self._rests_until_s = self._written_s = float("-inf")

    def take_up(self, classes: Sequence[RequestClass]) -> None:
        """Survey other classes from now on; of categories the last report reminds."""
        self._classes = tuple(classes)
        self._surveyor: Surveyor | None = None
        self._survey: Survey | None = None
        self._dependencies = tuple(sorted({d for c in classes for d in c.dependencies}))
        self._failures = start_failures(
            classes=len(self._classes), dependencies=len(self._dependencies)
        )

    def tag(self, tags: Mapping[str, Tag]) -> None:
        """What persons say of classes, by class; in place of what they said before."""
        self._tags = dict(tags)

    def report(self, reports: Sequence[CostReport]) -> None:
        """What requests said themselves that they used."""
        if self._surveyor is not None and self._survey is not None:
            self._survey = self._surveyor.report(self._survey, reports)

    @property
    def profile(self) -> WorkloadProfile | None:
        """What is known now; None before anything was heard."""
        if self._surveyor is None or self._survey is None:
            return None
        return self._surveyor.profile(
            self._survey, at_s=self._taken_s, tags=self._tags, depends=self._depends()
        )

    @property
    def catalogue(self) -> Catalogue:
        """The categories that are known now."""
        return self._survey.catalogue if self._survey is not None else Catalogue()

    def take(self, observation: Observation, count: Counted | None) -> None:
        """Add an observation; never raises for what cannot be kept, but says so.

        Args:
            observation: Newer than the one before.
            count: What balancers saw of it, as the engine counted it; None = nothing yet.
        """
        now_s = observation.now_s
        if count is None or now_s < self._rests_until_s:
            return
        began_s = thread_time()
        try:
            self._take(observation, count)
            if now_s >= self._written_s + WRITE_S:
                self._written_s = now_s
                self._write()
        except (ValueError, ArithmeticError, IndexError) as error:
            # A report is no reason to stop steering: what was learned before stands.
            self._complain(str(error))
        else:
            self._recover()
        self._taken_s = now_s
        self._rests_until_s = now_s + (thread_time() - began_s) * (1.0 / PART - 1.0)

    def _complain(self, because: str) -> None:
        """Once for each reason."""
        if because != self._trouble:
            self._trouble = because
            log.error("profile.failed", because=because, effect="the report is not renewed")

    def _recover(self) -> None:
        if self._trouble:
            self._trouble = ""
            log.info("profile.recovered")

    def _take(self, observation: Observation, count: Counted) -> None:
        gap_s = observation.now_s - self._taken_s
        dt_s = gap_s if isfinite(gap_s) and gap_s > 0.0 else max(observation.interval_s, 1e-3)
        self._fail(observation, count)
        readings = [observation.cells[name] for name in self._fleet.names]
        named = {
            g for r in readings if isinstance(r.reading, Fresh) for g in r.reading.metrics.gauges
        }
        known = self._surveyor.resources if self._surveyor is not None else ()
        # Where there is no room for another gauge, those that have it are read on.
        if not named <= set(known) and len(known) < MOST_RESOURCES:
            self._begin(named)
        elif self._surveyor is None:
            return
        assert self._surveyor is not None  # noqa: S101 - begun above
        assert self._survey is not None  # noqa: S101 - begun with it
        said = gauged(readings, self._surveyor.resources, newest_s=1.5 * observation.interval_s)
        survey, dearer = self._surveyor.read(
            self._survey, count.rate_rps, said.used, at_s=observation.now_s, dt_s=dt_s
        )
        self._survey = survey
        for cost in dearer:
            log.warning("profile.cost_changed", request_class=cost.request_class, text=str(cost))
        if not self._surveyor.is_due(survey, at_s=observation.now_s):
            return
        self._survey, moved = self._surveyor.classify(
            survey,
            at_s=observation.now_s,
            capacity=_offered(observation, self._fleet, self._surveyor.resources, said.capacity),
            depends={n: frozenset(d.dependency for d in ds) for n, ds in self._depends().items()},
        )
        for move in moved:
            log.info("profile.category_changed", request_class=move.request_class, text=str(move))

    def _begin(self, named: set[str]) -> None:
        # A gauge that was not there before: costs are learned anew, names are kept.
        before = self._surveyor.resources if self._surveyor is not None else ()
        resources = sorted({*named, *before})[:MOST_RESOURCES]
        catalogue = self._survey.catalogue if self._survey is not None else self._remembered()
        self._surveyor = Surveyor(
            [c.name for c in self._classes],
            resources,
            cells=len(self._fleet.cells),
            hardware=_sort_of(self._fleet),
        )
        self._survey = self._surveyor.begin(catalogue)

    def _fail(self, observation: Observation, count: Counted) -> None:
        down = [
            e
            for e in observation.events
            if e.kind is EventKind.DEPENDENCY
            and e.level in DOWN
            and e.is_within(observation.now_s)
        ]
        new = sorted({e.dependency for e in down} - set(self._dependencies))
        if new:
            self._dependencies = (*self._dependencies, *new)
            self._failures = with_dependencies(self._failures, len(new))
        is_down = np.zeros((len(self._fleet.cells), len(self._dependencies)), dtype=np.bool_)
        # Several events may tell of one dependency, each in cells of its own.
        for event in down:
            concerned = [event.concerns(cell) for cell in self._fleet.names]
            is_down[:, self._dependencies.index(event.dependency)] |= concerned
        requests = count.rate_rps * observation.interval_s
        failed = requests * count.failed_ratio
        self._failures = update_failures(self._failures, requests, failed, is_down)

    def _depends(self) -> Mapping[str, tuple[Dependence, ...]]:
        return dependences(self._classes, self._dependencies, failures=self._failures)

    def _remembered(self) -> Catalogue:
        """Categories as they were called before a restart."""
        try:
            kept = self._store.get(KEY)
            return catalogue_of(kept) if kept else Catalogue()
        except (StoreError, AttributeError, KeyError, TypeError, ValueError) as error:
            log.warning("profile.unreadable", error=str(error), effect="categories are named anew")
            return Catalogue()

    def _write(self) -> None:
        profile = self.profile
        if profile is None or self._surveyor is None or self._survey is None:
            return
        idle = self._surveyor.idle(self._survey)
        centres = self._survey.catalogue.centre
        try:
            speeds = self._surveyor.speeds(self._survey)
            told = report_of(profile, idle=idle, centres=centres)
            named = {label or "unlabelled": speeds[n] for n, label in enumerate(self._fleet.sorts)}
            self._store.put(KEY, {**told, "hardware": named if len(named) > 1 else {}})
        except StoreError as error:
            log.warning("profile.unkept", error=str(error), effect="the report is not renewed")


def _sort_of(fleet: Fleet) -> NDArray[np.int64]:
    """[C] which of `Fleet.sorts` each cell is."""
    labels = [fleet.hardware.get(name, "") for name in fleet.names]
    return np.array([fleet.sorts.index(label) for label in labels], dtype=np.int64)


def _offered(
    observation: Observation, fleet: Fleet, resources: Sequence[str], capacity: Array
) -> Array:
    """[R] what a mean cell offers: its capacity, or else the limit of its gauge; NaN = unknown."""
    limits = np.full(capacity.shape, np.nan)
    for c, name in enumerate(fleet.names):
        reading = observation.cells[name].reading
        if isinstance(reading, Fresh):
            for r, resource in enumerate(resources):
                gauge = reading.metrics.gauges.get(resource)
                limits[c, r] = gauge.limit if gauge is not None else np.nan
    offered = np.where(np.isfinite(capacity), capacity, limits)
    known = np.isfinite(offered)
    total = np.where(known, offered, 0.0).sum(axis=0)
    return np.asarray(total / np.where(known.any(axis=0), known.sum(axis=0), np.nan))
