"""This module is the catalogue of categories: named in words, the same words from run to run.

A group of classes takes the name of the category that it was before, as long as it costs about
the same; a class changes its category when it has been found in another one some times in a row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from foreshard.model.category import Category, CategoryChange, Level
from foreshard.model.errors import ForecastError
from foreshard.profile.clustering import OTHER_TIMES, group_costs

__all__ = ["Catalogue", "Priced", "classify", "resembling"]

Array = NDArray[np.float64]

# A category is light or heavy when it costs so many times less or more than the middle class.
LEVEL_TIMES = 3.0
# A resource binds when a request takes this many times more of it than of the next, by what a
# cell offers.
BOUND_TIMES = 1.5
# A category that costs so many times more or less than it did is another one.
SAME_TIMES = 2.0
# A class moves when it was found elsewhere so often in a row.
SURE_LOOKS = 3
# A cost whose standard deviation is more than this part of it is vague.
VAGUE = 0.5
# Classes are apart by what is beyond so many standard deviations of each.
RANGE_SDS = 1.0
# Classes of one category differ by about this part.
SPREAD = 0.2
# A cost of nothing, as a part of the middle one.
LEAST_PART = 1e-3
# Levels of what was never bound are told by the resource of which most is taken.
WORDS = {Level.LIGHT: -1, Level.NORMAL: 0, Level.HEAVY: 1}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Priced:
    """Costs of K classes in R resources, as far as they are known.

    Attributes:
        names: Of the classes.
        resources: Of the columns.
        cost: [K, R] NaN = unknown; may be little more than a guess, if `error` says so.
        error: [K, R] standard deviation.
        capacity: [R] what a mean cell offers a second, > 0; NaN = unknown.
    """

    names: tuple[str, ...]
    resources: tuple[str, ...]
    cost: Array
    error: Array
    capacity: Array

    def __post_init__(self) -> None:
        shape = len(self.names), len(self.resources)
        if self.cost.shape != shape or self.error.shape != shape:
            raise ForecastError(
                f"priced: cost {self.cost.shape}, error {self.error.shape}: must be {shape}"
            )

    @property
    def middle(self) -> Array:
        """[R] of the costs that are well known; 1 where none is."""
        well = np.where(self.error < VAGUE * self.cost, self.cost, np.nan)
        return np.array([np.nanmedian(c) if np.isfinite(c).any() else 1.0 for c in well.T])

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """[K] whether all its costs are known, or known to be no more than small."""
        limit = np.maximum(VAGUE * np.nan_to_num(self.cost), self.middle)
        return np.asarray((np.isfinite(self.cost) & (self.error < limit)).all(axis=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """What was found so far.

    Attributes:
        categories: By name.
        centre: By name, the geometric mean cost, by resource.
        of_class: By class, the name of its category.
        confidence: By class, in [0, 1].
        wavering: By class that was found elsewhere: where, and how often in a row.
    """

    categories: Mapping[str, Category] = field(default_factory=dict)
    centre: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    of_class: Mapping[str, str] = field(default_factory=dict)
    confidence: Mapping[str, float] = field(default_factory=dict)
    wavering: Mapping[str, tuple[str, int]] = field(default_factory=dict)


def classify(
    before: Catalogue,
    priced: Priced,
    *,
    at_s: float,
    depends: Mapping[str, frozenset[str]] | None = None,
) -> tuple[Catalogue, tuple[CategoryChange, ...]]:
    """Find the categories anew; classes of unknown cost keep what they were.

    Args:
        before: As found before.
        priced: What classes cost.
        at_s: The moment.
        depends: By class, what it needs besides the cell.
    """
    known = np.flatnonzero(priced.is_known)
    if not known.size or not priced.resources:
        return before, ()
    cost, middle = priced.cost[known], priced.middle
    # What is lost in its own error costs no more than that.
    floored = np.maximum(np.maximum(cost, priced.error[known]), LEAST_PART * middle)
    log_cost, log_error = np.log(floored), priced.error[known] / floored
    names = [priced.names[k] for k in known.tolist()]
    reach, least = RANGE_SDS * priced.error[known], LEAST_PART * middle
    low, high = (np.log(np.maximum(c, least)) for c in (cost - reach, cost + reach))
    numbers = np.array(group_costs(low, high))
    centre = _centre(log_cost, log_error, numbers)
    levels = _levels(centre, np.log(middle))
    bound = _bound(centre, priced)
    doubt = np.array([log_error[numbers == n].mean(axis=0) for n in range(len(centre))])
    groups = _Groups(
        members=[
            [m for m, g in zip(names, numbers, strict=True) if g == n] for n in range(len(centre))
        ],
        centre=centre,
        doubt=doubt,
        levels=levels,
        bound=bound,
    )
    titles = _titles(before, groups, priced.resources)

    found = dict(zip(names, (titles[n] for n in numbers.tolist()), strict=True))
    confidence = _confidence(log_cost, log_error, numbers, centre)
    of_class, wavering, changes = dict(before.of_class), dict[str, tuple[str, int]](), []
    for i, name in enumerate(names):
        old, new = of_class.get(name, ""), found[name]
        if old == new:
            continue
        times = 1 + (wave[1] if (wave := before.wavering.get(name)) and wave[0] == new else 0)
        # What has no category, or whose category is gone, takes the new one at once.
        if old in titles and times < SURE_LOOKS:
            wavering[name] = (new, times)
            continue
        of_class[name] = new
        said = ", ".join(
            f"{r} {c:.3g} +- {e:.1g}"
            for r, c, e in zip(priced.resources, cost[i], priced.error[known[i]], strict=True)
        )
        changes.append(
            CategoryChange(request_class=name, at_s=at_s, before=old, after=new, evidence=said)
        )
    kept = set(of_class.values())
    categories = {t: c for t, c in before.categories.items() if t in kept}
    centres = {t: c for t, c in before.centre.items() if t in kept}
    for n, title in enumerate(titles):
        if title not in kept:
            continue
        members = [name for name, t in of_class.items() if t == title]
        categories[title] = Category(
            name=title,
            levels=dict(zip(priced.resources, levels[n], strict=True)),
            bound=bound[n],
            dependencies=_common((depends or {}).get(m, frozenset()) for m in members),
        )
        centres[title] = dict(zip(priced.resources, np.exp(centre[n]).tolist(), strict=True))
    told = {**before.confidence, **dict(zip(names, confidence, strict=True))}
    after = Catalogue(
        categories=categories,
        centre=centres,
        of_class=of_class,
        confidence=told,
        wavering=wavering,
    )
    return after, tuple(changes)


def resembling(catalogue: Catalogue, per_request: Mapping[str, float]) -> str:
    """The category whose requests cost about the same; "" = none does, or nobody can tell.

    Args:
        catalogue: The categories.
        per_request: What a request costs, of every resource that categories are told by.
    """
    apart = {}
    for name, centre in catalogue.centre.items():
        if centre and centre.keys() <= per_request.keys():
            away = [
                abs(np.log(max(per_request[r], LEAST_PART * c) / c))
                for r, c in centre.items()
                if c > 0.0
            ]
            apart[name] = float(max(away, default=np.inf))
    nearest = min(apart, key=lambda name: (apart[name], name), default="")
    return nearest if nearest and apart[nearest] < np.log(SAME_TIMES) else ""


def _centre(log_cost: Array, log_error: Array, numbers: NDArray[np.int64]) -> Array:
    """[G, R] mean of each group; what is vague counts less."""
    weight = 1.0 / (log_error**2 + SPREAD**2)
    groups = [numbers == n for n in range(numbers.max() + 1)]
    return np.array(
        [(weight[g] * log_cost[g]).sum(axis=0) / weight[g].sum(axis=0) for g in groups]
    )


def _levels(centre: Array, middle: Array) -> list[tuple[Level, ...]]:
    far = np.log(LEVEL_TIMES)
    return [
        tuple(
            Level.HEAVY if d > far else Level.LIGHT if d < -far else Level.NORMAL
            for d in (row - middle).tolist()
        )
        for row in centre
    ]


def _bound(centre: Array, priced: Priced) -> list[str]:
    """By group, the resource of a cell of which a request takes the largest part."""
    offered = np.where(priced.capacity > 0.0, priced.capacity, np.nan)
    part = np.exp(centre) / offered
    bound = []
    for row in np.where(np.isnan(part), 0.0, part):
        order = np.argsort(-row, kind="stable")
        first = float(row[order[0]])
        second = float(row[order[1]]) if row.size > 1 else 0.0
        bound.append(
            priced.resources[int(order[0])] if first > BOUND_TIMES * max(second, 1e-300) else ""
        )
    return bound


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Groups:
    """G groups of classes.

    Attributes:
        members: Names of their classes.
        centre: [G, R] mean logarithm of their costs.
        doubt: [G, R] how far off those may be.
        levels: By group and resource.
        bound: By group.
    """

    members: Sequence[Sequence[str]]
    centre: Array
    doubt: Array
    levels: Sequence[tuple[Level, ...]]
    bound: Sequence[str]


def _titles(before: Catalogue, groups: _Groups, resources: Sequence[str]) -> list[str]:
    """A name for every group: the one it had, else one made of words; each once."""
    centre, levels, bound = groups.centre, groups.levels, groups.bound
    claims = []
    for n, row in enumerate(centre):
        had = Counter(before.of_class.get(name, "") for name in groups.members[n])
        for title, votes in had.items():
            then = before.centre.get(title)
            if then is None or set(then) != set(resources):
                continue
            apart = np.abs(row - np.log([max(then[r], 1e-300) for r in resources]))
            away = (apart - groups.doubt[n]).max()
            if away < np.log(SAME_TIMES):
                claims.append((-votes, float(away), title, n))
    titles, taken = [""] * len(centre), set[str]()
    for _, _, title, n in sorted(claims):
        if not titles[n] and title not in taken:
            titles[n] = title
            taken.add(title)
    # A name of before that nobody claims is not given to others at once: it means something.
    taken |= set(before.categories)
    for n in sorted(range(len(centre)), key=lambda n: tuple(centre[n])):
        if titles[n]:
            continue
        level = (
            levels[n][resources.index(bound[n])]
            if bound[n]
            else max(levels[n], key=lambda each: (abs(WORDS[each]), WORDS[each]))
        )
        word = f"{level}-{bound[n]}" if bound[n] else str(level)
        word = "".join(c if c.isalnum() or c in "-_" else "-" for c in word.lower())
        count = 1
        titles[n] = word
        while titles[n] in taken:
            count += 1
            titles[n] = f"{word}-{count}"
        taken.add(titles[n])
    return titles


def _confidence(
    log_cost: Array, log_error: Array, numbers: NDArray[np.int64], centre: Array
) -> list[float]:
    """How much nearer a class is to its own group than to the next, as sure as its cost is."""
    away = np.abs(log_cost[:, None] - centre[None]).max(axis=2)
    own = away[np.arange(len(numbers)), numbers]
    away[np.arange(len(numbers)), numbers] = np.inf
    other = np.minimum(away.min(axis=1), np.log(OTHER_TIMES))
    clear = np.clip((other - own) / np.maximum(other + own, 1e-9), 0.0, 1.0)
    sure = 1.0 / (1.0 + log_error.max(axis=1))
    return [float(c) for c in clear * sure]


def _common(sets: Iterable[frozenset[str]]) -> frozenset[str]:
    listed = list(sets)
    return frozenset.intersection(*listed) if listed else frozenset()
