"""This module is what a plug-in author tests with: fakes of every port, and conformance checks.

A plug-in is done when its check passes; the built-in ones pass the same checks. A check raises
`AssertionError` with one sentence that names what broke the contract.
"""

from __future__ import annotations

from foreshard.testing.adversary import TRICKS, Adversary, bad_plan
from foreshard.testing.clock import FakeClock
from foreshard.testing.conformance.forecaster import check_forecaster
from foreshard.testing.conformance.learner import check_learner
from foreshard.testing.conformance.mover import check_slot_mover
from foreshard.testing.conformance.sink import check_sink
from foreshard.testing.conformance.solver import check_solver
from foreshard.testing.conformance.source import (
    check_event_source,
    check_source,
    check_traffic_source,
)
from foreshard.testing.driver import FakeCellDriver
from foreshard.testing.mover import FakeSlotMover
from foreshard.testing.sink import FakeRouteSink
from foreshard.testing.source import FakeCellSource, FakeEventSource, FakeTrafficSource
from foreshard.testing.store import MemoryStore

__all__ = [
    "TRICKS",
    "Adversary",
    "FakeCellDriver",
    "FakeCellSource",
    "FakeClock",
    "FakeEventSource",
    "FakeRouteSink",
    "FakeSlotMover",
    "FakeTrafficSource",
    "MemoryStore",
    "bad_plan",
    "check_event_source",
    "check_forecaster",
    "check_learner",
    "check_sink",
    "check_slot_mover",
    "check_solver",
    "check_source",
    "check_traffic_source",
]
