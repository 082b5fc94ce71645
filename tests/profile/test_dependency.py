from __future__ import annotations

import numpy as np
import pytest

from foreshard.model.category import Dependence, DependencySource
from foreshard.model.errors import ForecastError, InvalidValueError
from foreshard.model.workload import Priority, RequestClass
from foreshard.profile.dependency import (
    Failures,
    Touched,
    dependences,
    start_failures,
    update_failures,
)

CLASSES = tuple(
    RequestClass(
        name=name,
        priority=Priority.NORMAL,
        weight=1.0,
        objective_s=0.1,
        timeout_s=1.0,
        dependencies=frozenset(needs),
    )
    for name, needs in (("pay", ("bank",)), ("search", ()), ("browse", ()))
)
NAMES = ("index", "mailer")


def seen(*, ratio: dict[str, tuple[float, float, float]], outages: int = 2) -> Failures:
    """Failure ratios of the classes while all is well, while `index` is down, while `mailer`."""
    state = start_failures(classes=3, dependencies=2)
    requests = np.full((4, 3), 50.0)
    for outage in range(2 * outages):
        for phase, down in enumerate(([0, 0], [outage % 2 == 0, outage % 2 == 1])):
            for _ in range(20):
                which = 0 if phase == 0 else 1 + outage % 2
                failing = np.array([ratio[c.name][which] for c in CLASSES])
                state = update_failures(
                    state,
                    requests,
                    requests * failing,
                    np.tile(np.array(down, dtype=bool), (4, 1)),
                )
    return state


def found(failures: Failures | None = None, *touched: Touched) -> dict[str, list[Dependence]]:
    told = dependences(CLASSES, NAMES, touched=touched, failures=failures)
    return {name: list(each) for name, each in told.items()}


def test_what_was_declared_stands() -> None:
    (bank,) = found()["pay"]
    assert (bank.dependency, bank.source, bank.confidence) == (
        "bank",
        DependencySource.DECLARED,
        1.0,
    )


def test_a_class_that_fails_with_something_alone_depends_on_it() -> None:
    told = found(
        seen(ratio={"pay": (0.0, 0.0, 0.0), "search": (0.01, 0.6, 0.01), "browse": (0, 0, 0)})
    )
    (index,) = told["search"]
    assert index.dependency == "index"
    assert index.source is DependencySource.FAILURES
    assert index.confidence == pytest.approx(0.75)
    assert "60.0% of 8000 requests failed while index was down (2 times), 1.0% else" in (
        index.evidence
    )
    assert told["browse"] == []


def test_what_fails_together_with_all_others_depends_on_nothing() -> None:
    told = found(seen(ratio={c.name: (0.01, 0.5, 0.01) for c in CLASSES}))
    assert told["search"] == told["browse"] == []


def test_each_more_outage_makes_it_surer() -> None:
    ratio = {"pay": (0.0, 0.0, 0.0), "search": (0.0, 0.5, 0.0), "browse": (0.0, 0.0, 0.0)}
    once, often = (found(seen(ratio=ratio, outages=n))["search"][0] for n in (1, 5))
    assert once.confidence < often.confidence < 1.0


def test_what_requests_call_they_depend_on() -> None:
    told = found(
        None,
        Touched(request_class="search", dependency="index", requests=400, touching=390),
        Touched(request_class="browse", dependency="index", requests=4_000, touching=3),
    )
    (index,) = told["search"]
    assert index.source is DependencySource.ATTRIBUTES
    assert index.confidence > 0.95
    assert index.evidence == "called by 390 of 400 requests"
    assert told["browse"] == []


def test_bad_shapes_and_values_are_refused() -> None:
    state = start_failures(classes=3, dependencies=2)
    with pytest.raises(ForecastError, match="is_down"):
        update_failures(state, np.zeros((4, 3)), np.zeros((4, 3)), np.zeros((4, 1), dtype=bool))
    with pytest.raises(InvalidValueError, match="5 of 4"):
        Touched(request_class="pay", dependency="bank", requests=4, touching=5)
