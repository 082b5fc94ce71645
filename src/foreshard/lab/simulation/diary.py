"""This module is what is kept of a policy's thoughts in a run: bounded, and enough to explain it.

An hour of whole decisions would be gigabytes. Kept are the reasons that were news, the changes
of phase, and the forecast probabilities of each forecast.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from foreshard.controller.status import Cells
from foreshard.model.plan import Act, Decision, Reason

__all__ = ["Diary", "Risk", "Said"]

# Reasons in an hour of a calm run: some dozens; of a fleet that flaps: thousands.
MOST_SAID = 20_000
# Bytes of forecasts: an hour of 1,000 cells, two horizons, every five seconds, is 6 MB.
MOST_RISK_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One reason that was news, or one change of a cell's phase.

    Attributes:
        at_s: Of the scenario.
        subject: A cell, or "fleet".
        code: Of the reason; `phase.NAME` for a change of phase.
        text: For people; "" for a change of phase.
        moved: Whether the decision put out a table.
    """

    at_s: float
    subject: str
    code: str
    text: str
    moved: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Risk:
    """What was foreseen.

    Attributes:
        at_s: [N] moments at which a forecast arrived, seconds of the scenario.
        horizons_s: H of them.
        p: float32 [N, C, H]; NaN = nothing was said of the cell.
    """

    at_s: npt.NDArray[np.float64]
    horizons_s: tuple[float, ...]
    p: npt.NDArray[np.float32]


class Diary:
    """The `StateStore` of a simulated stage.

    Args:
        cells: In index order.
        start_s: Of the scenario, on the clock.

    Attributes:
        said: What was news, oldest first.
        unsaid: How much more there was than is kept.
        decisions: How many were made.
        acts: How many of them put out a table.
        foreseen: By model, how many forecasts were its.
    """

    def __init__(self, cells: Sequence[str], *, start_s: float) -> None:
        self.said: list[Said] = []
        self.unsaid = 0
        self.decisions = 0
        self.acts = 0
        self.foreseen: Counter[str] = Counter()
        self._cells = tuple(cells)
        self._start_s = start_s
        self._standing: frozenset[tuple[str, str]] = frozenset()
        self._phases: Mapping[str, str] = {}
        self._latest: Decision | None = None
        self._values: dict[str, Mapping[str, Any]] = {}
        self._made_at_s = math.nan
        self._horizons_s: tuple[float, ...] = ()
        self._foreseen_s: list[float] = []
        self._p: list[npt.NDArray[np.float32]] = []

    @property
    def risk(self) -> Risk:
        """What was foreseen so far."""
        shape = (0, len(self._cells), len(self._horizons_s))
        return Risk(
            at_s=np.array(self._foreseen_s),
            horizons_s=self._horizons_s,
            p=np.stack(self._p) if self._p else np.zeros(shape, dtype=np.float32),
        )

    def record(self, decision: Decision, inputs: Mapping[str, Any]) -> None:
        """Keep what is news in a decision.

        Args:
            decision: What was decided.
            inputs: As the loop gives them: `cells` with `risk`, and `forecast`; may be empty.
        """
        self.decisions += 1
        self.acts += isinstance(decision.routing, Act)
        because = decision.routing.because
        for reason in because:
            if (reason.subject, reason.code) not in self._standing:
                self._say(decision, reason)
        self._standing = frozenset((reason.subject, reason.code) for reason in because)
        for cell, phase in decision.phases.items():
            if self._phases.get(cell, phase) != phase:
                self._say(decision, Reason(subject=cell, code=f"phase.{phase}", text=""))
        self._phases = decision.phases
        self._latest = decision
        self._foresee(decision.now_s, inputs)

    def latest(self, cell: str) -> Mapping[str, Any] | None:
        """The newest decision, if it has a reason about a cell."""
        if self._latest is None:
            return None
        because = [
            {"subject": r.subject, "code": r.code, "text": r.text}
            for r in self._latest.routing.because
            if r.subject == cell
        ]
        return {"now_s": self._latest.now_s, "because": because} if because else None

    def put(self, key: str, value: Mapping[str, Any]) -> None:
        """Keep a value under a key, in the place of the one before."""
        self._values[key] = value

    def get(self, key: str) -> Mapping[str, Any] | None:
        """The value kept under a key; None when there is none."""
        return self._values.get(key)

    def _say(self, decision: Decision, reason: Reason) -> None:
        if len(self.said) >= MOST_SAID:
            self.unsaid += 1
            return
        self.said.append(
            Said(
                at_s=round(decision.now_s - self._start_s, 6),
                subject=reason.subject,
                code=reason.code,
                text=reason.text,
                moved=isinstance(decision.routing, Act),
            )
        )

    def _foresee(self, now_s: float, inputs: Mapping[str, Any]) -> None:
        forecast = inputs.get("forecast") or {}
        age_s = forecast.get("age_s")
        if age_s is None:
            return
        made_at_s = round(now_s - age_s, 2)
        rows = inputs.get("cells") or {}
        horizons = tuple(float(horizon) for horizon in forecast["horizons_s"])
        kept = len(self._p) * 4 * len(self._cells) * len(horizons)
        if made_at_s == self._made_at_s or kept > MOST_RISK_BYTES:
            return
        self._made_at_s, self._horizons_s = made_at_s, horizons
        self.foreseen[str(forecast.get("model", ""))] += 1
        self._foreseen_s.append(round(now_s - self._start_s, 6))
        if isinstance(rows, Cells):
            told = [rows.probabilities(horizon) for horizon in horizons]
        else:
            told = [_told(rows, f"{horizon:g}") for horizon in horizons]
        p = [[each.get(cell, math.nan) for each in told] for cell in self._cells]
        self._p.append(np.array(p, dtype=np.float32))


def _told(rows: Mapping[str, Any], horizon: str) -> Mapping[str, float]:
    """P by cell, of cells that are described."""
    said = {cell: row.get("risk", {}).get("p", {}) for cell, row in rows.items()}
    return {cell: p[horizon] for cell, p in said.items() if horizon in p}
