"""This module is the protocols behind which everything that learns from history stands.

A learner makes a risk model from a history; the model is a value that never changes. Which one of
them carries the engine is settled elsewhere (`forecaster` is what the engine asks).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.forecaster import Json
from foreshard.forecast.history import History
from foreshard.forecast.onset import BreachRule
from foreshard.model.errors import ForecastError

__all__ = [
    "Learner",
    "Progress",
    "Reasoned",
    "Reasoning",
    "Risk",
    "RiskModel",
    "Snapshot",
    "ignore_progress",
]

# Told which part of the work is done, from 0 to 1.
Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Risk:
    """Probabilities of onset for H horizons, L loads, C cells, G gauges, at A samples.

    Attributes:
        any: float32 [H, L, C, A], of any counted gauge; NaN = nothing is said. It does not fall
            along H nor along L.
        by_gauge: float32 [H, L, C, G, A], the same of each gauge; NaN = nothing is said.
    """

    any: NDArray[np.float32]
    by_gauge: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.any.dtype != np.float32 or self.by_gauge.dtype != np.float32:
            raise ForecastError(
                f"risk: any is {self.any.dtype}, by_gauge {self.by_gauge.dtype}, must be float32"
            )
        if self.any.ndim != 4 or self.by_gauge.ndim != 5:
            raise ForecastError(
                f"risk: any has shape {self.any.shape}, by_gauge {self.by_gauge.shape}, must be "
                "[H, L, C, A] and [H, L, C, G, A]"
            )
        h, n, c, g, a = self.by_gauge.shape
        if self.any.shape != (h, n, c, a):
            raise ForecastError(
                f"risk: any has shape {self.any.shape}, by_gauge {(h, n, c, g, a)}: do not match"
            )
        for name, p, axes in (("any", self.any, (0, 1)), ("by_gauge", self.by_gauge, (0, 1))):
            if np.any(p < 0.0) or np.any(p > 1.0):
                raise ForecastError(f"risk: {name} leaves [0, 1]")
            if any(np.any(np.diff(p, axis=axis) < 0.0) for axis in axes):
                raise ForecastError(f"risk: {name} falls with the horizon or with the load")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A fitted model as data, never as code: what a model file holds.

    Attributes:
        kind: Which module restores it.
        settings: Plain JSON values.
        arrays: By name.
        texts: By name: models that write themselves as text.
    """

    kind: str
    settings: Mapping[str, Json]
    arrays: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)

    def numbers(self, key: str) -> tuple[float, ...]:
        """A list of numbers among the settings.

        Raises:
            ForecastError: There is none of that name.
        """
        values = self._list(key)
        found = [float(v) for v in values if isinstance(v, int | float)]
        if len(found) != len(values):
            raise ForecastError(f"{self.kind}: snapshot's {key} is {values!r}, must be numbers")
        return tuple(found)

    def words(self, key: str) -> tuple[str, ...]:
        """A list of texts among the settings.

        Raises:
            ForecastError: There is none of that name.
        """
        values = self._list(key)
        found = [v for v in values if isinstance(v, str)]
        if len(found) != len(values):
            raise ForecastError(f"{self.kind}: snapshot's {key} is {values!r}, must be texts")
        return tuple(found)

    def _list(self, key: str) -> Sequence[Json]:
        if key not in self.settings:
            raise ForecastError(
                f"{self.kind}: the snapshot has no {key}; it was made by another version of "
                f"Foreshard: train anew (foreshard train)"
            )
        values = self.settings[key]
        if not isinstance(values, Sequence) or isinstance(values, str):
            raise ForecastError(f"{self.kind}: snapshot's {key} is {values!r}, must be a list")
        return values

    def array(self, name: str) -> NDArray[np.float64]:
        """An array of numbers.

        Raises:
            ForecastError: There is none of that name.
        """
        found = self.arrays.get(name)
        if found is None or found.dtype.kind not in "fiub":
            raise ForecastError(f"{self.kind}: snapshot has no numbers called {name!r}")
        return np.asarray(found, dtype=np.float64)


class RiskModel(Protocol):
    """Fitted, immutable and deterministic; beside it stands `restore(snapshot)` in its module."""

    @property
    def name(self) -> str:
        """The name of its learner."""

    @property
    def horizons_s(self) -> tuple[float, ...]:
        """Rising, > 0."""

    def risk(
        self, history: History, at: NDArray[np.int64], *, loads: tuple[float, ...] = (1.0,)
    ) -> Risk:
        """The risk as it stood at some samples, from what was known then.

        Args:
            history: Of any cells; it may reach beyond `at`, but nothing after a sample counts.
            at: int64 [A], indices of samples.
            loads: L multiples of the present load, rising, >= 0.

        Raises:
            ForecastError: The history is not one that the model can read.
        """

    def snapshot(self) -> Snapshot:
        """Everything that `restore` needs."""


class Reasoned(Protocol):
    """One fact that a forecast was made from."""

    @property
    def words(self) -> str:
        """It in words and numbers."""


@runtime_checkable
class Reasoning(Protocol):
    """A risk model that can also say why; others need not."""

    def reasons(
        self, history: History, at: int, *, cells: tuple[str, ...], horizon_s: float, most: int
    ) -> Mapping[str, Sequence[Reasoned]]:
        """What counts most in the forecasts of some cells at a sample.

        Args:
            history: From which they were made.
            at: Index of the sample.
            cells: Names.
            horizon_s: One of the model's.
            most: So many of each, those that count most first.

        Raises:
            ForecastError: A cell or the horizon is not known.
        """


class Learner(Protocol):
    """Makes models; deterministic given the seed."""

    @property
    def name(self) -> str:
        """Under which it is registered."""

    def fit(
        self,
        history: History,
        rule: BreachRule,
        horizons_s: tuple[float, ...],
        *,
        seed: int,
        progress: Progress = ...,
    ) -> RiskModel:
        """Fit to a history that ends now.

        It makes its own labels (`find_onsets`, `labels`) and keeps a later slice of the history
        for its own calibration.

        Args:
            history: Ends at the moment of fitting.
            rule: What is forecast.
            horizons_s: Rising, > 0.
            seed: The same history and seed give the same model.
            progress: Told how far it is.

        Raises:
            ForecastError: It cannot be learned from, and why: too short, no onset in it, ...
        """


def ignore_progress(done: float) -> None:
    """Tell nobody."""
