"""This module is what is decided: who serves what, why, and why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from foreshard.model.errors import InvalidValueError
from foreshard.model.handover import Notice
from foreshard.model.routing import RoutingTable
from foreshard.model.workload import Flow

__all__ = [
    "COIN_S",
    "Act",
    "Decision",
    "Hold",
    "Intent",
    "IntentSpan",
    "Mode",
    "Plan",
    "Reason",
    "Recycle",
    "Split",
]

# Shares come from a solver: its feasibility tolerance is 1e-7.
SUM_TOLERANCE = 1e-6
# Where a part is withheld at random, a coin lies as it fell for so long: longer than any doubt
# takes to be acted upon. Hours are counted from the epoch.
COIN_S = 3600.0


class Mode(StrEnum):
    """How much Foreshard may do by itself."""

    OBSERVE = "observe"
    ADVISE = "advise"
    ACT = "act"


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """How one flow is split: fractions of its demand, summing to 1 with what is shed.

    Attributes:
        shares: By cell; a cell that is not listed gets nothing.
        shed: Fraction refused at the edge.
    """

    shares: Mapping[str, float]
    shed: float = 0.0

    def __post_init__(self) -> None:
        total = sum(self.shares.values()) + self.shed
        if abs(total - 1.0) > SUM_TOLERANCE:
            raise InvalidValueError(f"split: shares and shed sum to {total}, must sum to 1")
        if min(self.shed, *self.shares.values(), 0.0) < -SUM_TOLERANCE:
            raise InvalidValueError(f"split: {dict(self.shares)} has a negative share")

    def share(self, cell: str) -> float:
        """Fraction that goes to a cell."""
        return self.shares.get(cell, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Split of every flow over cells."""

    splits: Mapping[Flow, Split]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One fact that led to a decision.

    Attributes:
        subject: A cell, or "fleet".
        code: Stable identifier, `noun.verb`: `memory.exhausts`, `guard.ceiling`.
        text: For people, in plain words and with figures.
        facts: The figures behind it.
    """

    subject: str
    code: str
    text: str
    facts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Put this table out."""

    table: RoutingTable
    because: tuple[Reason, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Leave the live table as it is."""

    because: tuple[Reason, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recycle:
    """Ask the driver to restart a cell that carries no work; part of a decision."""

    cell: str
    because: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What a forecast asks to be done, and how likely it was to be done.

    Attributes:
        cell: Which cell work is to leave.
        request_class: Of which class; "" = all of it.
        p: The failure probability that asks for it, beyond the siblings'.
        propensity: Probability with which it was acted upon, in (0, 1]; below 1 only where a
            part is withheld at random.
        acted: Whether it was, as far as chance goes; a guard may still have stood in the way.
    """

    cell: str
    request_class: str
    p: float
    propensity: float
    acted: bool

    def __post_init__(self) -> None:
        if not 0.0 < self.propensity <= 1.0:
            raise InvalidValueError(
                f"intent: propensity is {self.propensity}, must be above 0 and at most 1"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentSpan:
    """An intent for as long as it was repeated under one coin.

    Attributes:
        intent: With the highest p that it had.
        first_s: When it was first asked for,
        last_s: and last, >= first_s.
    """

    intent: Intent
    first_s: float
    last_s: float

    def __post_init__(self) -> None:
        if not self.first_s <= self.last_s:
            raise InvalidValueError(
                f"intent: was asked for from {self.first_s} to {self.last_s}, must not fall"
            )

    @property
    def coin(self) -> int:
        """The hour of the coin that it was done or withheld by."""
        return int(self.first_s // COIN_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The outcome of one step, with everything needed to explain it.

    Attributes:
        now_s: When.
        routing: Act or hold.
        plan: What is live after it.
        recycle: Cells to restart.
        alternatives: Other plans that were considered, with what they would have cost.
        phases: Life-cycle phase of every cell after the step.
        notices: What services that own data are to be told (again) of slots that move.
        intents: What the newest forecast asked for, where nothing was being done yet.
    """

    now_s: float
    routing: Act | Hold
    plan: Plan
    recycle: tuple[Recycle, ...] = ()
    alternatives: tuple[Reason, ...] = ()
    phases: Mapping[str, str] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()
    intents: tuple[Intent, ...] = ()
