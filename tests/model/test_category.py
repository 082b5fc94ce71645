from __future__ import annotations

from collections.abc import Callable

import pytest

from foreshard.model.category import Category, ClassProfile, Endpoint, Tag, WorkloadProfile
from foreshard.model.cost import Cost, CostChange, CostReport, JointCost
from foreshard.model.errors import InvalidValueError


def tag(category: str = "heavy", **more: str) -> Tag:
    return Tag(**{"request_class": "report", "by": "ada", **more}, category=category, at_s=7.0)


def profile(**more: object) -> ClassProfile:
    found = Category(name="light")
    return ClassProfile(request_class="report", found=found, confidence=0.9, **more)  # type: ignore[arg-type]


def test_a_tag_wins_and_the_disagreement_is_told() -> None:
    both = profile(tag=tag())
    assert both.category == "heavy"
    assert both.disagreement == (
        "report is tagged heavy by ada, its costs say light (confidence 90%)"
    )


def test_without_a_tag_what_was_found_holds_and_nobody_disagrees() -> None:
    assert (profile().category, profile().disagreement) == ("light", "")
    assert profile(tag=tag("light")).disagreement == ""
    assert ClassProfile(request_class="report").category == ""


def test_an_unknown_cost_is_the_joint_one_and_is_never_said_of_the_class_alone() -> None:
    search = ClassProfile(
        request_class="search",
        costs={"cpu": Cost(), "memory": Cost(per_request=2.0, low=1.0, high=3.0)},
    )
    joint = JointCost(
        resource="cpu",
        request_classes=("report", "search"),
        cost=Cost(per_request=0.5, low=0.4, high=0.6),
    )
    known = WorkloadProfile(at_s=0.0, classes={"search": search}, joint=(joint,))
    assert search.needs.per_request == {"memory": 2.0}
    assert known.needs("search").per_request == {"memory": 2.0, "cpu": 0.5}
    assert str(joint) == "unidentified: report, search are collinear"
    with pytest.raises(InvalidValueError, match="'pay' is not in the profile; it has search"):
        known.needs("pay")


def test_a_change_of_cost_says_how_much_and_why_it_is_believed() -> None:
    change = CostChange(
        request_class="search", resource="cpu", at_s=5.0, before=0.01, after=0.03, deviations=9.0
    )
    assert str(change) == (
        "search: cpu of a request went from 0.01 to 0.03 (3 times), 9.0 deviations apart"
    )


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Cost(per_request=1.0, low=2.0, high=3.0), "1.0 must lie in its range 2.0 to 3.0"),
        (lambda: Cost(low=-1.0), "range is -1.0"),
        (lambda: CostReport(request_class="pay", requests=0.0, total={}), "requests is 0.0"),
        (
            lambda: CostReport(request_class="pay", requests=1.0, total={"cpu": -1.0}),
            "total of cpu is -1.0",
        ),
        (
            lambda: JointCost(resource="cpu", request_classes=("pay",), cost=Cost()),
            "two classes or more",
        ),
        (lambda: tag("Heavy!"), "'Heavy!'"),
        (lambda: tag(by=""), "name who set it"),
        (lambda: profile(tag=tag(request_class="pay")), "has the tag of pay"),
        (lambda: ClassProfile(request_class="pay", confidence=1.5), "confidence is 1.5"),
        (
            lambda: Endpoint(method="GET", template="x", requests=1, confidence=1.0, first_s=0.0),
            "must start with '/'",
        ),
    ],
)
def test_bad_values_are_refused_with_the_value(make: Callable[[], object], says: str) -> None:
    with pytest.raises(InvalidValueError, match=says.replace("(", r"\(")):
        make()
