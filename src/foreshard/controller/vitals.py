"""This module is the engine's signs of life: how each turn of the loop ended.

The heartbeat moves only when a whole turn succeeded, from looking to verifying: a loop that spins
and achieves nothing is as dead as one that hangs. An operator's freeze is no failure; it has a
sign of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from foreshard.model.plan import Decision

__all__ = ["Turn", "Vitals", "turn_of"]


class Turn(StrEnum):
    """How one turn of the loop ended."""

    WHOLE = "whole"
    FROZEN = "frozen"
    UNADOPTED = "unadopted"
    BLIND = "blind"
    UNSENT = "unsent"
    REJECTED = "rejected"


# Nothing was left undone that should have been done.
SOUND = frozenset({Turn.WHOLE, Turn.FROZEN})


def turn_of(decision: Decision | None, outcome: str) -> Turn:
    """How a turn ended.

    Args:
        decision: What was decided; None = it is not known what is live.
        outcome: What became of it, as the loop names it.
    """
    if decision is None:
        return Turn.UNADOPTED
    if any(reason.code == "telemetry.stale" for reason in decision.routing.because):
        return Turn.BLIND
    return Turn(outcome) if outcome in set(Turn) else Turn.WHOLE


@dataclass(slots=True, kw_only=True)
class Vitals:
    """What is counted, and the newest status; the loop writes, a page reads.

    Attributes:
        priorities: Of the request classes, by name.
        beat: Called after every turn; must not block.
        turns: How they ended.
        plans: What became of them.
        store_failures: Decisions that could not be kept.
        heartbeat_s: End of the last sound turn; None before the first.
        turn_at_s: End of the last turn, whatever came of it.
        status: What the engine last said of itself.
    """

    priorities: Mapping[str, str] = field(default_factory=dict)
    beat: Callable[[], None] = lambda: None
    turns: Counter[str] = field(default_factory=Counter)
    plans: Counter[str] = field(default_factory=Counter)
    store_failures: int = 0
    heartbeat_s: float | None = None
    turn_at_s: float | None = None
    status: Mapping[str, Any] | None = None

    def turned(self, turn: Turn, *, now_s: float) -> None:
        """Count one turn of the loop, and beat."""
        self.turns[turn] += 1
        self.turn_at_s = now_s
        if turn in SOUND:
            self.heartbeat_s = now_s
        self.beat()
