"""This module is what Foreshard believed and did, tick by tick, in columns that can be drawn.

A probability that nobody stated is null, never 0: the line of a picture then has a gap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["Samples"]


class Samples:
    """Grows by one row a status of the engine.

    Args:
        cells: In the order of the columns.
        classes: In the order of the columns.
        horizons_s: Of the forecasts.
    """

    def __init__(
        self, *, cells: Sequence[str], classes: Sequence[str], horizons_s: Sequence[float]
    ) -> None:
        self.t_s: list[float] = []
        self.share: list[list[list[float]]] = []
        self._cells = tuple(cells)
        self._classes = tuple(classes)
        self._horizons = {f"{h:g}": float(h) for h in horizons_s}
        self._shed: list[list[float]] = []
        self._phase: list[list[str]] = []
        self._risk: dict[str, list[list[Any]]] = {h: [] for h in self._horizons}
        self._class_risk: dict[str, list[list[list[Any]]]] = {h: [] for h in self._horizons}

    def take(self, status: Mapping[str, Any], *, at_s: float) -> None:
        """Take one status; `at_s` counts from the start of the story."""
        cells = [status["cells"][name] for name in self._cells]
        flows = {flow for cell in status["cells"].values() for flow in cell["shares"]}
        share = [
            [_share(cell["shares"], of_class) for cell in cells]
            for of_class in (_flows_of(name, flows) for name in self._classes)
        ]
        self.t_s.append(at_s)
        self.share.append(share)
        self._shed.append([round(max(0.0, 1.0 - sum(row)), 5) for row in share])
        self._phase.append([cell["phase"] for cell in cells])
        for h in self._horizons:
            risks = [cell["risk"] for cell in cells]
            self._risk[h].append([_stated(r["p"].get(h), r["band"].get(h)) for r in risks])
            self._class_risk[h].append(
                [
                    [
                        _stated(
                            r["class"].get(name, {}).get(h), r["class_band"].get(name, {}).get(h)
                        )
                        for r in risks
                    ]
                    for name in self._classes
                ]
            )

    def columns(self) -> Mapping[str, Any]:
        """JSON values.

        `share` is [time][class][cell], `shed` [time][class], `phase` [time][cell]; `risk`, by
        horizon in seconds, [time][cell] and `class_risk` [time][class][cell] of null or
        [p, low, high], where 80 % of what makes up p lies between low and high.
        """
        return {
            "cells": list(self._cells),
            "classes": list(self._classes),
            "horizons_s": list(self._horizons.values()),
            "t_s": [round(at, 2) for at in self.t_s],
            "share": self.share,
            "shed": self._shed,
            "phase": self._phase,
            "risk": self._risk,
            "class_risk": self._class_risk,
        }


def _stated(p: float | None, band: Sequence[float] | None) -> list[float] | None:
    """A probability with its band; one without a band is as good as certain."""
    return None if p is None else [p, *(band or (p, p))]


def _flows_of(name: str, flows: Iterable[str]) -> Sequence[str]:
    return [flow for flow in sorted(flows) if flow.partition("/")[2] == name]


def _share(shares: Mapping[str, float], flows: Sequence[str]) -> float:
    """The share of a class's flows in a cell, over all origins alike; not listed is nothing."""
    return sum(shares.get(flow, 0.0) for flow in flows) / len(flows) if flows else 0.0
