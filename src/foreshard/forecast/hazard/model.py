"""This module is the fitted hazard model: features in, calibrated probabilities out.

Each gauge has a probability before its own limit; `any` is that of the first to come, as if they
came independently, and then put right, as they do not. Under another load the telemetry is read
as it would be (`supposition`), in each of its two worlds, at the least, the most and about half of
the load; in between it is said by log odds. Probabilities fall neither with horizon nor load.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.calibration import Correction, correction_in, log_odds, probability
from foreshard.forecast.feature.column import COLUMNS, SHARED, columns_of
from foreshard.forecast.feature.span import Spans
from foreshard.forecast.feature.table import describe, lines_of
from foreshard.forecast.forecaster import Json
from foreshard.forecast.hazard.forest import Forest
from foreshard.forecast.hazard.reason import Reason, reasons_of
from foreshard.forecast.hazard.under import Under
from foreshard.forecast.history import History
from foreshard.forecast.learner import Risk, Snapshot
from foreshard.forecast.response import LoadResponse
from foreshard.model.errors import ForecastError

__all__ = ["HazardModel", "any_of", "chosen", "restore"]

Array = NDArray[np.float32]
Scores = NDArray[np.float64]
Index = NDArray[np.int64]

KIND = "hazard"
# Rows that are worked on at once: bounds memory, and changes no result.
_ROWS_AT_ONCE = 60_000
_AGE = SHARED.index("age")
_HALF = 0.5


def chosen(table: Array, horizon: int, rows: Index | None = None) -> Array:
    """The columns of a horizon of a table [N, F]; of some rows [M], all by default."""
    wanted = table if rows is None else table[rows]
    return np.hstack([wanted[:, part] for part in columns_of(horizon)])


def any_of(p: Scores) -> Scores:
    """[H, N] from [H, N, G]: at least one, if they came independently; NaN = of none is known."""
    known = ~np.isnan(p)
    first: Scores = 1.0 - np.prod(np.where(known, 1.0 - p, 1.0), axis=2)
    return np.where(known.any(axis=2), first, np.nan)


@dataclass(frozen=True, slots=True, kw_only=True)
class HazardModel:
    """See the module.

    Attributes:
        horizons_s: H, rising.
        sustain: Samples at the limit that make a breach.
        forests: [H].
        of_gauge: Of the probabilities of a gauge.
        of_any: Of those of any gauge.
        response: What load does to the gauges.
    """

    horizons_s: tuple[float, ...]
    sustain: int
    forests: tuple[Forest, ...]
    of_gauge: Correction
    of_any: Correction
    response: LoadResponse
    name: ClassVar[str] = KIND

    def risk(self, history: History, at: Index, *, loads: tuple[float, ...] = (1.0,)) -> Risk:
        """See `RiskModel`."""
        (c, g), a, h = history.counts.shape, len(at), len(self.horizons_s)
        by_gauge = np.full((h, len(loads), c, g, a), np.nan, dtype=np.float32)
        some = np.full((h, len(loads), c, a), np.nan, dtype=np.float32)
        read, moments = _read_part(history, at, self.spans(history))
        lines, under = lines_of(read, self.spans(history)), self._under(read)
        cells = np.arange(c)
        at_once = max(_ROWS_AT_ONCE // (c * g), 1)
        for first in range(0, a, at_once):
            part = slice(first, min(first + at_once, a))
            n = part.stop - first
            # All cells of a moment, then those of the next.
            cell, when = np.tile(cells, n), np.repeat(moments[part], c)
            present = describe(lines, cell, when, _limits(read, cell))
            now = self._corrected(present)
            own, any_p = self._told(under, moments[part], (present, now), loads)
            by_gauge[..., part] = np.moveaxis(own.reshape(h, len(loads), n, c, g), 2, -1)
            some[..., part] = any_p.reshape(h, len(loads), n, c).swapaxes(2, 3)
        if history.declared is None:
            some[:, :, ~history.counts.any(axis=1)] = 0.0
        else:
            by_gauge[:] = np.nan
        return Risk(any=some, by_gauge=by_gauge)

    def snapshot(self) -> Snapshot:
        """See `RiskModel`."""
        settings: Mapping[str, Json] = {
            "horizons_s": list(self.horizons_s),
            "sustain": self.sustain,
            "columns": list(COLUMNS),
            "gauges": list(self.response.gauges),
        }
        arrays = {
            **self.of_gauge.arrays("gauge"),
            **self.of_any.arrays("any"),
            **self.response.arrays(),
        }
        texts = {f"forest_{i}": forest.text for i, forest in enumerate(self.forests)}
        return Snapshot(kind=KIND, settings=settings, arrays=arrays, texts=texts)

    def reasons(
        self, history: History, at: int, *, cells: tuple[str, ...], horizon_s: float, most: int
    ) -> Mapping[str, tuple[Reason, ...]]:
        """Why cells have the probabilities that they have, each from its worst gauge.

        Args:
            history: From which they were made.
            at: Sample.
            cells: Names.
            horizon_s: One of the model's.
            most: So many of each, those that count most first.

        Returns:
            By cell; those of whose gauges nothing can be said are left out.

        Raises:
            ForecastError: A cell or the horizon is not known.
        """
        missing = sorted({*cells} - {*history.cells})
        if missing or horizon_s not in self.horizons_s:
            raise ForecastError(
                f"reasons: cells {missing} must be among {history.cells}, horizon {horizon_s} s "
                f"among {self.horizons_s}"
            )
        spans, h = self.spans(history), self.horizons_s.index(horizon_s)
        read, (moment,) = _read_part(history, np.array([at], dtype=np.int64), spans)
        rows = np.array([history.cells.index(name) for name in cells], dtype=np.int64)
        when = np.full(len(rows), moment)
        table = describe(lines_of(read, spans), rows, when, _limits(read, rows))
        p = self._corrected(table)[h]
        found = {}
        for i, name in enumerate(cells):
            if not np.isnan(p[i]).all():
                g = int(np.nanargmax(p[i]))
                row = chosen(table[i, g][None], h)[0]
                found[name] = reasons_of(self.forests[h], row, gauge=history.gauges[g], most=most)
        return found

    def spans(self, history: History) -> Spans:
        """Stretches of time in the samples of a history."""
        return Spans.of(history.step_s, self.horizons_s, self.sustain)

    def _told(
        self,
        under: Under,
        moments: Index,
        known: tuple[Array, Scores],
        loads: tuple[float, ...],
    ) -> tuple[Array, Array]:
        """[H, L, N, G] of gauges and [H, L, N] of any, of the cells at each moment in turn.

        `known` is what is known of the N places under the present load: features and P.
        """
        present, now = known
        found = {1.0: now}
        if under.moved.any():
            c = len(under.history.cells)
            parts = [slice(i * c, (i + 1) * c) for i in range(len(moments))]
            for load in _anchors(loads):
                each = [
                    under.risk(self._corrected, load, int(t), (present[part], now[:, part]))
                    for t, part in zip(moments, parts, strict=True)
                ]
                found[load] = np.concatenate(each, axis=1)
        own: list[Scores] = []
        some: list[Scores] = []
        for load in loads:
            p = _between(found, load)
            # The same curve for each as for any: where one gauge is all there is, they agree.
            own.append(self.of_any.apply(log_odds(p)))
            some.append(self.of_any.apply(log_odds(any_of(p))))
        gauges, anyone = _rising(np.stack(own, axis=1)), _rising(np.stack(some, axis=1))
        return gauges.astype(np.float32), anyone.astype(np.float32)

    def _under(self, history: History) -> Under:
        return Under(
            history=history, response=self.response.of(history.gauges), spans=self.spans(history)
        )

    def _corrected(self, table: Array) -> Scores:
        """Probabilities [H, N, G] of gauges; NaN = it has no limit, or was not heard."""
        n, g, width = table.shape
        rows = table.reshape(n * g, width)
        told = np.flatnonzero(~np.isnan(rows[:, _AGE]))
        raw = np.full((len(self.forests), n * g), np.nan)
        asked = rows if len(told) == len(rows) else rows[told]
        for i, forest in enumerate(self.forests):
            raw[i, told] = forest.predict(asked, np.r_[columns_of(i)])
        return self.of_gauge.apply(log_odds(raw)).reshape(len(self.forests), n, g)


def restore(snapshot: Snapshot) -> HazardModel:
    """The model that made a snapshot.

    Raises:
        ForecastError: It is no snapshot of `hazard`, or one of another edition.
    """
    if snapshot.kind != KIND:
        raise ForecastError(f"hazard: snapshot is of kind {snapshot.kind!r}, not {KIND!r}")
    forests = tuple(
        Forest.of(snapshot.texts.get(f"forest_{i}", ""))
        for i in range(len(snapshot.numbers("horizons_s")))
    )
    if snapshot.words("columns") != COLUMNS or any(f.width != len(COLUMNS) for f in forests):
        raise ForecastError("hazard: the model was trained on other features; train it anew")
    horizons_s = snapshot.numbers("horizons_s")
    sustain = snapshot.settings.get("sustain")
    if not isinstance(sustain, int) or sustain < 1:
        raise ForecastError(f"hazard: snapshot's sustain is {sustain!r}, must be 1 or more")
    many = len(horizons_s)
    return HazardModel(
        horizons_s=horizons_s,
        sustain=sustain,
        forests=forests,
        of_gauge=correction_in(snapshot, "gauge", (many, many)),
        of_any=correction_in(snapshot, "any", (many, many)),
        response=LoadResponse.in_snapshot(snapshot, snapshot.words("gauges")),
    )


def _limits(history: History, cell: Index) -> Array:
    """[N, G] limits, NaN = none that counts."""
    limit: Array = np.where(history.counts[cell], 1.0, np.nan).astype(np.float32)
    return limit


def _read_part(history: History, at: Index, spans: Spans) -> tuple[History, Index]:
    """The part of a history that features at some samples read, and the samples within it."""
    if not len(at):
        return history, at
    first = max(int(at.min()) - spans.reach, 0)
    return history.between(first, int(at.max()) + 1), at - first


def _anchors(loads: tuple[float, ...]) -> tuple[float, ...]:
    """The loads that telemetry is read anew for: the least, one about a half, and the most."""
    less, more = [k for k in loads if k < 1.0], [k for k in loads if k > 1.0]
    half = min(less, key=lambda k: abs(k - _HALF), default=1.0)
    return tuple(sorted({*less[:1], half, *more[-1:]} - {1.0}))


def _between(found: Mapping[float, Scores], load: float) -> Scores:
    """What is said under a load, in log odds on the straight line between its neighbours."""
    if load in found:
        return found[load]
    lower = max((k for k in found if k < load), default=min(found))
    upper = min((k for k in found if k > load), default=max(found))
    part = (load - lower) / (upper - lower) if upper > lower else 0.0
    z = (1.0 - part) * log_odds(found[lower]) + part * log_odds(found[upper])
    return probability(z)


def _rising(p: Scores) -> Scores:
    """Probabilities [H, L, ...] that fall neither with the horizon nor with the load."""
    np.maximum.accumulate(p, axis=0, out=p)
    np.maximum.accumulate(p, axis=1, out=p)
    return p
