"""This module is the one tree of errors that Foreshard raises on purpose.

    ForeshardError
    +-- InvalidValueError      a noun was given a value it refuses (also a ValueError)
    +-- ConfigError            a configuration is wrong: names key, value and the way out
    +-- EditError              a change of request classes is refused, and nothing was changed
    |   +-- NotThereError      what is to be read or changed is not there
    |   +-- StaleEditError     somebody else has changed it meanwhile
    |   +-- UnheardError       what only a living engine can tell is asked, and none answers
    +-- ForecastError          a forecaster was given something it cannot work with
    +-- PlanningError          a planning problem that has no meaning (not: no solution)
    +-- AdapterError           the outside world answered badly, or not at all
    |   +-- SourceError        a metrics or event source
    |   +-- SinkError          a balancer or its control plane
    |   +-- DriverError        a cell driver
    |   +-- StoreError         the state store
    +-- ProcessError           a child process cannot be started, or cannot run
    +-- LabError               the testbed could not be built or run

A message names the thing, the value and the way out.
"""

from __future__ import annotations

__all__ = [
    "AdapterError",
    "ConfigError",
    "DriverError",
    "EditError",
    "ForecastError",
    "ForeshardError",
    "InvalidValueError",
    "LabError",
    "NotThereError",
    "PlanningError",
    "ProcessError",
    "SinkError",
    "SourceError",
    "StaleEditError",
    "StoreError",
    "UnheardError",
]


class ForeshardError(Exception):
    """Root of everything that Foreshard raises on purpose."""


class InvalidValueError(ForeshardError, ValueError):
    """A noun was given a value it refuses."""


class ConfigError(ForeshardError):
    """A configuration is wrong; the message names key, value and the way out."""


class EditError(ForeshardError):
    """A change of request classes is refused, and nothing was changed."""


class NotThereError(EditError):
    """What is to be read or changed is not there."""


class StaleEditError(EditError):
    """Somebody else has changed it meanwhile."""


class UnheardError(EditError):
    """What only a living engine can tell is asked, and none answers."""


class ForecastError(ForeshardError):
    """A forecaster was given something it cannot work with."""


class PlanningError(ForeshardError):
    """A planning problem that has no meaning; "no solution" is an answer, not an error."""


class AdapterError(ForeshardError):
    """The outside world answered badly, or not at all."""


class SourceError(AdapterError):
    """A metrics or event source failed."""


class SinkError(AdapterError):
    """A balancer, or the control plane in front of it, failed."""


class DriverError(AdapterError):
    """A cell driver failed."""


class StoreError(AdapterError):
    """The state store failed."""


class ProcessError(ForeshardError):
    """A child process cannot be started, or cannot run."""


class LabError(ForeshardError):
    """The testbed could not be built or run."""
