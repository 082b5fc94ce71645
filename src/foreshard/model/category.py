"""This module is what sort of work a class is: how heavy, bound to what, and who may say so.

The machine finds categories from costs; a person may tag a class. The tag wins, and where the
two differ, both are shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import isfinite

from foreshard.model.cost import Cost, CostChange, JointCost
from foreshard.model.errors import InvalidValueError
from foreshard.model.workload import Needs

__all__ = [
    "Category",
    "CategoryChange",
    "ClassProfile",
    "Dependence",
    "DependencySource",
    "Endpoint",
    "Level",
    "Tag",
    "WorkloadProfile",
]


class Level(StrEnum):
    """How much of one resource a request takes, beside the requests of the fleet."""

    LIGHT = "light"
    NORMAL = "normal"
    HEAVY = "heavy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """What a class costs, in words.

    Attributes:
        name: Lower-case identifier, stable from run to run.
        levels: By resource.
        bound: The resource that such requests exhaust first; "" = none stands out.
        dependencies: What all of its classes need besides the cell; sorted when written.
    """

    name: str
    levels: Mapping[str, Level] = field(default_factory=dict)
    bound: str = ""
    dependencies: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        _refuse_name("category", self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """A person's word about a class; it wins over what was found.

    Attributes:
        request_class: Which class.
        category: Name of the category that it is to have.
        by: Who said so.
        at_s: When, seconds since the epoch.
        note: For people.
    """

    request_class: str
    category: str
    by: str
    at_s: float
    note: str = ""

    def __post_init__(self) -> None:
        _refuse_name("tag: category", self.category)
        if not self.by:
            raise InvalidValueError(f"tag of {self.request_class}: by is '', name who set it")
        if not isfinite(self.at_s):
            raise InvalidValueError(f"tag of {self.request_class}: at_s is {self.at_s}")


class DependencySource(StrEnum):
    """How it is known that a class needs something."""

    DECLARED = "declared"
    ATTRIBUTES = "attributes"
    FAILURES = "failures"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependence:
    """That a class needs something besides its cell, and why that is believed.

    Attributes:
        dependency: Its name.
        source: How it is known.
        confidence: In [0, 1]; 1 for what was declared.
        evidence: The figures, for people.
    """

    dependency: str
    source: DependencySource
    confidence: float
    evidence: str

    def __post_init__(self) -> None:
        _refuse_confidence(f"dependence on {self.dependency}", self.confidence)


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryChange:
    """That a class was found to be of another category.

    Attributes:
        request_class: Which.
        at_s: When.
        before: Name of the category until then; "" = it had none.
        after: Name of the category now.
        evidence: The costs that say so, for people.
    """

    request_class: str
    at_s: float
    before: str
    after: str
    evidence: str

    def __str__(self) -> str:
        was = f"from {self.before} " if self.before else ""
        return f"{self.request_class}: {was}to {self.after}: {self.evidence}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassProfile:
    """All that is known of what a class costs.

    Attributes:
        request_class: Its name.
        costs: By resource.
        found: The category that its costs say; None = they do not tell yet.
        confidence: Of `found`, in [0, 1].
        tag: What a person said; None = nobody did.
        depends: On what, most certain first.
        rate_rps: How often it is asked for in the whole fleet, on average.
    """

    request_class: str
    costs: Mapping[str, Cost] = field(default_factory=dict)
    found: Category | None = None
    confidence: float = 0.0
    tag: Tag | None = None
    depends: tuple[Dependence, ...] = ()
    rate_rps: float = 0.0

    def __post_init__(self) -> None:
        _refuse_confidence(f"profile of {self.request_class}", self.confidence)
        if self.tag is not None and self.tag.request_class != self.request_class:
            raise InvalidValueError(
                f"profile of {self.request_class}: has the tag of {self.tag.request_class}"
            )

    @property
    def category(self) -> str:
        """Name of the category that holds: the tag's, else the one found; "" = none."""
        if self.tag is not None:
            return self.tag.category
        return self.found.name if self.found is not None else ""

    @property
    def disagreement(self) -> str:
        """How the machine differs from the person, for people; "" = it does not."""
        if self.tag is None or self.found is None or self.tag.category == self.found.name:
            return ""
        return (
            f"{self.request_class} is tagged {self.tag.category} by {self.tag.by}, its costs say "
            f"{self.found.name} (confidence {self.confidence:.0%})"
        )

    @property
    def needs(self) -> Needs:
        """What is known of its costs, as a plan reads it; what is unknown is left out."""
        return Needs(per_request={r: c.per_request for r, c in self.costs.items() if c.is_known})


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A method and a route template that many requests share: a class that nobody declared.

    Attributes:
        method: In capitals; "" = any.
        template: With what varies in braces: "/users/{id}".
        requests: How many were seen.
        confidence: That the template is right and the endpoint is here to stay, in [0, 1].
        first_s: When it was first seen.
        per_request: By resource, what a request of it said that it cost, on average.
        evidence: For people.
    """

    method: str
    template: str
    requests: float
    confidence: float
    first_s: float
    per_request: Mapping[str, float] = field(default_factory=dict)
    evidence: str = ""

    def __post_init__(self) -> None:
        _refuse_confidence(f"endpoint {self.method} {self.template}", self.confidence)
        if not self.template.startswith("/"):
            raise InvalidValueError(
                f"endpoint: template is {self.template!r}, must start with '/'"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadProfile:
    """What the work of a fleet costs, as it is known at one moment.

    Attributes:
        at_s: When.
        classes: By name.
        joint: Costs of classes that cannot be told apart.
        categories: By name.
        changes: The newest last, as many as are kept.
    """

    at_s: float
    classes: Mapping[str, ClassProfile] = field(default_factory=dict)
    joint: tuple[JointCost, ...] = ()
    categories: Mapping[str, Category] = field(default_factory=dict)
    changes: tuple[CostChange | CategoryChange, ...] = ()

    @property
    def disagreements(self) -> tuple[str, ...]:
        """Where a person and the machine differ."""
        return tuple(p.disagreement for p in self.classes.values() if p.disagreement)

    def needs(self, request_class: str) -> Needs:
        """What a request of that class needs; in place of an unknown cost, the joint one.

        Raises:
            InvalidValueError: No such class.
        """
        try:
            own = self.classes[request_class].needs.per_request
        except KeyError:
            known = ", ".join(sorted(self.classes)) or "none"
            raise InvalidValueError(
                f"class {request_class!r} is not in the profile; it has {known}"
            ) from None
        shared = {
            j.resource: j.cost.per_request
            for j in self.joint
            if request_class in j.request_classes and j.cost.is_known
        }
        return Needs(per_request={**shared, **own})


def _refuse_name(what: str, name: str) -> None:
    if not name or not name.replace("-", "").replace("_", "").isalnum() or name != name.lower():
        raise InvalidValueError(f"{what} {name!r}: use lower-case letters, digits, '-' and '_'")


def _refuse_confidence(what: str, confidence: float) -> None:
    if not 0.0 <= confidence <= 1.0:
        raise InvalidValueError(f"{what}: confidence is {confidence}, must be in [0, 1]")
