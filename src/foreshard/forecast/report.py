"""This module is where arrays of probabilities become the forecast that people and engine read.

Objects are the dear part of a forecast over ten thousand cells, so equal curves are made once, and
a mode that is out of the question at every load and horizon is left out (absent = 0).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreshard.model.forecast import Band, CellForecast, RiskCurve, TimeToLimit

__all__ = ["Figures", "cell_forecasts"]

Array = NDArray[np.float64]
_Curves = Mapping[float, RiskCurve]

_LATENCY = "latency:"
# Finer differences than this mean nothing, and would make every curve unique.
_DECIMALS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a model says of C cells and G gauges.

    Attributes:
        cells: C names.
        gauges: G names; those that start with `latency:` speak of a class.
        known: bool [C, G], whether enough was seen to say anything.
        p: [H, L, C, G], probability by horizon and load, rising along both.
        band: [2, H, C, G], where 80 % of what makes up p at load 1 lies, rising along both.
        drift_low: [C, G], limits a second.
        time_to_limit: [3, C, G], seconds at 10, 50 and 90 %; NaN = does not move to its limit.
    """

    cells: tuple[str, ...]
    gauges: tuple[str, ...]
    known: NDArray[np.bool_]
    p: Array
    band: Array
    drift_low: Array
    time_to_limit: Array


def cell_forecasts(
    figures: Figures,
    *,
    horizons_s: tuple[float, ...],
    loads: tuple[float, ...],
    down: Mapping[str, tuple[bool, ...]],
) -> Mapping[str, CellForecast]:
    """Forecasts by cell.

    Args:
        figures: See `Figures`.
        horizons_s: H.
        loads: L, with 1 in it.
        down: By cell, per horizon, whether it is announced to be away.

    Returns:
        A cell of which nothing is known, nor announced, is left out.
    """
    p: Array = np.asarray(np.round(np.where(figures.known, figures.p, 0.0), _DECIMALS), np.float64)
    worst = p.max(axis=(0, 1), initial=0.0)
    risk = _any_mode(figures, p)
    at_present = p[:, loads.index(1.0)].transpose(1, 2, 0).tolist()
    curve = _Curvery(loads)
    bands = _Bands.of(figures, horizons_s)
    drift_low = figures.drift_low.tolist()
    moves = np.asarray(~np.isnan(figures.time_to_limit[0]) & figures.known)
    known = figures.known.tolist()
    any_known: list[bool] = np.any(figures.known, axis=1).tolist()
    latency = [(g, name) for g, name in enumerate(figures.gauges) if name.startswith(_LATENCY)]
    result: dict[str, CellForecast] = {}
    for c, cell in enumerate(figures.cells):
        away = down.get(cell, (False,) * len(horizons_s))
        if not any_known[c] and not any(away):
            continue
        own = np.maximum(risk[:, :, c], np.array(away, dtype=np.float64)[:, None])
        modes: dict[str, _Curves] = {
            _mode(figures.gauges[g]): curve.by_horizon(horizons_s, p[:, :, c, g])
            for g in np.flatnonzero(worst[c]).tolist()
        }
        if any(away):
            flat = np.repeat(np.array(away, dtype=np.float64)[:, None], len(loads), axis=1)
            modes["down"] = curve.by_horizon(horizons_s, flat)
        result[cell] = CellForecast(
            risk=curve.by_horizon(horizons_s, own),
            modes=modes,
            class_risk={
                name.removeprefix(_LATENCY): dict(zip(horizons_s, at_present[c][g], strict=True))
                for g, name in latency
                if known[c][g]
            },
            time_to_limit={
                figures.gauges[g]: TimeToLimit(
                    q10_s=float(figures.time_to_limit[0, c, g]),
                    q50_s=float(figures.time_to_limit[1, c, g]),
                    q90_s=float(figures.time_to_limit[2, c, g]),
                )
                for g in np.flatnonzero(moves[c]).tolist()
            },
            drift_low_per_s={
                name: low
                for name, low, seen in zip(figures.gauges, drift_low[c], known[c], strict=True)
                if seen
            },
            risk_band=bands.of_cell(c, away),
            class_band={
                name.removeprefix(_LATENCY): bands.of_gauge(c, g)
                for g, name in latency
                if known[c][g] and worst[c, g]
            },
        )
    return result


def _any_mode(figures: Figures, p: Array) -> Array:
    """From [..., C, G]: the worst exhaustion, or a latency of which every class suffers."""
    is_latency = np.array([name.startswith(_LATENCY) for name in figures.gauges], dtype=bool)
    exhausted = p[..., ~is_latency].max(axis=-1, initial=0.0)
    seen = figures.known & is_latency
    shared = np.where(seen, p, 1.0).min(axis=-1, initial=1.0)
    shared = np.where(seen.any(axis=1), shared, 0.0)
    return np.asarray(np.maximum(exhausted, shared))


def _mode(gauge: str) -> str:
    return gauge if gauge.startswith(_LATENCY) else f"exhaustion:{gauge}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bands:
    """Bands of cells and gauges that have any risk."""

    horizons_s: tuple[float, ...]
    gauge: Array
    cell: Array
    told: NDArray[np.bool_]

    @classmethod
    def of(cls, figures: Figures, horizons_s: tuple[float, ...]) -> _Bands:
        gauge: Array = np.asarray(
            np.round(np.where(figures.known, figures.band, 0.0), _DECIMALS), np.float64
        )
        cell = _any_mode(figures, gauge)
        return cls(
            horizons_s=horizons_s,
            gauge=gauge,
            cell=cell,
            told=np.asarray(cell.any(axis=(0, 1))),
        )

    def of_cell(self, c: int, away: tuple[bool, ...]) -> Mapping[float, Band]:
        """What was announced is certain."""
        if not self.told[c] and not any(away):
            return {}
        return self._bands(np.maximum(self.cell[:, :, c], np.array(away, dtype=np.float64)))

    def of_gauge(self, c: int, g: int) -> Mapping[float, Band]:
        return self._bands(self.gauge[:, :, c, g])

    def _bands(self, ends: Array) -> Mapping[float, Band]:
        low, high = ends.tolist()
        return {h: Band(low=a, high=b) for h, a, b in zip(self.horizons_s, low, high, strict=True)}


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
