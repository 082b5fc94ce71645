"""This module is where arrays of probabilities become the forecast that people and engine read.

Objects are the dear part of a forecast over a thousand cells, and most are never read: the engine
compares cells by columns, and a person asks of one. So a cell's forecast is made when it is asked
for, and once; equal curves are made once too, and a mode that is out of the question at every
load and horizon is left out (absent = 0).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from foreshard.model.forecast import Band, CellForecast, RiskCurve, TimeToLimit

__all__ = ["Details", "Figures", "Foreseen"]

Array = NDArray[np.float64]
_Curves = Mapping[float, RiskCurve]

_EXHAUSTION = "exhaustion:"
_LATENCY = "latency:"
# Finer differences than this mean nothing, and would make every curve unique.
_DECIMALS = 3


class Details(Protocol):
    """What is worked out only where it is asked for: of G gauges of the cell `c`, mostly."""

    def drift_low(self, c: int) -> Array:
        """[G], lower bound of the drift, limits a second."""

    def drift_low_of(self, g: int) -> Array:
        """[C], the same of one gauge in all cells."""

    def band(self, c: int) -> Array:
        """[2, H, G], where 80 % of what makes up p at load 1 lies, rising along both."""

    def time_to_limit(self, c: int) -> Array:
        """[3, G], seconds at 10, 50 and 90 %; NaN = does not move to its limit."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Figures:
    """What a model says of C cells and G gauges.

    Attributes:
        cells: C names.
        gauges: G names; those that start with `latency:` speak of a class.
        known: bool [C, G], whether enough was seen to say anything.
        p: [H, L, C, G], probability by horizon and load, rising along both.
        details: The rest, on demand.
        horizons_s: H.
        loads: L, with 1 in it.
        down: By cell, per horizon, whether it is announced to be away.
        any: [H, L, C], probability of any failure, rising along both, NaN = the modes tell; None =
            they tell everywhere.
        stands_on: C names of the models that the cells' figures stand on; () = it is not said.
        has_band: bool [C], `details.band` belongs to these probabilities; None = everywhere.
        heard: By mode then cell, per horizon, the probability that what was heard from outside
            the metrics makes it fail, at every load; rising along the horizons. Its hazard adds
            to that of the gauges.
        because: What counts most in the figures, in words, by cell; absent = it is not said.
        calibrated: bool [C], see `CellForecast`; None = nowhere.
    """

    cells: tuple[str, ...]
    gauges: tuple[str, ...]
    known: NDArray[np.bool_]
    p: Array
    details: Details
    horizons_s: tuple[float, ...]
    loads: tuple[float, ...]
    down: Mapping[str, tuple[bool, ...]]
    any: Array | None = None
    stands_on: tuple[str, ...] = ()
    has_band: NDArray[np.bool_] | None = None
    heard: Mapping[str, Mapping[str, tuple[float, ...]]] = field(default_factory=dict)
    because: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    calibrated: NDArray[np.bool_] | None = None


class Foreseen(Mapping[str, CellForecast]):
    """Forecasts by cell, and their columns (see `planning.sheet`).

    A cell of which nothing is known, nor announced, is left out.

    Args:
        figures: See `Figures`.
    """

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        self._horizons_s, self._loads = figures.horizons_s, figures.loads
        p = np.where(figures.known, figures.p, 0.0)
        self._p: Array = np.round(p, _DECIMALS, out=p)
        any_known: list[bool] = np.any(figures.known, axis=1).tolist()
        announced = {name for name, away in figures.down.items() if any(away)}
        announced.update(*(cells for cells in figures.heard.values()))
        rows = [c for c, name in enumerate(figures.cells) if any_known[c] or name in announced]
        self._rows = np.array(rows, dtype=np.intp)
        self._at = {figures.cells[c]: c for c in rows}
        self._made: dict[str, CellForecast] = {}
        self._curves = _Curvery(figures.loads)
        self._is_latency = np.array([g.startswith(_LATENCY) for g in figures.gauges], dtype=bool)
        self._latency = [(g, name) for g, name in enumerate(figures.gauges) if self._is_latency[g]]

    def __getitem__(self, name: str) -> CellForecast:
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = self._cell(name, self._at[name])
        return made

    def __iter__(self) -> Iterator[str]:
        return iter(self._at)

    def __len__(self) -> int:
        return len(self._at)

    def __repr__(self) -> str:
        return repr(dict(self))

    @property
    def figures(self) -> Figures:
        """What it was made of."""
        return self._figures

    @property
    def names(self) -> tuple[str, ...]:
        """[C] cells of which anything is known."""
        return tuple(self._at)

    @property
    def gauges(self) -> tuple[str, ...]:
        """Gauges that may be exhausted."""
        return tuple(g for g in self._figures.gauges if not g.startswith(_LATENCY))

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes that may suffer alone."""
        known: list[bool] = np.any(self._figures.known, axis=0).tolist()
        return tuple(sorted(n.removeprefix(_LATENCY) for g, n in self._latency if known[g]))

    @property
    def calibrated(self) -> NDArray[np.bool_]:
        """[C] whose probabilities are evidence by themselves."""
        told = self._figures.calibrated
        return np.zeros(len(self._rows), dtype=bool) if told is None else told[self._rows]

    def standing(self, gauge: str, horizon_s: float) -> Array:
        """[C] P that a gauge is exhausted and no relief cures it; 0 where that is not said."""
        g = self._figures.gauges.index(gauge)
        return np.asarray(self._p[self._horizons_s.index(horizon_s), 0, self._rows, g])

    def drift_low_per_s(self, gauge: str) -> Array:
        """[C] lower bound of its drift; 0 where it is not known."""
        g = self._figures.gauges.index(gauge)
        low = self._figures.details.drift_low_of(g)
        return np.asarray(np.where(self._figures.known[:, g], low, 0.0)[self._rows])

    def class_risk(self, request_class: str, horizon_s: float) -> Array:
        """[C] P that a class suffers alone, NaN where that is not said."""
        g = self._figures.gauges.index(_LATENCY + request_class)
        p = self._p[self._horizons_s.index(horizon_s), self._loads.index(1.0), :, g]
        return np.asarray(np.where(self._figures.known[:, g], p, np.nan)[self._rows])

    def risk(self, horizon_s: float) -> tuple[Array, Array]:
        """[L] loads, and [C, L] P of any failure at them."""
        h, figures = self._horizons_s.index(horizon_s), self._figures
        p = self._risk[h].T.copy()
        for cells in figures.heard.values():
            for name, heard in cells.items():
                c = figures.cells.index(name)
                p[c] = 1.0 - (1.0 - p[c]) * (1.0 - round(heard[h], _DECIMALS))
        for name, away in figures.down.items():
            if away[h]:
                p[figures.cells.index(name)] = 1.0
        return np.array(self._loads), p[self._rows]

    @cached_property
    def _risk(self) -> Array:
        """[H, L, C]."""
        modes = _any_mode(self._p, self._figures.known, self._is_latency)
        told = self._figures.any
        return (
            modes if told is None else np.where(np.isnan(told), modes, np.round(told, _DECIMALS))
        )

    def _cell(self, name: str, c: int) -> CellForecast:
        figures, known = self._figures, self._figures.known[c]
        away = figures.down.get(name, (False,) * len(self._horizons_s))
        p = self._p[:, :, c]
        heard = {mode: of[name] for mode, of in figures.heard.items() if name in of}
        own = self._added(self._risk[:, :, c], heard, away)
        worst = p.max(axis=(0, 1), initial=0.0)
        modes: dict[str, _Curves] = {
            _mode(figures.gauges[g]): self._curves.by_horizon(self._horizons_s, p[:, :, g])
            for g in np.flatnonzero(worst).tolist()
        }
        if any(away):
            modes["down"] = self._flat(tuple(map(float, away)))
        modes |= {mode: self._flat(of) for mode, of in heard.items()}
        latency = [(g, gauge.removeprefix(_LATENCY)) for g, gauge in self._latency if known[g]]
        present = p[:, self._loads.index(1.0)].T.tolist()
        has_band = figures.has_band is None or bool(figures.has_band[c])
        band = np.where(known & has_band, figures.details.band(c), 0.0)
        band = np.round(band, _DECIMALS, out=band)
        return CellForecast(
            risk=self._curves.by_horizon(self._horizons_s, own),
            modes=modes,
            class_risk={
                of: dict(zip(self._horizons_s, present[g], strict=True)) for g, of in latency
            },
            time_to_limit=self._times(c),
            drift_low_per_s={
                gauge: low
                for gauge, low, is_known in zip(
                    figures.gauges,
                    figures.details.drift_low(c).tolist(),
                    known.tolist(),
                    strict=True,
                )
                if is_known
            },
            risk_band=self._risk_band(band, known, heard, away) if has_band else {},
            class_band={
                of: self._bands(band[:, :, g]) for g, of in latency if worst[g] and has_band
            },
            model=figures.stands_on[c] if figures.stands_on else "",
            because=figures.because.get(name, ()),
            is_calibrated=figures.calibrated is not None and bool(figures.calibrated[c]),
        )

    def _times(self, c: int) -> Mapping[str, TimeToLimit]:
        figures, times = self._figures, self._figures.details.time_to_limit(c)
        moves = ~np.isnan(times[0]) & figures.known[c]
        return {
            figures.gauges[g]: TimeToLimit(
                q10_s=float(times[0, g]), q50_s=float(times[1, g]), q90_s=float(times[2, g])
            )
            for g in np.flatnonzero(moves).tolist()
        }

    def _risk_band(
        self,
        band: Array,
        known: NDArray[np.bool_],
        heard: Mapping[str, tuple[float, ...]],
        away: tuple[bool, ...],
    ) -> Mapping[float, Band]:
        """What was announced is certain; of a cell without any risk nothing is said."""
        ends = _any_mode(band[:, :, None, :], known[None, :], self._is_latency)
        ends = np.stack([self._added(each, heard, away) for each in ends])[:, :, 0]
        return self._bands(ends) if ends.any() else {}

    def _added(
        self, p: Array, heard: Mapping[str, tuple[float, ...]], away: tuple[bool, ...]
    ) -> Array:
        """[H, ...] P with what was heard of the cell: hazards add, and what is certain is."""
        for of in heard.values():
            p = 1.0 - (1.0 - p) * (1.0 - np.round(np.array(of), _DECIMALS))[:, None]
        return np.where(np.array(away, dtype=bool)[:, None], 1.0, p)

    def _flat(self, p: tuple[float, ...]) -> _Curves:
        """[H] P at every load."""
        curve = np.repeat(np.round(np.array(p), _DECIMALS)[:, None], len(self._loads), axis=1)
        return self._curves.by_horizon(self._horizons_s, curve)

    def _bands(self, ends: Array) -> Mapping[float, Band]:
        low, high = ends.tolist()
        return {
            h: Band(low=a, high=b) for h, a, b in zip(self._horizons_s, low, high, strict=True)
        }


def _any_mode(p: Array, known: NDArray[np.bool_], is_latency: NDArray[np.bool_]) -> Array:
    """From [..., C, G]: the worst exhaustion, or a latency of which every class suffers."""
    exhausted = p[..., ~is_latency].max(axis=-1, initial=0.0)
    seen = known & is_latency
    shared = np.where(seen, p, 1.0).min(axis=-1, initial=1.0)
    shared = np.where(seen.any(axis=1), shared, 0.0)
    return np.asarray(np.maximum(exhausted, shared))


def _mode(gauge: str) -> str:
    return gauge if gauge.startswith(_LATENCY) else f"{_EXHAUSTION}{gauge}"


class _Curvery:
    """Makes each distinct curve once."""

    def __init__(self, loads: tuple[float, ...]) -> None:
        self._loads = loads
        self._made: dict[bytes, RiskCurve] = {}
        self._none = RiskCurve(loads=loads, p=(0.0,) * len(loads))

    def by_horizon(self, horizons_s: tuple[float, ...], p: Array) -> _Curves:
        """Curves from [H, L]."""
        if not p.any():
            return dict.fromkeys(horizons_s, self._none)
        return {h: self._curve(row) for h, row in zip(horizons_s, p, strict=True)}

    def _curve(self, p: Array) -> RiskCurve:
        key = p.tobytes()
        made = self._made.get(key)
        if made is None:
            made = RiskCurve(loads=self._loads, p=tuple(p.tolist()))
            self._made[key] = made
        return made
