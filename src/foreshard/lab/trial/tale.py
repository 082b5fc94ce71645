"""This module is one run as JSON values: enough to repeat it, to tell it and to draw it.

A fleet of thousands is told by the cells to which something happened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from foreshard.lab.scenario.fault import FaultLine
from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.effects import Floats
from foreshard.lab.simulation.record import RunRecord
from foreshard.lab.trial.posture import posture_of
from foreshard.lab.trial.score import Score
from foreshard.lab.trial.toll import bad_weighted

__all__ = ["MOST_CELLS", "tale_of"]

# More rows than this nobody reads.
MOST_CELLS = 24


def tale_of(record: RunRecord, scenario: Scenario, score: Score) -> dict[str, Any]:
    """All that is told of a run.

    Args:
        record: Of the run.
        scenario: That was played.
        score: Of the run.
    """
    share = posture_of(record, scenario).of_cells()
    shown = _shown(share, scenario)
    names = [site.name for site in scenario.sites]
    return {
        "scenario": record.played.scenario,
        "policy": record.played.policy,
        "seed": record.played.seed,
        "core": record.played.core,
        "version": record.played.version,
        "digest": score.digest,
        "duration_s": scenario.duration_s,
        "warm_up_s": scenario.warm_up_s,
        "score": asdict(score) | {"bad_ratio": score.bad_ratio, "lead_s": score.lead_s},
        "bad_per_s": [round(float(v), 3) for v in bad_weighted(record.ledger, scenario)],
        "cells": [names[c] for c in shown],
        "fleet": len(names),
        "share": _steps(share[:, shown]),
        "risk": _risk(record, shown),
        "faults": [_fault(each) for each in scenario.faults],
        "lives": [asdict(each) for each in record.lives],
        "said": [asdict(each) for each in record.said],
        "counts": dict(record.counts),
        "cost_s": {name: round(value, 3) for name, value in record.cost_s.items()},
    }


def _shown(share: Floats, scenario: Scenario) -> list[int]:
    """Indices, in order, of the cells that are told."""
    names = [site.name for site in scenario.sites]
    struck = {names.index(cell) for fault in scenario.faults for cell in fault.cells}
    moved = share.max(axis=0) - share.min(axis=0)
    order = sorted(range(len(names)), key=lambda c: (c not in struck, -moved[c], c))
    return sorted(order[:MOST_CELLS])


def _steps(share: Floats) -> dict[str, Any]:
    """Where it changes: the second, and what held from it on, [change][cell]."""
    rounded = np.round(share, 4)
    changes = np.flatnonzero((np.diff(rounded, axis=0) != 0.0).any(axis=1)) + 1
    at = [0, *changes.tolist()] if len(rounded) else []
    return {"at_s": at, "share": [rounded[second].tolist() for second in at]}


def _risk(record: RunRecord, shown: list[int]) -> dict[str, Any] | None:
    """What was foreseen over the longest horizon, [moment][cell]; None = nothing was."""
    risk = record.risk
    if not len(risk.at_s):
        return None
    p = risk.p[:, shown, -1]
    return {
        "horizon_s": risk.horizons_s[-1],
        "at_s": [round(float(at_s), 1) for at_s in risk.at_s],
        "p": [[None if np.isnan(v) else round(float(v), 3) for v in row] for row in p],
    }


def _fault(fault: FaultLine) -> Mapping[str, Any]:
    ends_s = fault.ends_s
    return {
        "kind": fault.kind.value,
        "cells": list(fault.cells),
        "at_s": fault.at_s,
        "known_s": fault.known_s,
        "grows_s": fault.grows_s,
        "ends_s": None if np.isinf(ends_s) else ends_s,
        "magnitude": fault.magnitude,
        "request_class": fault.request_class,
    }
