"""This module is why the trees say what they say: the features that count most, in words.

TreeSHAP (Lundberg et al. 2020) splits the log odds of one forecast exactly into what each feature
adds to what is usual; LightGBM computes it itself. What the corrections after the trees add is the
same for all, so it is no reason.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from foreshard.forecast.feature.column import COLUMNS, WORDS
from foreshard.forecast.hazard.model import HazardModel, chosen
from foreshard.forecast.history import History
from foreshard.model.errors import ForecastError

__all__ = ["Reason", "reasons_for"]


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


def reasons_for(
    model: HazardModel, history: History, *, cell: str, at: int, horizon_s: float, most: int = 5
) -> tuple[Reason, ...]:
    """Why a cell has the probability that it has, from its worst gauge.

    Args:
        model: That made it.
        history: From which.
        cell: Its name.
        at: Sample.
        horizon_s: One of the model's.
        most: So many, those that count most first.

    Returns:
        Nothing where no gauge of the cell has a limit that counts.

    Raises:
        ForecastError: The cell or the horizon is not known.
    """
    if cell not in history.cells or horizon_s not in model.horizons_s:
        raise ForecastError(
            f"reasons: cell {cell!r} and horizon {horizon_s} s must be among {history.cells} and "
            f"{model.horizons_s}"
        )
    c, h = history.cells.index(cell), model.horizons_s.index(horizon_s)
    when = np.array([at], dtype=np.int64)
    p = model.risk(history, when).by_gauge[h, 0, c, :, 0]
    if np.isnan(p).all():
        return ()
    g = int(np.nanargmax(p))
    row = chosen(model.table(history, when)[c, 0, g][None], h)
    adds = model.forests[h].contributions(row)[0, :-1]
    order = np.argsort(-np.abs(adds), kind="stable")[:most]
    return tuple(
        Reason(
            gauge=history.gauges[g],
            feature=COLUMNS[i],
            value=float(row[0, i]),
            effect=float(adds[i]),
        )
        for i in order.tolist()
        if adds[i] != 0.0
    )
