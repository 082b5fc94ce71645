"""This module is what the demo saw while it ran: samples for the report and the screen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from foreshard.lab import service
from foreshard.lab.faults import FaultSpec
from foreshard.lab.samples import Samples
from foreshard.lab.steering import BUDGET, HORIZONS_S, PATIENCE
from foreshard.lab.story import Story
from foreshard.lab.timeline import Lives, Shares
from foreshard.planning.thresholds import Thresholds

__all__ = ["Watch"]

CELLS = tuple(site.name for site in service.SITES)
CLASSES = tuple(c.name for c in service.CLASSES)


class Watch:
    """Collects samples of one run.

    Args:
        start_at_s: Start of the story, seconds since the epoch.
        story: What is played.
        log: The load generator's log, one line of JSON a second.
    """

    def __init__(self, *, start_at_s: float, story: Story, log: Path) -> None:
        self.start_at_s = start_at_s
        self.story = story
        self.begun: tuple[FaultSpec, ...] = ()
        self.load: Mapping[str, Any] = {}
        self.totals: dict[str, dict[str, int]] = {}
        self.status: Mapping[str, Any] | None = None
        self.resident_mb = 0.0
        self._log = log
        self._offset = 0
        self._up: list[tuple[float, list[bool]]] = []
        self._samples = Samples(cells=CELLS, classes=CLASSES, horizons_s=HORIZONS_S)
        self._said: dict[tuple[float, str, str], Mapping[str, Any]] = {}

    def reactive(self, up: Mapping[str, bool], *, now_s: float) -> None:
        """Take which processes of the reactive fleet run."""
        self._up.append((now_s - self.start_at_s, [up.get(name, False) for name in CELLS]))

    def steered(self, status: Mapping[str, Any] | None) -> None:
        """Take the engine's status; the same one again is not taken twice."""
        if status is None or (self.status and status["now_s"] <= self.status["now_s"]):
            return
        self.status = status
        self._samples.take(status, at_s=status["now_s"] - self.start_at_s)
        for entry in status["timeline"]:
            self._said[entry["at_s"], entry["cell"], entry["code"]] = entry

    def footprint(self, resident_mb: float) -> None:
        """Take the memory of all of Foreshard's processes; the most is kept."""
        self.resident_mb = max(self.resident_mb, resident_mb)

    def read_load(self) -> None:
        """Take what the load generator said since the last call."""
        if not self._log.exists():
            return
        with self._log.open() as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith("\n"):
                    break
                self._offset += len(line.encode())
                self._take_line(line)

    def _take_line(self, line: str) -> None:
        try:
            figures = json.loads(line)
        except ValueError:
            return  # a warning of a library, which stays in the log
        if "fleets" not in figures:
            return
        self.load = figures
        for fleet, by_class in figures["fleets"].items():
            total = self.totals.setdefault(fleet, {})
            for row in by_class.values():
                for key in ("sent", "failed", "slow", "shed"):
                    total[key] = total.get(key, 0) + row[key]

    def said(self) -> list[Mapping[str, Any]]:
        """All decisions with their reasons, oldest first."""
        return [self._said[key] for key in sorted(self._said)]

    def lives(self) -> Lives:
        """Which processes of the reactive fleet ran when."""
        return Lives(
            t_s=np.array([at for at, _ in self._up]),
            up=np.array([row for _, row in self._up], dtype=np.bool_).reshape(-1, len(CELLS)),
        )

    def conduct(self) -> dict[str, Any]:
        """The arguments of `scores.Conduct`."""
        if self.status is None:
            return {}
        # Its version is no figure of a run.
        figures = {k: v for k, v in self.status["engine"].items() if not isinstance(v, str)}
        return {
            "decisions": self.status["decisions"],
            "shares": Shares(t_s=np.array(self._samples.t_s), share=np.array(self._samples.share)),
            "engine": {**figures, "rss_mb": self.resident_mb},
        }

    def time_scale(self) -> Mapping[str, Any]:
        """How the demo's clock compares with production's."""
        return {
            "horizons_s": list(HORIZONS_S),
            "patience_s": dict(PATIENCE),
            "budget": dict(BUDGET),
            "doubt_p": Thresholds().doubt_p,
            "note": (
                f"the demo's horizons are {HORIZONS_S[0]:g} s and {HORIZONS_S[1]:g} s in place of "
                "5 min and 1 h, and its patience is shortened (see `patience_s`)"
            ),
        }

    def timeline(self) -> Mapping[str, Any]:
        """Shares, probabilities and reasons over time, for pictures."""
        return {
            "timeline": [
                {**e, "at_s": round(e["at_s"] - self.start_at_s, 2)} for e in self.said()
            ],
            "samples": self._samples.columns(),
        }
