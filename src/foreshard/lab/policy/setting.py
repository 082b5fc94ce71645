"""This module is what whoever steers knows before the first request: topology, sizes and pace.

Nothing of what will happen is in it, so a rule that is given no more than this and what is seen
cannot cheat, even by mistake.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from foreshard.lab.policy.policy import Stage
from foreshard.lab.scenario.scenario import Scenario
from foreshard.lab.simulation.effects import Bools, Floats
from foreshard.model.errors import LabError
from foreshard.model.safety_net import SafetyNet
from foreshard.model.topology import Fleet
from foreshard.model.workload import RequestClass

__all__ = ["Setting", "setting_for", "setting_of"]

# Farther than this from the nearest cell is another ring, ms: zones of a region lie within 2 ms.
SAME_RING_MS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Setting:
    """A fleet as its operators know it; O origins, C cells, K classes.

    Attributes:
        fleet: [C].
        classes: [K].
        origins: [O].
        size: [C] cpus; > 0.
        pace: How many times faster than in production everything goes; > 0.
        default_class: Of requests that no class matches.
        net: Health checks, ejection and retries.
    """

    fleet: Fleet
    classes: tuple[RequestClass, ...]
    origins: tuple[str, ...]
    size: Floats
    pace: float = 1.0
    default_class: str = ""
    net: SafetyNet

    def __post_init__(self) -> None:
        if self.size.shape != (len(self.fleet.cells),) or not (self.size > 0.0).all():
            raise LabError(
                f"setting: size is {self.size}, must be > 0 for {len(self.fleet.cells)} cells"
            )
        if not self.pace > 0.0:
            raise LabError(f"setting: pace is {self.pace}, must be > 0")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(O, K, C)."""
        return len(self.origins), len(self.classes), len(self.fleet.cells)

    @property
    def keyed(self) -> Bools:
        """[K] whether a key binds a class to a cell."""
        return np.array([c.is_keyed for c in self.classes], dtype=np.bool_)

    @property
    def allowed(self) -> Bools:
        """[K, C] where residency lets a class be served."""
        return np.array(
            [[c.allows_region(cell.region) for cell in self.fleet.cells] for c in self.classes],
            dtype=np.bool_,
        )

    @property
    def distance_ms(self) -> Floats:
        """[O, C] round trip."""
        return np.array(
            [[self.fleet.distance_ms(o, cell) for cell in self.fleet.cells] for o in self.origins]
        )

    @property
    def is_placeless(self) -> Bools:
        """[O] whether all cells are equally far, so that nothing is gained by staying near."""
        far: Bools = np.ptp(self.distance_ms, axis=1) <= SAME_RING_MS
        return far

    @property
    def home(self) -> Bools:
        """[O, C] cells of the origin's region; where it has none, those of the nearest ring."""
        regions = np.array([cell.region for cell in self.fleet.cells])
        own = np.array([regions == origin for origin in self.origins])
        near = self.distance_ms
        nearest = near <= near.min(axis=1, keepdims=True) + SAME_RING_MS
        found: Bools = np.where(own.any(axis=1, keepdims=True), own, nearest)
        return found


def setting_of(stage: Stage) -> Setting:
    """What of a stage is known in advance."""
    return setting_for(stage.scenario, stage.fleet)


def setting_for(scenario: Scenario, fleet: Fleet) -> Setting:
    """What is known of a scenario in advance.

    Args:
        scenario: For classes, origins, sizes and pace.
        fleet: Its cells, in its order, wherever they really are.
    """
    return Setting(
        fleet=fleet,
        classes=scenario.classes,
        origins=scenario.origins,
        size=np.array(scenario.cpus(), dtype=np.float64),
        pace=scenario.pace,
        default_class=scenario.default_class,
        net=SafetyNet(),
    )
