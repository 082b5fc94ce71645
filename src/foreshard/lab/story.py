"""This module is what befalls both fleets: the default story, the quiet one, three overloads.

`default`, 62 % load, 240 s:

| seconds | cell       | what                                                                  |
|---------|------------|-----------------------------------------------------------------------|
| 25-65   | eu-2       | memory leaks until the kernel kills the process                       |
| 78-126  | eu-1, us-2 | the dependency of search grows slower, up to 1.5 s, then heals        |
| 134-182 | us-3       | the cpus slow down to 30 %, then heal                                 |
| 206-218 | eu-3       | maintenance, announced at 176: the host is off                        |
| 228     | us-1       | crash, which nobody can foresee                                       |

`quiet`: nothing happens. The others, 90 s each, are more work than there are cells for. They
judge the fast loop: how little it sheds, and whether it sheds before queues form.

| story | load | seconds | what                                                                 |
|-------|------|---------|----------------------------------------------------------------------|
| zone  | 62 % | 25-65   | eu-1, eu-2, eu-3 slow down to 12 % within 20 s, then heal: half of   |
|       |      |         | the fleet; 62 % of six cells are 111 % of what is left               |
| surge | 62 % | 30-60   | 4.4 times as many reports: 130 % of all cells                        |
| tight | 80 % | 15-40   | eu-2 leaks until it is killed: 96 % of the other five, until it is   |
|       |      |         | back                                                                 |

Utilisations are means: the swing of the demand adds up to 15 % in the first 60 s. Reports are
32 % of all cpu work, so a surge of 2.5 would end at 92 % and overload nobody: hence 4.4.

Another length stretches the times of a story, never the restart of a process nor the swing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from foreshard.lab import service
from foreshard.lab.cell.faults import Fault, FaultKind
from foreshard.lab.faults import FaultSpec
from foreshard.lab.traffic import Demand, Surge
from foreshard.model.errors import LabError

__all__ = ["NATURAL_S", "STORIES", "Story", "default_story", "quiet_story", "story"]

# How long a story is when nobody says otherwise.
NATURAL_S: Final[Mapping[str, float]] = MappingProxyType(
    {"default": 240.0, "quiet": 240.0, "zone": 90.0, "surge": 90.0, "tight": 90.0}
)
STORIES = tuple(NATURAL_S)
# Below this the story is shorter than restarts and slow starts, which do not shrink with it.
SHORTEST_S = 30.0
TIGHT_LOAD = 0.8
# Half of the fleet.
ZONE = ("eu-1", "eu-2", "eu-3")
ZONE_SPEED = 0.12
# What makes all work 130 % of all cells at a load of 62 %; see the module.
SURGE_FACTOR = 4.4
REPORT = list(service.MIX).index("report")


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A run's length, its demand and its faults.

    Attributes:
        name: Of the story.
        duration_s: Length of the traffic.
        warm_up_s: Requests that arrive before this are not scored.
        faults: In order of their beginning.
        surges: Of demand.
        load: Mean utilisation without surges; > 0.
    """

    name: str
    duration_s: float
    warm_up_s: float
    faults: tuple[FaultSpec, ...]
    surges: tuple[Surge, ...] = ()
    load: float = service.DEFAULT_LOAD

    def __post_init__(self) -> None:
        if self.duration_s < SHORTEST_S:
            raise LabError(
                f"story {self.name}: duration_s is {self.duration_s:g}, must be at least "
                f"{SHORTEST_S:g}"
            )

    def window_s(self, index: int, *, settle_s: float) -> tuple[float, float]:
        """The stretch whose harm is counted for a fault.

        It ends `settle_s` after the fault, or when the next fault begins, or with the run.
        """
        spec = self.faults[index]
        later = [f.at_s for f in self.faults if f.at_s > spec.at_s]
        return spec.at_s, min([spec.ends_s + settle_s, self.duration_s, *later])

    def troubled_s(self, *, settle_s: float) -> tuple[tuple[float, float], ...]:
        """The stretches in which a fault or a surge is felt, one for each; they may overlap."""
        stretches = [(fault.at_s, fault.ends_s) for fault in self.faults]
        stretches += [(surge.at_s, surge.ends_s) for surge in self.surges]
        return tuple((a, min(b + settle_s, self.duration_s)) for a, b in sorted(stretches))

    def demand(self) -> Demand:
        """What is asked of either fleet."""
        return Demand(
            rate_rps=service.offered_rps(self.load),
            duration_s=self.duration_s,
            mix=tuple(service.MIX.values()),
            keys=service.KEYS,
            swing=service.SWING_RATIO,
            surges=self.surges,
        )


def default_story(duration_s: float = NATURAL_S["default"]) -> Story:
    """Five faults, one after the other, with quiet between."""
    scale = duration_s / NATURAL_S["default"]

    def spec(
        kind: FaultKind,
        *cells: str,
        at_s: float,
        grows_s: float,
        magnitude: float = 1.0,
        holds_s: float = 0.0,
        known_s: float | None = None,
    ) -> FaultSpec:
        fault = Fault(kind=kind, magnitude=magnitude, duration_s=grows_s * scale)
        is_instant = kind is FaultKind.CRASH
        return FaultSpec(
            cells=cells,
            fault=fault,
            at_s=at_s * scale,
            lasts_s=0.0 if is_instant else (grows_s + holds_s) * scale,
            known_s=None if known_s is None else known_s * scale,
        )

    slow, off = FaultKind.SLOW_DEPENDENCY, FaultKind.MAINTENANCE
    return Story(
        name="default",
        duration_s=duration_s,
        warm_up_s=10.0 * scale,
        faults=(
            spec(FaultKind.LEAK, "eu-2", at_s=25.0, grows_s=40.0),
            spec(slow, "eu-1", "us-2", at_s=78.0, grows_s=45.0, magnitude=1.5, holds_s=3.0),
            spec(FaultKind.CREEP, "us-3", at_s=134.0, grows_s=40.0, magnitude=0.3, holds_s=8.0),
            spec(off, "eu-3", at_s=206.0, grows_s=12.0, known_s=176.0),
            spec(FaultKind.CRASH, "us-1", at_s=228.0, grows_s=1.0),
        ),
    )


def quiet_story(duration_s: float = NATURAL_S["quiet"]) -> Story:
    """Nothing happens: whatever harm is done here, we did it."""
    return Story(
        name="quiet",
        duration_s=duration_s,
        warm_up_s=10.0 * duration_s / NATURAL_S["quiet"],
        faults=(),
    )


def _zone(duration_s: float) -> Story:
    scale = duration_s / NATURAL_S["zone"]
    slow = Fault(kind=FaultKind.THROTTLE, magnitude=ZONE_SPEED, duration_s=20.0 * scale)
    dying = FaultSpec(cells=ZONE, fault=slow, at_s=25.0 * scale, lasts_s=40.0 * scale)
    return Story(name="zone", duration_s=duration_s, warm_up_s=10.0 * scale, faults=(dying,))


def _surge(duration_s: float) -> Story:
    third_s = duration_s / 3.0
    surge = Surge(request_class=REPORT, factor=SURGE_FACTOR, at_s=third_s, lasts_s=third_s)
    return Story(
        name="surge",
        duration_s=duration_s,
        warm_up_s=third_s / 3.0,
        faults=(),
        surges=(surge,),
    )


def _tight(duration_s: float) -> Story:
    scale = duration_s / NATURAL_S["tight"]
    leak = Fault(kind=FaultKind.LEAK, magnitude=1.0, duration_s=25.0 * scale)
    leaking = FaultSpec(cells=("eu-2",), fault=leak, at_s=15.0 * scale, lasts_s=25.0 * scale)
    return Story(
        name="tight",
        duration_s=duration_s,
        warm_up_s=10.0 * scale,
        faults=(leaking,),
        load=TIGHT_LOAD,
    )


TOLD: Final[Mapping[str, Callable[[float], Story]]] = MappingProxyType(
    {
        "default": default_story,
        "quiet": quiet_story,
        "zone": _zone,
        "surge": _surge,
        "tight": _tight,
    }
)


def story(name: str, duration_s: float | None = None, load: float | None = None) -> Story:
    """The story of that name.

    Args:
        name: One of `STORIES`.
        duration_s: Length; None = its natural one.
        load: Mean utilisation; None = the story's own.

    Raises:
        LabError: No such story, or too short.
    """
    if name not in TOLD:
        raise LabError(f"story {name!r} is unknown; there are {', '.join(STORIES)}")
    told = TOLD[name](NATURAL_S[name] if duration_s is None else duration_s)
    return told if load is None else replace(told, load=load)
