from __future__ import annotations

import math
from dataclasses import replace

import pytest

from foreshard.lab.scenario.fault import FaultLine, Kind, Recovery, Shape
from foreshard.model.errors import InvalidValueError
from tests.lab.simulation.playing import line, scenario


@pytest.mark.parametrize(
    ("fault", "ends_s"),
    [
        (line(Kind.CREEP, magnitude=0.5), 250.0),
        (line(Kind.CREEP, magnitude=0.5, cells=("eu-1", "eu-2"), stagger_s=20.0), 270.0),
        (line(Kind.CRASH, holds_s=math.inf), 100.0),
        (line(Kind.LEAK, holds_s=math.inf), 200.0),
        (line(Kind.LEAK, holds_s=math.inf, magnitude=0.9), math.inf),
        (line(Kind.LEAK, recovery=Recovery.NEVER), math.inf),
        (line(Kind.OUTAGE), 150.0),
    ],
)
def test_a_fault_knows_its_end_were_nobody_to_act(fault: FaultLine, ends_s: float) -> None:
    assert fault.ends_s == ends_s


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"kind": Kind.LEAK, "cells": ()}, "name at least one"),
        ({"kind": Kind.LEAK, "magnitude": 1.5}, "magnitude is 1.5, must be over 0 and at most 1"),
        ({"kind": Kind.SURGE, "cells": ("eu-1",)}, "must be none: it befalls demand"),
        ({"kind": Kind.CREEP, "cells": ("eu-1", "eu-1")}, "a cell is named twice"),
        ({"kind": Kind.PARTITION, "grows_s": 3.0}, "there is no half of it"),
        ({"kind": Kind.MAINTENANCE, "holds_s": math.inf}, "over 0 and finite"),
        ({"kind": Kind.CREEP, "known_s": 3.0}, "only maintenance and deploys are announced"),
        ({"kind": Kind.DEPLOY, "known_s": 300.0}, "at most at_s"),
        ({"kind": Kind.CREEP, "origin": "eu"}, "only a surge comes from somewhere"),
        ({"kind": Kind.SURGE, "shape": Shape.LOAD}, "demand serves nothing"),
        ({"kind": Kind.CREEP, "request_class": "search"}, "it befalls all classes alike"),
        ({"kind": Kind.CREEP, "at_s": -1.0}, "at_s is -1.0, must be 0 or more"),
        ({"kind": Kind.CREEP, "period_s": 0.0}, "period_s is 0.0, must be > 0"),
        ({"kind": Kind.CREEP, "collected": 2.0}, r"must lie in \[0, 1\]"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidValueError, match=says):
        line(**changes)  # type: ignore[arg-type]  # a table of changes


@pytest.mark.parametrize(
    "fault",
    [
        line(Kind.CREEP, cells=("mars-1",), magnitude=0.5),
        line(Kind.ERRORS, magnitude=0.5, request_class="video"),
        line(Kind.SURGE, magnitude=2.0, origin="mars"),
    ],
)
def test_a_scenario_refuses_faults_of_strangers(fault: FaultLine) -> None:
    with pytest.raises(InvalidValueError, match="scenario sample: fault"):
        scenario(fault)


def test_a_scenario_refuses_a_default_class_that_is_none() -> None:
    with pytest.raises(InvalidValueError, match="default_class is 'video'"):
        replace(scenario(), default_class="video")
