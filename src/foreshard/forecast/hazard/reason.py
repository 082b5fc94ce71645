"""This module is why the trees say what they say: the features that count most, in words.

TreeSHAP (Lundberg et al. 2020) splits the log odds of one forecast exactly into what each feature
adds to what is usual; LightGBM computes it itself. What the corrections after the trees add is the
same for all, so it is no reason.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.feature.column import COLUMNS, WORDS
from foreshard.forecast.hazard.forest import Forest

__all__ = ["Reason", "reasons_of"]

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One feature of one forecast.

    Attributes:
        gauge: Of which it is a feature.
        feature: Its name.
        value: As it stands; levels are fractions of the limit. NaN = not known.
        effect: What it adds to the log odds; 0.7 doubles the odds, -0.7 halves them.
    """

    gauge: str
    feature: str
    value: float
    effect: float

    @property
    def words(self) -> str:
        """It in words and numbers."""
        value = "not known" if np.isnan(self.value) else f"{self.value:.2f}"
        way = "raises" if self.effect > 0.0 else "lowers"
        factor = float(np.exp(abs(self.effect)))
        return f"{self.gauge}: {WORDS[self.feature]} {value} {way} the odds {factor:.1f} times"


def reasons_of(forest: Forest, row: Array, *, gauge: str, most: int) -> tuple[Reason, ...]:
    """Why trees say what they say of a row.

    Args:
        forest: The trees.
        row: [F], its features.
        gauge: Of which it is.
        most: So many, those that count most first.
    """
    adds = forest.contributions(row[None])[0, :-1]
    order = np.argsort(-np.abs(adds), kind="stable")[:most]
    return tuple(
        Reason(gauge=gauge, feature=COLUMNS[i], value=float(row[i]), effect=float(adds[i]))
        for i in order.tolist()
        if adds[i] != 0.0
    )
