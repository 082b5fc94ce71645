"""This module is the survey of a fleet's work: costs, categories and dependencies in one profile.

Costs are read as often as there are readings; categories are found anew every few seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from foreshard.model.category import CategoryChange, ClassProfile, Dependence, Tag, WorkloadProfile
from foreshard.model.cost import Cost, CostChange, CostReport, JointCost
from foreshard.profile.book import read_costs
from foreshard.profile.catalogue import Catalogue, Priced, classify
from foreshard.profile.identity import REACH_SDS, Told, tell
from foreshard.profile.regression import (
    NEAR_S,
    CostState,
    base,
    precision,
    start_costs,
    take_reports,
)
from foreshard.profile.typical import typical_cost

__all__ = ["Survey", "Surveyor"]

Array = NDArray[np.float64]

CLASSIFY_S = 10.0
# Nothing is said before so many seconds were seen.
WARM_S = 60.0
# Categories wait until most classes are known, but no longer than this.
MOST_KNOWN, LATE_S = 0.7, 300.0
KEPT_CHANGES = 50
# A class that no cell is asked for more often: a single request of it looks like an outlier, and
# would be clipped as one.
LEAST_RPS = 1.0 / NEAR_S
# A resource of which requests use less than this part (a disk, a leak) tells no categories.
LEAST_WORK = 0.05


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Survey:
    """What is known so far.

    Attributes:
        costs: Of every class and resource.
        catalogue: Categories.
        changes: The newest last.
        classified_at_s: When categories were found last.
    """

    costs: CostState
    catalogue: Catalogue
    changes: tuple[CostChange | CategoryChange, ...] = ()
    classified_at_s: float = float("-inf")


class Surveyor:
    """Turns readings into a survey; holds only what never changes.

    Args:
        classes: Names, in the order of the arrays.
        resources: Names, in the order of the arrays.
        cells: How many.
        hardware: int [C], which sort each cell runs on; None = all the same.
    """

    def __init__(
        self,
        classes: Sequence[str],
        resources: Sequence[str],
        *,
        cells: int,
        hardware: NDArray[np.int64] | None = None,
    ) -> None:
        self.classes, self.resources = tuple(classes), tuple(resources)
        self._cells, self._hardware = cells, hardware

    def begin(self, catalogue: Catalogue | None = None) -> Survey:
        """Nothing was seen yet; categories keep the names that they had."""
        costs = start_costs(
            cells=self._cells,
            classes=len(self.classes),
            resources=len(self.resources),
            hardware=self._hardware,
        )
        return Survey(costs=costs, catalogue=catalogue or Catalogue())

    def read(
        self, survey: Survey, rates: Array, used: Array, *, at_s: float, dt_s: float
    ) -> tuple[Survey, tuple[CostChange, ...]]:
        """Take in one reading of every cell.

        Args:
            survey: Before.
            rates: [C, K] requests a second, NaN = unknown.
            used: [C, R] use over the same stretch, NaN = unknown.
            at_s: The moment.
            dt_s: Since the last reading, > 0.

        Returns:
            With the classes that were found to have changed their cost.
        """
        costs, shifts = read_costs(survey.costs, rates, used, dt_s=dt_s)
        news = tuple(
            CostChange(
                request_class=self.classes[s.k],
                resource=self.resources[s.r],
                at_s=at_s,
                before=float(survey.costs.costs[s.k, s.r]),
                after=max(float(survey.costs.costs[s.k, s.r]) + s.change, 0.0),
                deviations=s.deviations,
            )
            for s in shifts
        )
        changes = (*survey.changes, *news)[-KEPT_CHANGES:]
        return replace(survey, costs=costs, changes=changes), news

    def report(self, survey: Survey, reports: Sequence[CostReport]) -> Survey:
        """Take in what requests themselves said that they used; unknown names are left out."""
        shape = len(self.classes), len(self.resources)
        count, total, square = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        for each in reports:
            if each.request_class not in self.classes:
                continue
            k = self.classes.index(each.request_class)
            for r, resource in enumerate(self.resources):
                if resource in each.total:
                    count[k, r] += each.requests
                    total[k, r] += each.total[resource]
                    square[k, r] += each.squares.get(resource, np.nan)
        said = np.where(count > 0.0, count, np.nan)
        mean = total / said
        scatter = np.sqrt(np.maximum(square / said - mean**2, 0.0))
        return replace(survey, costs=take_reports(survey.costs, mean, count, scatter))

    def speeds(self, survey: Survey) -> Mapping[int, Mapping[str, float]]:
        """By sort of hardware, times as much that it uses for the same work, by resource."""
        return {
            sort: dict(zip(self.resources, scale, strict=True))
            for sort, scale in enumerate(survey.costs.scale.tolist())
        }

    def is_due(self, survey: Survey, *, at_s: float) -> bool:
        """Whether it is time to find categories anew."""
        is_warm = survey.costs.shift.seen_s >= WARM_S
        return is_warm and at_s >= survey.classified_at_s + CLASSIFY_S

    def classify(
        self,
        survey: Survey,
        *,
        at_s: float,
        capacity: Array,
        depends: Mapping[str, frozenset[str]] | None = None,
    ) -> tuple[Survey, tuple[CategoryChange, ...]]:
        """Find categories anew if it is time to.

        Args:
            survey: Before.
            at_s: The moment.
            capacity: [R] what a mean cell offers, NaN = unknown.
            depends: By class, what it needs besides the cell.
        """
        if not self.is_due(survey, at_s=at_s):
            return survey, ()
        state = survey.costs
        work = (state.mean_rates @ state.costs).sum(axis=0)
        used = np.nansum(np.abs(state.mean_used), axis=0)
        telling = np.flatnonzero(work > LEAST_WORK * used)
        told = [self._told(state, r) for r in telling.tolist()]
        survey = replace(survey, classified_at_s=at_s)
        if not told:
            return survey, ()
        priced = Priced(
            names=self.classes,
            resources=tuple(self.resources[r] for r in telling.tolist()),
            cost=np.stack([t.guess for t in told], axis=1),
            error=np.stack([(t.high - t.guess) / REACH_SDS for t in told], axis=1),
            capacity=capacity[telling],
        )
        # Words for a few of many classes would soon be the wrong ones.
        part = float(np.mean(priced.is_known)) if self.classes else 0.0
        if part < MOST_KNOWN and survey.costs.shift.seen_s < LATE_S:
            return survey, ()
        catalogue, news = classify(survey.catalogue, priced, at_s=at_s, depends=depends)
        changes = (*survey.changes, *news)[-KEPT_CHANGES:]
        return replace(survey, catalogue=catalogue, changes=changes), news

    def profile(
        self,
        survey: Survey,
        *,
        at_s: float,
        tags: Mapping[str, Tag] | None = None,
        depends: Mapping[str, tuple[Dependence, ...]] | None = None,
    ) -> WorkloadProfile:
        """What is known, for people, the API and the router.

        Args:
            survey: Where from.
            at_s: The moment.
            tags: By class, what persons said.
            depends: By class, what it needs besides the cell.
        """
        state, catalogue = survey.costs, survey.catalogue
        told = {r: self._told(state, i) for i, r in enumerate(self.resources)}
        rates = state.mean_rates.sum(axis=0)
        classes = {}
        for k, name in enumerate(self.classes):
            title = catalogue.of_class.get(name, "")
            classes[name] = ClassProfile(
                request_class=name,
                costs={r: self._cost(t, k) for r, t in told.items()},
                found=catalogue.categories.get(title),
                confidence=catalogue.confidence.get(name, 0.0) if title else 0.0,
                tag=(tags or {}).get(name),
                depends=(depends or {}).get(name, ()),
                rate_rps=float(rates[k]),
            )
        return WorkloadProfile(
            at_s=at_s,
            classes=classes,
            joint=tuple(
                JointCost(
                    resource=r,
                    request_classes=tuple(sorted(self.classes[k] for k in group)),
                    cost=Cost(per_request=cost, low=low, high=high),
                )
                for r, t in told.items()
                for group, cost, low, high in t.groups
            ),
            categories=catalogue.categories,
            changes=survey.changes,
        )

    def idle(self, survey: Survey) -> Mapping[str, float]:
        """By resource, what a mean cell uses without any request; NaN = never heard."""
        known = base(survey.costs)
        heard = np.isfinite(known)
        mean = np.where(heard, known, 0.0).sum(axis=0) / np.where(
            heard.any(axis=0), heard.sum(axis=0), np.nan
        )
        return dict(zip(self.resources, mean.tolist(), strict=True))

    def _told(self, state: CostState, r: int) -> Told:
        inverse, pull = precision(state)
        typical = typical_cost(state.mean_rates, state.mean_used)
        rates = state.mean_rates.mean(axis=0)
        told = tell(inverse[r], pull[r], rates, typical=float(typical[r]))
        sparse = (state.mean_rates.max(axis=0, initial=0.0) < LEAST_RPS) & (
            state.report_weight[:, r] == 0.0
        )
        if not sparse.any():
            return told
        # All that is used, laid to that class: it cannot cost more.
        asked = np.maximum(state.mean_rates.sum(axis=0), 1e-12)
        most = np.nansum(np.abs(state.mean_used[:, r])) / asked
        return replace(
            told,
            cost=np.where(sparse, np.nan, told.cost),
            low=np.where(sparse, 0.0, told.low),
            high=np.where(sparse, np.maximum(most, told.high), told.high),
        )

    def _cost(self, told: Told, k: int) -> Cost:
        low, high = float(told.low[k]), float(told.high[k])
        if np.isfinite(told.cost[k]):
            return Cost(per_request=float(told.cost[k]), low=low, high=high)
        for group, *_ in told.groups:
            if k in group:
                names = ", ".join(sorted(self.classes[i] for i in group))
                return Cost(low=low, high=high, because=f"unidentified: {names} are collinear")
        return Cost(low=low, high=high, because="too little traffic to tell")
