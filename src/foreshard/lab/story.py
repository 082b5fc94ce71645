"""This module is what befalls both fleets: the default story, and the quiet one.

| seconds | cell       | what                                                                  |
|---------|------------|-----------------------------------------------------------------------|
| 25-65   | eu-2       | memory leaks until the kernel kills the process                       |
| 78-126  | eu-1, us-2 | the dependency of search grows slower, up to 1.5 s, then heals        |
| 134-182 | us-3       | the cpus slow down to 30 %, then heal                                 |
| 206-218 | eu-3       | maintenance, announced at 176: the host is off                        |
| 228     | us-1       | crash, which nobody can foresee                                       |

For 240 s; another length stretches the times of the story, never the restart of a process.
"""

from __future__ import annotations

from dataclasses import dataclass

from foreshard.lab.cell.faults import Fault, FaultKind
from foreshard.lab.faults import FaultSpec
from foreshard.model.errors import LabError

__all__ = ["STORIES", "Story", "default_story", "quiet_story", "story"]

STORIES = ("default", "quiet")
NATURAL_S = 240.0
# Below this the story is shorter than restarts and slow starts, which do not shrink with it.
SHORTEST_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A run's length and faults.

    Attributes:
        name: Of the story.
        duration_s: Length of the traffic.
        warm_up_s: Requests that arrive before this are not scored.
        faults: In order of their beginning.
    """

    name: str
    duration_s: float
    warm_up_s: float
    faults: tuple[FaultSpec, ...]

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


def default_story(duration_s: float = NATURAL_S) -> Story:
    """Five faults, one after the other, with quiet between."""
    scale = duration_s / NATURAL_S

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


def quiet_story(duration_s: float = NATURAL_S) -> Story:
    """Nothing happens: whatever harm is done here, we did it."""
    return Story(
        name="quiet", duration_s=duration_s, warm_up_s=10.0 * duration_s / NATURAL_S, faults=()
    )


def story(name: str, duration_s: float = NATURAL_S) -> Story:
    """The story of that name.

    Raises:
        LabError: No such story, or too short.
    """
    match name:
        case "default":
            return default_story(duration_s)
        case "quiet":
            return quiet_story(duration_s)
        case _:
            raise LabError(f"story {name!r} is unknown; there are {', '.join(STORIES)}")
