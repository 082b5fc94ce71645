"""This module is what must survive a restart: why the live plan is as it is.

Estimates are learned again within seconds; reasons are not. Without them a restarted engine
would give work back to the cells that it was taken from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from foreshard.engine.state import EngineState
from foreshard.model.errors import PlanningError
from foreshard.model.topology import Fleet
from foreshard.planning.caution import Caution
from foreshard.planning.handover import Handover, HandoverPhase
from foreshard.planning.phases import CellState, Phase, Why
from foreshard.planning.problem import Floats
from foreshard.planning.shunning import Shun, Stage

__all__ = ["is_remembered_alike", "memory_of", "recall", "recall_handovers"]

_DECIMALS = 4
_FIELDS = tuple(field.name for field in fields(CellState))


def memory_of(state: EngineState, fleet: Fleet) -> Mapping[str, Any]:
    """Phases, shunned classes, loads that hurt, cost factors and hand-overs, as JSON values."""
    caution, factor = _rounded(state.caution.p), _rounded(state.workload.factor)
    return {
        "cells": {name: _row(cell) for name, cell in sorted(state.cells.items())},
        "shuns": [
            {"class": pair[0], "cell": pair[1], **asdict(off)}
            for pair, off in sorted(state.shuns.items())
        ],
        "caution": dict(zip(fleet.names, caution.tolist(), strict=True)),
        "handovers": [asdict(one) for one in state.handovers],
        "factor": dict(zip(fleet.names, factor.tolist(), strict=True)),
    }


def is_remembered_alike(one: EngineState, other: EngineState) -> bool:
    """Whether `memory_of` says the same of both; when in doubt, False."""
    return (
        one.cells == other.cells
        and one.shuns == other.shuns
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


def recall_handovers(values: Mapping[str, Any]) -> tuple[Handover, ...]:
    """Hand-overs that `memory_of` wrote; those that this version cannot read are left out."""
    found = []
    for row in values.get("handovers", ()):
        try:
            found.append(Handover(**{**row, "phase": HandoverPhase(row["phase"])}))
        except (KeyError, TypeError, ValueError):
            continue
    return tuple(found)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _row(cell: CellState) -> Mapping[str, Any]:
    """Its fields; flat, and there are thousands: no deep copy of each."""
    values = [(name, getattr(cell, name)) for name in _FIELDS]
    # Only NaN differs from itself.
    return {name: None if value != value else value for name, value in values}  # noqa: PLR0124 - see above


def _rounded(values: Floats) -> Floats:
    return values.round(_DECIMALS)
