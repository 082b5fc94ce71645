"""This module is the protocol behind which every model of failure stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, Self

from foreshard.forecast.window import Window
from foreshard.model.events import SystemEvent
from foreshard.model.forecast import Forecast

__all__ = ["Forecaster", "Json"]

Json = str | int | float | bool | None | Sequence["Json"] | Mapping[str, "Json"]


class Forecaster(Protocol):
    """Telemetry to risk; a value that is never changed in place, and deterministic.

    The same window, events and moment give the same forecast, bit for bit.
    """

    def fit(self, history: Sequence[Window]) -> Self:
        """The same model, fitted; a model that needs no training returns itself.

        Raises:
            ForecastError: The history cannot be learned from.
        """

    def forecast(self, window: Window, events: Sequence[SystemEvent], *, now_s: float) -> Forecast:
        """What may happen to the cells of the window.

        A cell of which too little is known is absent, never free of risk.

        Raises:
            ForecastError: The window is empty, or newer than `now_s`.
        """

    def snapshot(self) -> Mapping[str, Json]:
        """Everything that `restore` needs, as plain JSON values."""

    def restore(self, snapshot: Mapping[str, Json]) -> Self:
        """The model that made the snapshot.

        Raises:
            ForecastError: It is not a snapshot of this kind of model.
        """
