"""This module is what classes need besides their cell, with the evidence for it.

Three witnesses: what was declared; what requests were seen to touch (the attributes of traces or
logs); and what fails together. The last is the weakest: a class counts as dependent when, while
something was down, it failed far more than it did before, and more than its neighbours did in the
same cells at the same time. Without the neighbours, whatever fails in an ailing cell would seem
to depend on whatever else was down by chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from foreshard.model.category import Dependence, DependencySource
from foreshard.model.errors import ForecastError, InvalidValueError
from foreshard.model.workload import RequestClass

__all__ = [
    "Failures",
    "Touched",
    "dependences",
    "start_failures",
    "update_failures",
    "with_dependencies",
]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Failures beyond those while it was up, and beyond the neighbours', as a part of requests.
LEAST_EXCESS, SURE_EXCESS = 0.05, 0.25
LEAST_SDS = 6.0
LEAST_REQUESTS = 50.0
# An attribute of fewer requests than this says little; a class that touches something in so small
# a part of its requests does not need it.
LEAST_TOUCHED = 0.02
UP, DOWN = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """That requests of a class were seen to call something.

    Attributes:
        request_class: Whose.
        dependency: What.
        requests: How many were looked at, > 0.
        touching: How many of them called it.
    """

    request_class: str
    dependency: str
    requests: float
    touching: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.touching <= self.requests or not self.requests > 0.0:
            raise InvalidValueError(
                f"{self.request_class} touches {self.dependency}: {self.touching} of "
                f"{self.requests} requests: must be 0 to all of them, and some"
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Failures:
    """Requests and failures of K classes while each of D dependencies was up or down.

    Attributes:
        requests: [2, D, K] while it was up, while it was down.
        failed: [2, D, K].
        seen: [2, K] requests and failures of all times: what was never known to be down was up.
        was_down: bool [D] in any cell, at the last look.
        episodes: [D] how often it went down.
    """

    requests: Array
    failed: Array
    seen: Array
    was_down: Flags
    episodes: Array


def start_failures(*, classes: int, dependencies: int) -> Failures:
    """Nothing was seen yet."""
    shape = (2, dependencies, classes)
    return Failures(
        requests=np.zeros(shape),
        failed=np.zeros(shape),
        seen=np.zeros((2, classes)),
        was_down=np.zeros(dependencies, dtype=np.bool_),
        episodes=np.zeros(dependencies),
    )


def with_dependencies(state: Failures, more: int) -> Failures:
    """The same with `more` dependencies at the end, which were up until now."""
    new = start_failures(classes=state.requests.shape[2], dependencies=more)
    requests, failed = new.requests.copy(), new.failed.copy()
    requests[UP], failed[UP] = state.seen
    return Failures(
        requests=np.concatenate([state.requests, requests], axis=1),
        failed=np.concatenate([state.failed, failed], axis=1),
        seen=state.seen,
        was_down=np.concatenate([state.was_down, new.was_down]),
        episodes=np.concatenate([state.episodes, new.episodes]),
    )


def update_failures(state: Failures, requests: Array, failed: Array, is_down: Flags) -> Failures:
    """Take in one look.

    Args:
        state: Before.
        requests: [C, K] finished in the interval, NaN = not heard.
        failed: [C, K] of these.
        is_down: bool [C, D] what each cell could not reach in the interval.

    Raises:
        ForecastError: Shapes do not match.
    """
    _, dependencies, classes = state.requests.shape
    if (
        requests.shape[1:] != (classes,)
        or failed.shape != requests.shape
        or is_down.shape != (len(requests), dependencies)
    ):
        raise ForecastError(
            f"failures: requests {requests.shape}, failed {failed.shape}, is_down "
            f"{is_down.shape}: must be [C, {classes}] twice and [C, {dependencies}]"
        )
    heard = np.isfinite(requests) & np.isfinite(failed)
    count, bad = np.where(heard, requests, 0.0), np.where(heard, failed, 0.0)
    down = is_down.T.astype(float)
    now_down: Flags = np.asarray(is_down.any(axis=0))
    return replace(
        state,
        requests=state.requests + np.stack([(1.0 - down) @ count, down @ count]),
        failed=state.failed + np.stack([(1.0 - down) @ bad, down @ bad]),
        seen=state.seen + np.stack([count.sum(axis=0), bad.sum(axis=0)]),
        was_down=now_down,
        episodes=state.episodes + (now_down & ~state.was_down),
    )


def dependences(
    classes: Iterable[RequestClass],
    dependencies: tuple[str, ...],
    *,
    touched: Iterable[Touched] = (),
    failures: Failures | None = None,
) -> Mapping[str, tuple[Dependence, ...]]:
    """By class, what it is believed to need; each once, by its best witness.

    Args:
        classes: In the order of the arrays.
        dependencies: Names, in the order of the arrays.
        touched: What requests were seen to call.
        failures: What failed while what was down.
    """
    listed = tuple(classes)
    found: dict[str, dict[str, Dependence]] = {c.name: {} for c in listed}
    for c in listed:
        for name in sorted(c.dependencies):
            found[c.name][name] = Dependence(
                dependency=name,
                source=DependencySource.DECLARED,
                confidence=1.0,
                evidence="declared",
            )
    sums: dict[tuple[str, str], tuple[float, float]] = {}
    for each in touched:
        of, calls = sums.get((each.request_class, each.dependency), (0.0, 0.0))
        key = each.request_class, each.dependency
        sums[key] = (of + each.requests, calls + each.touching)
    for (name, dependency), (requests, calls) in sorted(sums.items()):
        low = _wilson_low(calls, requests)
        if name in found and low > LEAST_TOUCHED:
            found[name].setdefault(
                dependency,
                Dependence(
                    dependency=dependency,
                    source=DependencySource.ATTRIBUTES,
                    # Rule of succession (Laplace): one more of them would do so too.
                    confidence=(calls + 1.0) / (calls + 2.0),
                    evidence=f"called by {calls:g} of {requests:g} requests",
                ),
            )
    if failures is not None:
        for k, c in enumerate(listed):
            for d, dependency in enumerate(dependencies):
                seen = _fails_with(failures, k, d, dependency)
                if seen is not None:
                    found[c.name].setdefault(dependency, seen)
    return {
        name: tuple(sorted(by.values(), key=lambda x: (-x.confidence, x.dependency)))
        for name, by in found.items()
    }


def _fails_with(failures: Failures, k: int, d: int, dependency: str) -> Dependence | None:
    requests, failed = failures.requests[:, d], failures.failed[:, d]
    if requests[UP, k] < LEAST_REQUESTS or requests[DOWN, k] < LEAST_REQUESTS:
        return None
    ratio = failed / np.maximum(requests, 1.0)
    rise = ratio[DOWN] - ratio[UP]
    others = [
        rise[o]
        for o in range(rise.size)
        if o != k and min(requests[UP, o], requests[DOWN, o]) >= LEAST_REQUESTS
    ]
    # The quietest neighbour shows what an ailing cell does to everyone.
    excess = float(rise[k] - max(min(others, default=0.0), 0.0))
    mean = failed[:, k].sum() / requests[:, k].sum()
    chance = sqrt(max(mean * (1.0 - mean), 1e-12) * float((1.0 / requests[:, k]).sum()))
    if excess < LEAST_EXCESS or excess < LEAST_SDS * chance:
        return None
    # One outage may be a coincidence; each more makes it half as likely.
    episodes = max(float(failures.episodes[d]), 1.0)
    confidence = (1.0 - 0.5**episodes) * min(excess / SURE_EXCESS, 1.0)
    return Dependence(
        dependency=dependency,
        source=DependencySource.FAILURES,
        confidence=confidence,
        evidence=(
            f"{ratio[DOWN, k]:.1%} of {requests[DOWN, k]:g} requests failed while {dependency} "
            f"was down ({episodes:g} times), {ratio[UP, k]:.1%} else; of the quietest other class "
            f"{min(others, default=0.0):.1%} more"
        ),
    )


def _wilson_low(hits: float, count: float) -> float:
    """Lower 95 % bound of a proportion (Wilson 1927)."""
    z = 1.645
    p = hits / count
    middle = p + z * z / (2.0 * count)
    reach = z * sqrt(p * (1.0 - p) / count + z * z / (4.0 * count * count))
    return max((middle - reach) / (1.0 + z * z / count), 0.0)
