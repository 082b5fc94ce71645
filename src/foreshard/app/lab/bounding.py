"""This module is the fluid bound of a scenario, computed once and kept like a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from foreshard.lab.policy.bound import capacity_of, fluid_bound, work_of
from foreshard.lab.run import weather_of
from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.trial.toll import scored_from
from foreshard.model.errors import LabError

__all__ = ["BOUND", "bound_of", "save_bound"]

# It is played in the place of a policy.
BOUND = "bound"


def save_bound(scenario: Scenario, seed: int, path: Path) -> None:
    """Compute it and write it.

    Args:
        scenario: Of which; what arrives is its mean.
        seed: Of the weather.
        path: Of a `.npz` file.

    Raises:
        LabError: It cannot be written.
    """
    _, truth = weather_of(scenario, seed)
    harm = fluid_bound(scenario, capacity_of(scenario, truth), work_of(scenario, truth))
    try:
        with path.open("wb") as file:
            np.savez_compressed(file, ordered=harm.ordered, bound=harm.bound)
    except OSError as error:
        raise LabError(f"bound: {path} cannot be written: {error}") from error


def bound_of(path: Path, scenario: Scenario) -> float:
    """Weighted requests that had to be bad, least important class first.

    Raises:
        LabError: It cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as kept:
            return float(kept["ordered"][scored_from(scenario) :].sum())
    except (OSError, ValueError, KeyError) as error:
        raise LabError(f"bound: {path} cannot be read: {error}; remove it") from error
