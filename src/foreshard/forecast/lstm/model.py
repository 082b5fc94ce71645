"""This module is the fitted network as a risk model: asked for any cells, moments and loads.

A sample is told of by the sequence into which the record is cut there (`task.Cut`), whatever else
is asked for. At another load the channels that load moves are multiplied (`channel.under_load`);
from the hazards of gauges to the probability of a cell leads `Joint`.

Nothing is said of a gauge that has fallen silent or of which little was heard yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.forecaster import Json
from foreshard.forecast.history import History
from foreshard.forecast.joint import Joint
from foreshard.forecast.learner import Risk, Snapshot
from foreshard.forecast.lstm.channel import CHANNELS, Rows, Sight, counted_rows, under_load
from foreshard.forecast.lstm.course import WEIGHTS
from foreshard.forecast.lstm.extra import loaded
from foreshard.forecast.lstm.task import Cut
from foreshard.model.errors import ForecastError

__all__ = ["KIND", "LstmModel", "restore"]

Values = NDArray[np.float32]
Array = NDArray[np.float64]

KIND: Final = "lstm"
_SHAPES = ("centre", "spread", "offset", "slope")
# The layout of channels and weights; a snapshot of another one is refused.
_EDITION = 1
# Sequences in one call of the network, and samples of channels in memory.
_AT_ONCE = 256
_SAMPLES_AT_ONCE = 400_000
# A step further from the one it was fitted to than this is another step.
_SAME_STEP = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class LstmModel:
    """See the module.

    Attributes:
        horizons_s: H, rising.
        step_s: Of the histories that it can read.
        knots: J, ends of the intervals ahead, in samples; the horizons are among them.
        cut: Into sequences.
        sustain: Samples that make a breach.
        weights: Of the network, by the names in `WEIGHTS`.
        centre, spread: float32 [D], of the channels.
        joint: From hazards of gauges to the probability of a cell.
    """

    name: ClassVar[str] = KIND
    horizons_s: tuple[float, ...]
    step_s: float
    knots: tuple[int, ...]
    cut: Cut
    sustain: int
    weights: Mapping[str, Values]
    centre: Values
    spread: Values
    joint: Joint

    def risk(
        self, history: History, at: NDArray[np.int64], *, loads: tuple[float, ...] = (1.0,)
    ) -> Risk:
        """See `RiskModel`.

        Raises:
            ForecastError: The history has another step, or JAX is missing.
        """
        return self.joint.risk(history, self.hazard(history, at, loads=loads))

    def hazard(
        self, history: History, at: NDArray[np.int64], *, loads: tuple[float, ...] = (1.0,)
    ) -> Array:
        """Cumulative hazards of the gauges as the network tells them, before calibration.

        Returns:
            float64 [H, L, C, G, A]; NaN = nothing is said.
        """
        if abs(history.step_s / self.step_s - 1.0) > _SAME_STEP:
            raise ForecastError(
                f"lstm: the history has steps of {history.step_s} s, the model was fitted to "
                f"{self.step_s} s; fit it again"
            )
        rows, shape = counted_rows(history), history.counts.shape
        found = np.full((len(self.horizons_s), len(loads), *shape, len(at)), np.nan)
        if not len(rows) or not len(at):
            return found
        starts = np.unique(self.cut.starts(history, int(at.min()), int(at.max()) + 1))
        which = np.searchsorted(starts, at, side="right") - 1
        starts, which = starts[np.unique(which)], np.unique(which, return_inverse=True)[1]
        first = int(starts[0]) + self.cut.told - self.cut.steps
        end = int(at.max()) + 1
        steps = tuple(history.steps(h) for h in self.horizons_s)
        sight = Sight(history, ahead=(steps[0], steps[-1]), sustain=self.sustain)
        size = max(_SAMPLES_AT_ONCE // (end - first + sight.reach), 1)
        columns = np.searchsorted(self.knots, steps)
        for begin in range(0, len(rows), size):
            cells = rows.cell[begin : begin + size]
            some = Rows(cell=cells, gauge=rows.gauge[begin : begin + size])
            x, spoken = sight.channels(some, first, end)
            sequences = _cut_out(x, starts - first, self.cut)
            heard = spoken[:, at - first]
            for j, load in enumerate(loads):
                moved = under_load(
                    sequences, load, np.repeat(history.scales_with_load[some.gauge], len(starts))
                )
                told = self._told(moved).reshape(len(some), len(starts), self.cut.told, -1)
                mine = told[:, which, at - starts[which]][:, :, columns]
                found[:, j, some.cell, some.gauge] = np.where(
                    heard, mine.transpose(2, 0, 1), np.nan
                )
        return found

    def snapshot(self) -> Snapshot:
        """See `RiskModel`."""
        return Snapshot(
            kind=KIND,
            settings={
                "edition": _EDITION,
                "horizons_s": list(self.horizons_s),
                "step_s": [self.step_s],
                "knots": list(self.knots),
                "steps": self.cut.steps,
                "told": self.cut.told,
                "sustain": self.sustain,
                "channels": list(CHANNELS),
            },
            arrays={
                **self.weights,
                "centre": self.centre,
                "spread": self.spread,
                "offset": self.joint.offset,
                "slope": self.joint.slope,
            },
        )

    def _told(self, x: Values) -> Values:
        told: Values = loaded("network").said(
            self.weights,
            x,
            centre=self.centre,
            spread=self.spread,
            told=self.cut.told,
            at_once=_AT_ONCE,
        )
        return told


def _count(settings: Mapping[str, Json], key: str) -> int:
    value = settings.get(key)
    if not isinstance(value, int) or value < 1:
        raise ForecastError(f"lstm: snapshot's {key} is {value!r}, must be a whole number >= 1")
    return value


def restore(snapshot: Snapshot) -> LstmModel:
    """The model that made a snapshot.

    Raises:
        ForecastError: It is no snapshot of this model, of another edition, or damaged.
    """
    settings = snapshot.settings
    if snapshot.kind != KIND:
        raise ForecastError(f"lstm: snapshot is of kind {snapshot.kind!r}, not {KIND!r}")
    if settings.get("edition") != _EDITION or settings.get("channels") != list(CHANNELS):
        raise ForecastError(
            f"lstm: snapshot is of edition {settings.get('edition')!r}, this is edition "
            f"{_EDITION}; train the model again"
        )
    arrays = {}
    for name in (*WEIGHTS, *_SHAPES):
        array = snapshot.array(name)
        if not np.isfinite(array).all():
            raise ForecastError(f"lstm: snapshot's {name} is not finite, the file is damaged")
        arrays[name] = array
    steps, told, sustain = (_count(settings, name) for name in ("steps", "told", "sustain"))
    model = LstmModel(
        horizons_s=snapshot.numbers("horizons_s"),
        step_s=snapshot.numbers("step_s")[0],
        knots=tuple(round(k) for k in snapshot.numbers("knots")),
        cut=Cut(steps=steps, told=told),
        sustain=sustain,
        weights={name: arrays[name].astype(np.float32) for name in WEIGHTS},
        centre=arrays["centre"].astype(np.float32),
        spread=arrays["spread"].astype(np.float32),
        joint=Joint(offset=arrays["offset"], slope=arrays["slope"]),
    )
    _check_shapes(model)
    return model


def _check_shapes(model: LstmModel) -> None:
    weights = model.weights
    flat = next((name for name in ("into", "across") if weights[name].ndim != 3), None)
    if flat is not None:
        raise ForecastError(f"lstm: snapshot's {flat} has no axis of nets, the file is damaged")
    nets, hidden, _ = weights["across"].shape
    width = weights["into"].shape[1]
    h, j, d = len(model.horizons_s), len(model.knots), len(CHANNELS)
    wanted = {
        "into": (nets, width, 4 * hidden),
        "across": (nets, hidden, 4 * hidden),
        "gate": (nets, 4 * hidden),
        "deep": (nets, hidden + width, hidden),
        "deep_bias": (nets, hidden),
        "out": (nets, hidden, j),
        "out_bias": (nets, j),
        "centre": (d,),
        "spread": (d,),
        "offset": (h,),
        "slope": (h,),
    }
    own: dict[str, NDArray[np.floating]] = {
        "centre": model.centre,
        "spread": model.spread,
        "offset": model.joint.offset,
        "slope": model.joint.slope,
    }
    for name, shape in wanted.items():
        found = {**weights, **own}[name].shape
        if found != shape or 0 in shape:
            raise ForecastError(
                f"lstm: snapshot's {name} has shape {found}, must be {shape}; the file is damaged"
            )


def _cut_out(x: Values, starts: NDArray[np.int64], cut: Cut) -> Values:
    """Sequences [R * N, S, D] whose first told samples are `starts` [N]; 0 after the end."""
    index = starts[:, None] + np.arange(cut.told - cut.steps, cut.told)
    beyond = index >= x.shape[1]
    sequences = x[:, np.where(beyond, 0, index)]
    sequences[:, beyond] = 0.0
    return sequences.reshape(-1, cut.steps, x.shape[-1])
