"""This module is what requests were found to cost, with how sure that is.

Costs that the data cannot tell apart are one `JointCost` of all their classes: what stands for a
single one of them is only a range.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf, isfinite, nan

from foreshard.model.errors import InvalidValueError

__all__ = ["Cost", "CostChange", "CostReport", "JointCost"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one request uses of one resource, in the unit of `Needs`.

    Attributes:
        per_request: Best estimate, >= 0; NaN = the data do not tell.
        low: 5 % bound, >= 0.
        high: 95 % bound, >= low; inf = nothing bounds it.
        because: Why `per_request` is NaN, or what a known one rests on, for people.
    """

    per_request: float = nan
    low: float = 0.0
    high: float = inf
    because: str = ""

    def __post_init__(self) -> None:
        if not 0.0 <= self.low <= self.high:
            raise InvalidValueError(
                f"cost: range is {self.low} to {self.high}, must be 0 <= low <= high"
            )
        if self.is_known and not self.low <= self.per_request <= self.high:
            raise InvalidValueError(
                f"cost: {self.per_request} must lie in its range {self.low} to {self.high}"
            )

    @property
    def is_known(self) -> bool:
        """Whether the data tell this cost by itself."""
        return isfinite(self.per_request)


@dataclass(frozen=True, slots=True, kw_only=True)
class JointCost:
    """What classes whose rates move together use, per request of any of them.

    Attributes:
        resource: Of which.
        request_classes: At least two, sorted.
        cost: Of a mean request of theirs, in the mix that was seen.
    """

    resource: str
    request_classes: tuple[str, ...]
    cost: Cost

    def __post_init__(self) -> None:
        if len(self.request_classes) < 2:
            raise InvalidValueError(
                f"joint cost of {list(self.request_classes)}: must be of two classes or more"
            )

    def __str__(self) -> str:
        return f"unidentified: {', '.join(self.request_classes)} are collinear"


@dataclass(frozen=True, slots=True, kw_only=True)
class CostReport:
    """What requests themselves said that they used, over one interval (ORCA values, summed).

    Attributes:
        request_class: Whose requests.
        requests: How many reported, > 0.
        total: By resource, the sum over them, in the unit of `Needs`, >= 0.
        squares: By resource, the sum of squares, where it is known: gives the scatter.
        cell: Where they were answered; "" = anywhere.
    """

    request_class: str
    requests: float
    total: Mapping[str, float]
    squares: Mapping[str, float] = field(default_factory=dict)
    cell: str = ""

    def __post_init__(self) -> None:
        if not 0.0 < self.requests < inf:
            raise InvalidValueError(
                f"report of {self.request_class}: requests is {self.requests}, must be > 0"
            )
        for what, values in (("total", self.total), ("squares", self.squares)):
            for resource, value in values.items():
                if not 0.0 <= value < inf:
                    raise InvalidValueError(
                        f"report of {self.request_class}: {what} of {resource} is {value}, "
                        "must be 0 or more"
                    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CostChange:
    """That a class began to cost something else.

    Attributes:
        request_class: Which.
        resource: Of what.
        at_s: When it was noticed.
        before: Cost of a request until then.
        after: Cost of a request now.
        deviations: How many standard deviations apart they are: the evidence.
    """

    request_class: str
    resource: str
    at_s: float
    before: float
    after: float
    deviations: float

    def __str__(self) -> str:
        times = self.after / self.before if self.before > 0.0 else inf
        return (
            f"{self.request_class}: {self.resource} of a request went from {self.before:.3g} to "
            f"{self.after:.3g} ({times:.2g} times), {self.deviations:.1f} deviations apart"
        )
