"""This module is when requests arrive and what they ask: drawn once from a seed, for both fleets.

Arrivals are a Poisson process whose rate swings like a (short) day:
`rate(t) = mean * (1 + swing * sin(2 pi t / period))`. They are drawn by inversion: a Poisson
process of rate one on the expected count is stretched back to time, so that one seed at one
rate gives one sequence, whatever the swing.

A surge is a process of its own on top: the requests that would have come without it stay the
very same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from foreshard.model.errors import InvalidValueError

__all__ = ["DAY_S", "Demand", "Schedule", "Surge", "arrivals"]

# Of the demo: a rise and a fall in two minutes.
DAY_S = 120.0
# Fine enough that linear interpolation of the expected count is exact to a microsecond.
GRID_S = 0.05
NUMBER = r"\d+(?:\.\d+)?"
SURGE = re.compile(rf"(?P<name>[\w-]+)=(?P<factor>{NUMBER})@(?P<at>{NUMBER})\+(?P<lasts>{NUMBER})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surge:
    """One class is asked for more often, for a while.

    Attributes:
        request_class: Index in class order.
        factor: How many times as often; > 1.
        at_s: When it begins, seconds from the start; >= 0.
        lasts_s: For how long; > 0.
    """

    request_class: int
    factor: float
    at_s: float
    lasts_s: float

    def __post_init__(self) -> None:
        if not (self.factor > 1.0 and self.at_s >= 0.0 and self.lasts_s > 0.0):
            raise InvalidValueError(f"surge: {self} must have a factor over 1 and last over 0 s")

    @property
    def ends_s(self) -> float:
        """When it is over."""
        return self.at_s + self.lasts_s

    def text(self, classes: Sequence[str]) -> str:
        """Class, factor, begin and length, as on a command line.

        >>> Surge(request_class=0, factor=4.5, at_s=30.0, lasts_s=60.0).text(["report"])
        'report=4.5@30.0+60.0'
        """
        return f"{classes[self.request_class]}={self.factor!r}@{self.at_s!r}+{self.lasts_s!r}"

    @classmethod
    def parse(cls, text: str, classes: Sequence[str]) -> Surge:
        """Read what `text` writes.

        Raises:
            InvalidValueError: It says nothing of the kind.
        """
        said = SURGE.fullmatch(text)
        if said is None or said["name"] not in classes:
            raise InvalidValueError(
                f"surge: {text!r} must be CLASS=FACTOR@BEGIN+LENGTH with a class of "
                f"{', '.join(classes)}, for example {classes[0]}=4.5@30+60"
            )
        factor, at_s, lasts_s = (float(said[part]) for part in ("factor", "at", "lasts"))
        index = classes.index(said["name"])
        return cls(request_class=index, factor=factor, at_s=at_s, lasts_s=lasts_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """How much is asked, of what, for how long.

    Attributes:
        rate_rps: Mean arrivals a second, > 0.
        duration_s: Length, > 0.
        mix: Share of each class in class order; >= 0, summing to 1.
        keys: How many partition keys there are, chosen uniformly; > 0.
        swing: Amplitude of the sinus, in [0, 1).
        period_s: Length of one "day", > 0.
        surges: Of single classes; two of one class at a time add up.
    """

    rate_rps: float
    duration_s: float
    mix: tuple[float, ...]
    keys: int = 4_000
    swing: float = 0.15
    period_s: float = DAY_S
    surges: tuple[Surge, ...] = ()

    def __post_init__(self) -> None:
        for name in ("rate_rps", "duration_s", "keys", "period_s"):
            if not getattr(self, name) > 0:
                raise InvalidValueError(f"demand: {name} is {getattr(self, name)}, must be > 0")
        if not 0.0 <= self.swing < 1.0:
            raise InvalidValueError(f"demand: swing is {self.swing}, must lie in [0, 1)")
        if not self.mix or min(self.mix) < 0.0 or abs(sum(self.mix) - 1.0) > 1e-6:
            raise InvalidValueError(f"demand: mix {self.mix} must be shares that sum to 1")
        for surge in self.surges:
            if not 0 <= surge.request_class < len(self.mix):
                raise InvalidValueError(f"demand: {surge} is of no class, the mix has {self.mix}")

    def expected(self, t_s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Expected number of arrivals up to each moment."""
        turn = 2.0 * np.pi / self.period_s
        swung = t_s + self.swing / turn * (1.0 - np.cos(turn * t_s))
        return np.asarray(self.rate_rps * swung, dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Every request of a run, in order of arrival; all arrays have one entry a request.

    Attributes:
        t_s: float64, seconds from the start, rising.
        request_class: uint8, index in class order.
        key: int32, partition key.
        draw: int64 >= 0, seeds what the request costs in whichever cell serves it.
    """

    t_s: npt.NDArray[np.float64]
    request_class: npt.NDArray[np.uint8]
    key: npt.NDArray[np.int32]
    draw: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """Number of requests."""
        return len(self.t_s)


def arrivals(demand: Demand, *, seed: int) -> Schedule:
    """Draw the requests of a run; the same demand and seed give the same schedule."""
    # The first two are the same however many are spawned: surges change nothing beneath them.
    times, marks, *extra = np.random.default_rng(seed).spawn(2 + len(demand.surges))
    t_s = _moments(demand, times, 0.0, demand.duration_s)
    n = len(t_s)
    request_class = marks.choice(len(demand.mix), size=n, p=demand.mix).astype(np.uint8)
    parts = [_marked(t_s, request_class, demand.keys, marks)]
    for surge, draw in zip(demand.surges, extra, strict=True):
        added = (surge.factor - 1.0) * demand.mix[surge.request_class]
        end_s = min(surge.ends_s, demand.duration_s)
        if added > 0.0 and surge.at_s < end_s:
            more_s = _moments(demand, draw, surge.at_s, end_s, part=added)
            same = np.full(len(more_s), surge.request_class, np.uint8)
            parts.append(_marked(more_s, same, demand.keys, draw))
    return parts[0] if len(parts) == 1 else _merged(parts)


def _moments(
    demand: Demand, draw: np.random.Generator, start_s: float, end_s: float, *, part: float = 1.0
) -> npt.NDArray[np.float64]:
    """Arrivals within a stretch, at `part` of the demand's rate."""
    grid_s = start_s + np.arange(0.0, end_s - start_s + 2.0 * GRID_S, GRID_S)
    before, upto = part * demand.expected(np.array([start_s, end_s]))
    total = float(upto - before)
    # Six standard deviations more than expected: enough gaps are drawn at once.
    enough = int(total + 6.0 * np.sqrt(total) + 16.0)
    ticks = np.cumsum(draw.exponential(size=enough))
    counts = part * demand.expected(grid_s) - before
    return np.interp(ticks[ticks < total], counts, grid_s)


def _marked(
    t_s: npt.NDArray[np.float64],
    request_class: npt.NDArray[np.uint8],
    keys: int,
    draw: np.random.Generator,
) -> Schedule:
    n = len(t_s)
    return Schedule(
        t_s=t_s,
        request_class=request_class,
        key=draw.integers(keys, size=n, dtype=np.int32),
        draw=draw.integers(2**53, size=n, dtype=np.int64),
    )


def _merged(parts: Sequence[Schedule]) -> Schedule:
    t_s = np.concatenate([p.t_s for p in parts])
    order = np.argsort(t_s, kind="stable")
    return Schedule(
        t_s=t_s[order],
        request_class=np.concatenate([p.request_class for p in parts])[order],
        key=np.concatenate([p.key for p in parts])[order],
        draw=np.concatenate([p.draw for p in parts])[order],
    )
