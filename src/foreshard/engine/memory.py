"""This module is what must survive a restart: why the live plan is as it is.

Estimates are learned again within seconds; reasons are not. Without them a restarted engine
would give work back to the cells that it was taken from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from foreshard.engine.state import EngineState
from foreshard.model.errors import PlanningError
from foreshard.model.plan import Plan
from foreshard.model.topology import Fleet
from foreshard.planning.caution import Caution
from foreshard.planning.handover import Handover, HandoverPhase
from foreshard.planning.phases import CellState, Phase, Why
from foreshard.planning.problem import Floats
from foreshard.planning.shunning import Shun, Stage
from foreshard.planning.trust import Trust, full_trust

__all__ = [
    "begun",
    "is_remembered_alike",
    "memory_of",
    "recall",
    "recall_handovers",
    "recall_trust",
]

_DECIMALS = 4
_FIELDS = tuple(field.name for field in fields(CellState))


def memory_of(state: EngineState, fleet: Fleet, classes: Sequence[str]) -> Mapping[str, Any]:
    """Phases, shunned classes, trust, loads that hurt, costs and hand-overs, as JSON values."""
    caution, factor = _rounded(state.caution.p), _rounded(state.workload.factor)
    return {
        "cells": {name: _row(cell) for name, cell in sorted(state.cells.items())},
        "shuns": [
            {"class": pair[0], "cell": pair[1], **asdict(off)}
            for pair, off in sorted(state.shuns.items())
        ],
        "trust": _trust_rows(state.trust, fleet, classes),
        "caution": dict(zip(fleet.names, caution.tolist(), strict=True)),
        "handovers": [asdict(one) for one in state.handovers],
        "factor": dict(zip(fleet.names, factor.tolist(), strict=True)),
    }


def is_remembered_alike(one: EngineState, other: EngineState) -> bool:
    """Whether `memory_of` says the same of both; when in doubt, False."""
    return (
        one.cells == other.cells
        and one.shuns == other.shuns
        and (one.trust is other.trust or _is_trusted_alike(one.trust, other.trust))
        and one.handovers == other.handovers
        and np.array_equal(_rounded(one.caution.p), _rounded(other.caution.p))
        and np.array_equal(_rounded(one.workload.factor), _rounded(other.workload.factor))
    )


def recall(
    values: Mapping[str, Any], fleet: Fleet
) -> tuple[Mapping[str, CellState], Mapping[tuple[str, str], Shun], Caution, Mapping[str, Floats]]:
    """What `memory_of` wrote; what this version or this fleet cannot read is left out."""
    cells = {}
    for name, row in _mapping(values.get("cells")).items():
        try:
            fields: dict[str, Any] = {k: float("nan") if v is None else v for k, v in row.items()}
            fields |= {"phase": Phase(row["phase"]), "why": Why(row["why"])}
            cells[name] = CellState(**fields)
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
    shuns = {}
    for row in values.get("shuns", ()):
        try:
            parts: dict[str, Any] = {k: v for k, v in row.items() if k not in {"class", "cell"}}
            off = Shun(**(parts | {"stage": Stage(row["stage"])}))
            if row["cell"] in fleet.index:
                shuns[row["class"], row["cell"]] = off
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
    held = Caution.none(len(fleet.cells))
    known = _mapping(values.get("caution"))
    try:
        caution = Caution(
            p=np.array([known.get(n, held.p[c]) for c, n in enumerate(fleet.names)], dtype=float)
        )
    except (PlanningError, TypeError, ValueError):
        caution = held
    factor = {}
    for name, row in _mapping(values.get("factor")).items():
        try:
            factor[name] = np.maximum(np.array(row, dtype=float), 1.0)
        except (TypeError, ValueError):
            continue
    return cells, shuns, caution, factor


def begun(
    kept: Mapping[str, CellState], plan: Plan | None, fleet: Fleet, *, now_s: float
) -> Mapping[str, CellState]:
    """The state of every cell at the start: as it is remembered, or as the live plan treats it.

    A cell that the live plan gives nothing, and of which nothing is remembered, has to prove
    itself.
    """
    cells = {}
    for name in fleet.names:
        used = plan is None or any(s.share(name) > 0.0 for s in plan.splits.values())
        fresh = CellState(phase=Phase.ACTIVE if used else Phase.RECYCLING, since_s=now_s)
        # A far region has nothing to prove because nobody needed it.
        away = CellState(phase=Phase.ACTIVE, since_s=now_s)
        cells[name] = kept.get(name, away if name in fleet.peers else fresh)
    return cells


def recall_handovers(values: Mapping[str, Any]) -> tuple[Handover, ...]:
    """Hand-overs that `memory_of` wrote; those that this version cannot read are left out."""
    found = []
    for row in values.get("handovers", ()):
        try:
            found.append(Handover(**{**row, "phase": HandoverPhase(row["phase"])}))
        except (KeyError, TypeError, ValueError):
            continue
    return tuple(found)


def recall_trust(values: Mapping[str, Any], fleet: Fleet, classes: Sequence[str]) -> Trust:
    """Trust as `memory_of` wrote it; what this version or this fleet cannot read is full."""
    trust = full_trust(len(fleet.cells), len(classes))
    for row in values.get("trust", ()):
        try:
            c, k = fleet.index[row["cell"]], classes.index(row["class"])
            part = min(1.0, max(0.0, float(row["part"])))
            strikes, rests_s = max(0.0, float(row["strikes"])), float(row["rests_s"])
        except (KeyError, TypeError, ValueError):
            continue
        trust.part[c, k], trust.strikes[c, k], trust.rests_s[c, k] = part, strikes, rests_s
        trust.whole[c] = bool(row.get("whole"))
    return trust


def _trust_rows(trust: Trust, fleet: Fleet, classes: Sequence[str]) -> list[Mapping[str, Any]]:
    """Of those that anything is held against."""
    part = _stepped(trust.part)
    return [
        {
            "cell": fleet.names[c],
            "class": classes[k],
            "part": float(part[c, k]),
            "strikes": float(trust.strikes[c, k]),
            "rests_s": float(trust.rests_s[c, k]),
            "whole": bool(trust.whole[c]),
        }
        for c, k in np.argwhere((part < 1.0) | (trust.strikes > 0.0)).tolist()
    ]


def _is_trusted_alike(one: Trust, other: Trust) -> bool:
    return (
        np.array_equal(_stepped(one.part), _stepped(other.part))
        and np.array_equal(one.strikes, other.strikes)
        and np.array_equal(one.rests_s, other.rests_s)
    )


def _stepped(part: Floats) -> Floats:
    """A share that grows every second is not worth writing down every second."""
    return np.floor(part * 10.0 + 1e-9) / 10.0


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _row(cell: CellState) -> Mapping[str, Any]:
    """Its fields; flat, and there are thousands: no deep copy of each."""
    values = [(name, getattr(cell, name)) for name in _FIELDS]
    # Only NaN differs from itself.
    return {name: None if value != value else value for name, value in values}  # noqa: PLR0124 - see above


def _rounded(values: Floats) -> Floats:
    return values.round(_DECIMALS)
