"""This module is the engine's state as others may see it: one JSON value a tick."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from foreshard import __version__
from foreshard.controller.crossing import Crossings
from foreshard.controller.foresight import Standing
from foreshard.engine import EngineState
from foreshard.model.forecast import Band, Forecast
from foreshard.model.plan import Act, Decision, Plan, Reason
from foreshard.model.telemetry import CellReading, Fresh, Missing, Observation
from foreshard.model.topology import Fleet
from foreshard.planning.sheet import sheet_of

__all__ = ["Cells", "Instruments", "Seen", "Told", "snapshot"]

# An hour of ticks.
KEPT_TICKS = 3_600
# The same reason about the same cell is said again only after this many ticks without it.
TIMELINE_LENGTH = 200
# Of a probability.
_DECIMALS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is said of cells for as long as it holds; made when it is asked for.

    Attributes:
        forecast: The newest.
        plan: What is live.
        risks: By cell, of the forecast.
        shares: By cell, of the plan, by flow; empty before they are asked for.
    """

    forecast: Forecast | None
    plan: Plan
    risks: dict[str, Mapping[str, Any]]
    shares: dict[str, dict[str, float]]

    def risk_of(self, cell: str) -> Mapping[str, Any]:
        """What is foreseen of a cell."""
        known = self.risks.get(cell)
        if known is None:
            known = self.risks[cell] = _risk(self.forecast, cell)
        return known

    def shares_of(self, cell: str) -> Mapping[str, float]:
        """The flows that a cell serves."""
        if not self.shares:
            for flow, split in sorted(self.plan.splits.items()):
                key = f"{flow.origin}/{flow.request_class}"
                for name, share in split.shares.items():
                    if share > 0.0:
                        self.shares.setdefault(name, {})[key] = round(share, 5)
        return self.shares.get(cell, {})


@dataclass(slots=True)
class Instruments:
    """What is measured about the engine itself; times in seconds."""

    tick_s: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_TICKS))
    push_to_ack_s: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_TICKS))
    rejections: int = 0
    acts: int = 0
    timeline: deque[Mapping[str, Any]] = field(
        default_factory=lambda: deque(maxlen=TIMELINE_LENGTH)
    )
    _standing: set[tuple[str, str]] = field(default_factory=set)
    _seen: set[tuple[str, str]] = field(default_factory=set)
    _told: Told | None = None

    def told(self, forecast: Forecast | None, plan: Plan) -> Told:
        """What was said of a forecast and of a plan: both stand for several ticks."""
        old = self._told
        if old is None or old.forecast is not forecast or old.plan is not plan:
            risks = old.risks if old is not None and old.forecast is forecast else {}
            shares = old.shares if old is not None and old.plan is plan else {}
            self._told = old = Told(forecast=forecast, plan=plan, risks=risks, shares=shares)
        return old

    def is_news(self, reason: Reason) -> bool:
        """Whether a reason was absent in the tick before; each tick asks once per reason."""
        pair = (reason.subject, reason.code)
        self._seen.add(pair)
        return pair not in self._standing

    def next_tick(self) -> None:
        """Forget the reasons that no longer stand."""
        self._standing, self._seen = self._seen, set()


def snapshot(
    decision: Decision,
    observation: Observation,
    forecast: Forecast | None,
    state: EngineState,
    instruments: Instruments,
    standing: Standing | None = None,
    *,
    fleet: Fleet,
) -> Mapping[str, Any]:
    """What is known of every cell, what was decided, and how the engine is doing.

    Cells are described when they are read: most ticks nobody asks.
    """
    for reason in decision.routing.because:
        if instruments.is_news(reason):
            entry = {"at_s": decision.now_s, "cell": reason.subject, "code": reason.code}
            moved = isinstance(decision.routing, Act)
            instruments.timeline.append({**entry, "text": reason.text, "moved": moved})
    instruments.next_tick()
    instruments.acts += isinstance(decision.routing, Act)
    demand = {str(f.request_class): 0.0 for f in (observation.demand_rps or {})}
    for flow, rate in (observation.demand_rps or {}).items():
        demand[flow.request_class] += rate
    return {
        "now_s": decision.now_s,
        "version": state.version,
        "cells": Cells(decision, observation, instruments.told(forecast, decision.plan)),
        "demand_rps": demand,
        "shed": _shed(decision, observation),
        "crossings": Crossings(fleet, state.table, decision.plan, observation.demand_rps or {}),
        "balancers_silent": observation.demand_rps is None,
        "forecast": {
            "model": forecast.model if forecast else None,
            "horizons_s": list(forecast.horizons_s) if forecast else [],
            "age_s": round(observation.now_s - forecast.made_at_s, 3) if forecast else None,
            **_standing(standing, now_s=observation.now_s),
        },
        "decisions": instruments.acts,
        "timeline": list(instruments.timeline),
        "engine": {
            "foreshard": __version__,
            "ticks": len(instruments.tick_s),
            "tick_ms_p50": _quantile_ms(instruments.tick_s, 0.5),
            "tick_ms_p99": _quantile_ms(instruments.tick_s, 0.99),
            "push_to_ack_ms_p99": _quantile_ms(instruments.push_to_ack_s, 0.99),
            "rejections": instruments.rejections,
            "refusals": state.refusals,
            "rss_mb": _rss_mb(),
        },
    }


def _standing(standing: Standing | None, *, now_s: float) -> dict[str, Any]:
    at_s = standing.outlook_at_s if standing else None
    return {
        "degraded": standing.degraded if standing else "",
        "outlook_age_s": None if at_s is None else round(now_s - at_s, 3),
    }


class Cells(Mapping[str, Mapping[str, Any]]):
    """By name, what is known of each cell; made when it is asked for, and once.

    `shares` are of the flows that a cell serves: in a large fleet that is a small part of all.
    """

    def __init__(self, decision: Decision, observation: Observation, told: Told) -> None:
        self._decision = decision
        self._readings = observation.cells
        self._told = told
        self._made: dict[str, Mapping[str, Any]] = {}

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = {
                **_cell(self._readings[name]),
                "phase": self._decision.phases.get(name, ""),
                "risk": self._told.risk_of(name),
                "shares": self._told.shares_of(name),
            }
        return made

    def probabilities(self, horizon_s: float) -> Mapping[str, float]:
        """P of any failure under the present load, by cell, without describing them all."""
        forecast = self._told.forecast
        if forecast is None or not forecast.cells:
            return {}
        sheet = sheet_of(forecast)
        loads, p = sheet.risk(horizon_s)
        present = np.round([np.interp(1.0, loads, row) for row in p], _DECIMALS)
        return dict(zip(sheet.names, present.tolist(), strict=True))

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._readings))

    def __len__(self) -> int:
        return len(self._readings)


class Seen(Mapping[str, Mapping[str, Any]]):
    """What is known of each cell but for what a plan gives it: kept beside that plan.

    Args:
        cells: As the status has them.
    """

    def __init__(self, cells: Mapping[str, Mapping[str, Any]]) -> None:
        self._cells = cells

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        return {what: told for what, told in self._cells[name].items() if what != "shares"}

    def __iter__(self) -> Iterator[str]:
        return iter(self._cells)

    def __len__(self) -> int:
        return len(self._cells)


def _cell(reading: CellReading) -> dict[str, Any]:
    fresh = reading.reading if isinstance(reading.reading, Fresh) else None
    gauges = fresh.metrics.gauges if fresh else {}
    traffic = reading.traffic or {}
    return {
        "health": reading.health.value,
        "age_s": fresh.age_s if fresh else None,
        "silent": reading.reading.because if isinstance(reading.reading, Missing) else "",
        "load_rps": round(sum(t.rate_rps for t in traffic.values()), 2),
        "utilisation": {name: round(g.utilisation, 4) for name, g in sorted(gauges.items())},
        "latency_ms": {
            name: round(1e3 * t.latency_mean_s, 1)
            for name, t in sorted(traffic.items())
            if not math.isnan(t.latency_mean_s)
        },
    }


def _risk(forecast: Forecast | None, cell: str) -> dict[str, Any]:
    known = forecast.cells.get(cell) if forecast else None
    if known is None:
        return {
            "p": {},
            "band": {},
            "band_s": {},
            "class": {},
            "class_band": {},
            "model": "",
            "because": [],
        }
    return {
        "p": {f"{h:g}": round(curve.at(1.0), _DECIMALS) for h, curve in known.risk.items()},
        "band": _bands(known.risk_band),
        "band_s": {
            gauge: [None if math.isinf(q) else round(q, 1) for q in (t.q10_s, t.q50_s, t.q90_s)]
            for gauge, t in known.time_to_limit.items()
        },
        "class": {
            name: {f"{h:g}": round(p, 4) for h, p in by_h.items()}
            for name, by_h in known.class_risk.items()
        },
        "class_band": {name: _bands(by_h) for name, by_h in known.class_band.items()},
        "model": known.model or (forecast.model if forecast else ""),
        "because": list(known.because),
    }


def _bands(by_horizon: Mapping[float, Band]) -> dict[str, list[float]]:
    return {f"{h:g}": [round(b.low, 4), round(b.high, 4)] for h, b in by_horizon.items()}


def _shed(decision: Decision, observation: Observation) -> dict[str, float]:
    """Part of each class's demand that the plan turns away; flows count by their demand."""
    demand = observation.demand_rps or {}
    shed: dict[str, tuple[float, float]] = {}
    for flow, split in decision.plan.splits.items():
        rate = max(demand.get(flow, 0.0), 1e-9)
        part, whole = shed.get(flow.request_class, (0.0, 0.0))
        shed[flow.request_class] = (part + rate * split.shed, whole + rate)
    return {name: round(part / whole, 5) for name, (part, whole) in sorted(shed.items())}


def _quantile_ms(values: Iterable[float], q: float) -> float | None:
    ordered = sorted(values)
    return (
        round(1e3 * ordered[min(len(ordered) - 1, int(q * len(ordered)))], 3) if ordered else None
    )


def _rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)
