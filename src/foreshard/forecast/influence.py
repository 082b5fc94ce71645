"""This module is how much oftener cells fail while something is announced: declared, then learned.

The hazard of a cell is `onset_per_s` while nothing is announced, and so many times that while an
event of some kind is on. The ratio has a Gamma prior, declared below; onsets seen under such
events, against those that the quiet hazard would have given in the same time, make its posterior
(Gamma and Poisson are conjugate): shape + onsets, expected + onsets that were to be expected.
A ratio that is not known is integrated over, so a guess never becomes a certainty:

    P(none within t) = E[exp(-ratio q t)] = (1 + q t / expected) ** -shape,   q = onset_per_s.

An event counts from the moment when it was known. What went onto a status page after the failure
has announced nothing, and a model that learned from it would wait for it in vain.

Known weaknesses: what is on at the same time shares the blame in full; hours and weekdays are not
held constant, so a deploy that is always at noon is blamed for the noon.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.forecaster import Json
from foreshard.forecast.history import History
from foreshard.forecast.onset import NO_GAUGE, Onsets
from foreshard.model.errors import ForecastError
from foreshard.model.events import DependencyLevel, EventKind, SystemEvent

__all__ = [
    "DECLARED_RATIO",
    "Influences",
    "Ratio",
    "classes_that_need",
    "influence_of",
    "learn_influences",
]

Flags = NDArray[np.bool_]

DAY_S = 86400.0
# Without history: so many onsets in so many cell-days (of a class in a cell, class-days).
QUIET_ONSETS, QUIET_DAYS = 0.5, 10.0
_CLASS_GAUGES = ("latency:", "errors:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """A Gamma distribution of how many times the quiet hazard it is.

    Attributes:
        shape: > 0.
        expected: Onsets that the quiet hazard would have given, the prior's included; > 0.
    """

    shape: float
    expected: float

    def __post_init__(self) -> None:
        if not (self.shape > 0.0 and self.expected > 0.0):
            raise ForecastError(
                f"ratio: shape is {self.shape}, expected {self.expected}: must be above 0"
            )

    @property
    def mean(self) -> float:
        """How many times the quiet hazard, on average."""
        return self.shape / self.expected

    def seen(self, onsets: float, expected: float) -> Ratio:
        """The posterior after so many onsets where so many were to be expected."""
        return Ratio(shape=self.shape + onsets, expected=self.expected + expected)

    def added_hazard(self, quiet: float) -> float:
        """-log P(none) beyond the quiet hazard's own, which the metrics tell already.

        It is >= 0 and never falls with `quiet`: what would be expected in months of a doubtful
        event outgrows the doubt, and must not be told as less than in days.
        """
        counted = min(quiet, max(self.shape - self.expected, 0.0))
        return max(self.shape * math.log1p(counted / self.expected) - counted, 0.0)


def _about(mean: float, onsets: float) -> Ratio:
    """A prior of some mean, worth so many onsets."""
    return Ratio(shape=onsets, expected=onsets / mean)


# Declared, by kind of event; each is worth two onsets, so a dozen seen ones outweigh it.
# A dependency's ratio is that of the classes that need it; a thousand times a quiet hazard of one
# in twenty days is nine in ten within the hour.
DECLARED_RATIO: Final[Mapping[str, Ratio]] = MappingProxyType(
    {
        "known_bug": _about(5.0, 2.0),
        "deploy": _about(3.0, 2.0),
        "dependency:degraded_performance": _about(10.0, 2.0),
        "dependency:partial_outage": _about(200.0, 2.0),
        "dependency:major_outage": _about(2000.0, 2.0),
        "dependency:under_maintenance": _about(50.0, 2.0),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Influences:
    """What is believed of events of each kind.

    Attributes:
        onset_per_s: Of a cell, while nothing is announced; > 0.
        class_onset_per_s: Of one class in one cell, likewise; > 0.
        ratio: By kind of event, as `influence_of` names it; kinds that are absent change nothing.
    """

    onset_per_s: float = QUIET_ONSETS / (QUIET_DAYS * DAY_S)
    class_onset_per_s: float = QUIET_ONSETS / (QUIET_DAYS * DAY_S)
    ratio: Mapping[str, Ratio] = field(default_factory=lambda: DECLARED_RATIO)

    def __post_init__(self) -> None:
        if not (self.onset_per_s > 0.0 and self.class_onset_per_s > 0.0):
            raise ForecastError(
                f"influences: onset_per_s is {self.onset_per_s}, class_onset_per_s "
                f"{self.class_onset_per_s}: must be above 0"
            )

    def added_hazard(self, event: SystemEvent, within_s: float) -> float:
        """What an event adds to the hazard over so many seconds of its window; >= 0.

        Of a cell, or, for a dependency, of each class that needs it.
        """
        ratio = self.ratio.get(influence_of(event))
        if ratio is None:
            return 0.0
        of_class = event.kind is EventKind.DEPENDENCY
        quiet_per_s = self.class_onset_per_s if of_class else self.onset_per_s
        return ratio.added_hazard(quiet_per_s * within_s)

    def snapshot(self) -> Mapping[str, Json]:
        """As plain JSON values."""
        return {
            "onset_per_s": self.onset_per_s,
            "class_onset_per_s": self.class_onset_per_s,
            "ratio": {kind: [r.shape, r.expected] for kind, r in self.ratio.items()},
        }

    @classmethod
    def restore(cls, snapshot: Mapping[str, Json]) -> Influences:
        """What made a snapshot.

        Raises:
            ForecastError: It is no snapshot of influences.
        """
        ratio = snapshot.get("ratio")
        if not isinstance(ratio, Mapping):
            raise ForecastError(f"influences: snapshot's ratio is {ratio!r}, must be a mapping")
        found: dict[str, Ratio] = {}
        for kind, pair in ratio.items():
            if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
                raise ForecastError(f"influences: snapshot's ratio of {kind} is {pair!r}")
            found[kind] = Ratio(
                shape=_number(pair[0], f"ratio of {kind}"),
                expected=_number(pair[1], f"ratio of {kind}"),
            )
        return cls(
            onset_per_s=_number(snapshot.get("onset_per_s"), "onset_per_s"),
            class_onset_per_s=_number(snapshot.get("class_onset_per_s"), "class_onset_per_s"),
            ratio=MappingProxyType(found),
        )


def influence_of(event: SystemEvent) -> str:
    """The kind of event by which effects are told apart."""
    if event.kind is EventKind.DEPENDENCY and event.level is not None:
        return f"{event.kind.value}:{event.level.value}"
    return event.kind.value


def classes_that_need(dependency: str, needs: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """Classes that a dependency can hurt, sorted.

    Args:
        dependency: Its name.
        needs: By class, the dependencies it declares.
    """
    return tuple(sorted(name for name, of in needs.items() if dependency in of))


def learn_influences(
    history: History,
    onsets: Onsets,
    events: Sequence[SystemEvent],
    *,
    needs: Mapping[str, frozenset[str]],
) -> Influences:
    """Learn from a stretch of history what events of each kind do.

    Args:
        history: Ends at the moment of learning.
        onsets: Of it; only what is scored, heard and not censored counts.
        events: All that were ever announced, a known bug with the cells that ran its version
            (`SystemEvent.among`). One that is not known by the end of the history says nothing.
        needs: By class, the dependencies it declares.

    Returns:
        Posteriors; kinds never seen keep what was declared.
    """
    time_s = history.time_s()
    counted = onsets.scored & ~onsets.censored & ~onsets.blind
    # An onset belongs to the moment before it, the last at which it could be foreseen.
    before = np.maximum(onsets.begin - 1, 0)
    told = [(event, _on(event, history.cells, time_s)) for event in events]
    cell_quiet = _Quiet.of(counted, [on for _, on in told], history.step_s)
    quiet = cell_quiet.per_s(onsets.cell, before)
    ratio = dict(DECLARED_RATIO)
    for kind in sorted({influence_of(e) for e, _ in told if e.kind is not EventKind.DEPENDENCY}):
        if kind in ratio:
            on = np.logical_or.reduce([on for e, on in told if influence_of(e) == kind]) & counted
            expected = float(on.sum()) * history.step_s * quiet
            ratio[kind] = ratio[kind].seen(float(on[onsets.cell, before].sum()), expected)
    class_quiet, found = _class_ratios(history, onsets, told, needs, counted)
    return Influences(
        onset_per_s=quiet,
        class_onset_per_s=class_quiet,
        ratio=MappingProxyType(ratio | found),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Quiet:
    """[C, T] samples at which nothing was announced."""

    at: Flags
    step_s: float

    @classmethod
    def of(cls, counted: Flags, on: Sequence[Flags], step_s: float) -> _Quiet:
        busy = np.logical_or.reduce([np.zeros_like(counted), *on])
        return cls(at=counted & ~busy, step_s=step_s)

    def per_s(self, cell: NDArray[np.int32], before: NDArray[np.int64]) -> float:
        """Onsets a second of quiet time."""
        onsets = QUIET_ONSETS + float(self.at[cell, before].sum())
        return onsets / (QUIET_DAYS * DAY_S + float(self.at.sum()) * self.step_s)


def _class_ratios(
    history: History,
    onsets: Onsets,
    told: Sequence[tuple[SystemEvent, Flags]],
    needs: Mapping[str, frozenset[str]],
    counted: Flags,
) -> tuple[float, dict[str, Ratio]]:
    """Quiet hazard of a class in a cell, and ratios of the levels of what it depends on."""
    class_of = [_class_of(gauge) for gauge in history.gauges]
    seen = sorted({name for name in class_of if name})
    before = np.maximum(onsets.begin - 1, 0)
    named = [class_of[g] if g != NO_GAUGE else "" for g in onsets.gauge.tolist()]
    whose = np.array(named, dtype=object)
    events = [(e, on) for e, on in told if e.kind is EventKind.DEPENDENCY and e.dependency]
    onset_count, quiet_s = QUIET_ONSETS, QUIET_DAYS * DAY_S
    under: dict[str, list[tuple[float, float]]] = {}
    for name in seen:
        mine = whose == name
        where = (onsets.cell[mine], before[mine])
        hurt = [(e, on) for e, on in events if name in classes_that_need(e.dependency, needs)]
        quiet = _Quiet.of(counted, [on for _, on in hurt], history.step_s)
        onset_count += float(quiet.at[where].sum())
        quiet_s += float(quiet.at.sum()) * history.step_s
        for kind in sorted({influence_of(e) for e, _ in hurt} & DECLARED_RATIO.keys()):
            on = np.logical_or.reduce([on for e, on in hurt if influence_of(e) == kind]) & counted
            seconds = float(on.sum()) * history.step_s
            under.setdefault(kind, []).append((float(on[where].sum()), seconds))
    per_s = onset_count / quiet_s
    found = {
        kind: DECLARED_RATIO[kind].seen(sum(n for n, _ in parts), per_s * sum(s for _, s in parts))
        for kind, parts in under.items()
    }
    return per_s, found


def _on(event: SystemEvent, cells: tuple[str, ...], time_s: NDArray[np.float64]) -> Flags:
    """[C, T], it is on and it is known."""
    of_cell = np.array([event.concerns(cell) for cell in cells], dtype=bool)
    begins_s = max(event.starts_at_s, event.known_at_s)
    within = (time_s >= begins_s) & (time_s < event.ends_at_s)
    if event.level is DependencyLevel.OPERATIONAL:
        within[:] = False
    return np.asarray(of_cell[:, None] & within[None, :])


def _class_of(gauge: str) -> str:
    for prefix in _CLASS_GAUGES:
        if gauge.startswith(prefix):
            return gauge.removeprefix(prefix)
    return ""


def _number(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ForecastError(f"influences: snapshot's {what} is {value!r}, must be a number")
    return float(value)
