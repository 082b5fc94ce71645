"""This module is the change of request classes in flight: another engine takes the state over.

The loop asks once a turn, before it looks. Whatever goes wrong with a change is the business of
whoever makes the heir: the loop gets one that can fly, or none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from foreshard.controller.recording import Recording
from foreshard.controller.vitals import Vitals
from foreshard.engine import Engine, EngineState
from foreshard.model.forecast import Forecast
from foreshard.model.telemetry import Observation
from foreshard.model.workload import RequestClass

__all__ = ["Heir", "Learner", "Sight", "Succession", "hand_on"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heir:
    """What decides from now on.

    Attributes:
        version: Of the classes.
        engine: Made for them, on the same fleet.
        classes: In order of match.
        default_class: Of requests that match none.
    """

    version: int
    engine: Engine
    classes: tuple[RequestClass, ...]
    default_class: str

    @property
    def served(self) -> Mapping[str, object]:
        """The classes as a recording tells them."""
        return {"classes": self.classes, "default_class": self.default_class}

    @property
    def priorities(self) -> Mapping[str, str]:
        """Of the classes, by name."""
        return {each.name: each.priority.name.lower() for each in self.classes}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What was seen last, and decided from.

    Attributes:
        engine: That decided.
        state: After its decision became live, or did not.
        observation: What it saw.
        forecast: What it foresaw with.
    """

    engine: Engine
    state: EngineState
    observation: Observation
    forecast: Forecast | None


class Learner(Protocol):
    """What reads requests by their classes."""

    def take_up(self, classes: Sequence[RequestClass]) -> None:
        """Read them as those of other classes from now on."""


def hand_on(
    heir: Heir,
    learners: Iterable[Learner | None],
    *,
    recording: Recording | None,
    vitals: Vitals,
) -> None:
    """Tell everybody beside the engine of the classes that are flown from now on."""
    for learner in learners:
        if learner is not None:
            learner.take_up(heir.classes)
    if recording is not None:
        recording.served = heir.served
    vitals.priorities = heir.priorities
    log.info("classes.taken_up", version=heir.version, classes=len(heir.classes))


class Succession(Protocol):
    """Where changed classes come from."""

    def due(self) -> Heir | None:
        """An heir that has not been handed out yet; None = nothing has changed."""

    def see(self, sight: Sight) -> None:
        """Take note of what is flown on; must not block."""
