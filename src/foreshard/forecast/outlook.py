"""This module is an outlook: what a trained model says of a fleet at one moment, as arrays.

It is made by a worker beside the engine, and carries its age; whether it is to be believed is said
with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.history import History
from foreshard.forecast.learner import Reasoning, RiskModel
from foreshard.forecast.past import EVERY
from foreshard.model.errors import ForecastError

__all__ = ["Outlook", "explained", "outlook_of"]

# Reasons are worked out for so many cells, the most likely to fail, and none below this P.
_MOST_TOLD = 20
_TOLD_P = 0.02
_MOST_REASONS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a model says of C cells and G gauges, for H horizons and L loads.

    Attributes:
        name: Id of the model.
        made_at_s: Moment of the newest step it has seen.
        step_s: Between steps.
        horizons_s: H, rising.
        loads: L multiples of the present load, rising.
        cells: C names.
        gauges: G names.
        by_gauge: float32 [H, L, C, G], NaN = nothing is said.
        any: float32 [H, L, C], of any gauge; NaN = nothing is said.
        seen: int64 [C], steps in which the cell was heard: the evidence that it rests on.
        broken: Why it must not be believed; "" = it may.
        because: What counts most in the forecasts of the cells most at risk, in words, by cell.
    """

    name: str
    made_at_s: float
    step_s: float
    horizons_s: tuple[float, ...]
    loads: tuple[float, ...]
    cells: tuple[str, ...]
    gauges: tuple[str, ...]
    by_gauge: NDArray[np.float32]
    any: NDArray[np.float32]
    seen: NDArray[np.int64]
    broken: str = ""
    because: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        h, n, c, g = len(self.horizons_s), len(self.loads), len(self.cells), len(self.gauges)
        shapes = (self.by_gauge.shape, self.any.shape, self.seen.shape)
        if shapes != ((h, n, c, g), (h, n, c), (c,)):
            raise ForecastError(
                f"outlook: by_gauge, any and seen have shapes {shapes}, must be "
                f"{((h, n, c, g), (h, n, c), (c,))}"
            )


def outlook_of(
    name: str, model: RiskModel, history: History, *, loads: tuple[float, ...], broken: str = ""
) -> Outlook:
    """What a model says now.

    Args:
        name: Id of the model.
        model: Itself.
        history: What is remembered; its last sample is now.
        loads: See `Outlook`.
        broken: See `Outlook`.

    Raises:
        ForecastError: There is no sample, or the model cannot read the history.
    """
    if not history.samples:
        raise ForecastError("outlook: nothing is remembered yet")
    now = np.array([history.samples - 1], dtype=np.int64)
    risk = model.risk(history, now, loads=loads)
    seen = _heard(history)
    if history.older is not None:
        seen = np.maximum(seen, EVERY * _heard(history.older))
    return Outlook(
        name=name,
        made_at_s=float(history.time_s()[-1]),
        step_s=history.step_s,
        horizons_s=model.horizons_s,
        loads=loads,
        cells=history.cells,
        gauges=history.gauges,
        by_gauge=risk.by_gauge[..., 0],
        any=risk.any[..., 0],
        seen=seen,
        broken=broken,
    )


def explained(outlook: Outlook, model: RiskModel, history: History) -> Outlook:
    """An outlook with the reasons for the risks in it that somebody may ask about.

    Args:
        outlook: Of this model, made from this history.
        model: One that gives no reasons leaves it as it is.
        history: What is remembered; its last sample is now.
    """
    if not isinstance(model, Reasoning) or 1.0 not in outlook.loads:
        return outlook
    p = np.nan_to_num(outlook.any[-1, outlook.loads.index(1.0)])
    worst = np.argsort(-p, kind="stable")[:_MOST_TOLD]
    cells = tuple(outlook.cells[c] for c in worst.tolist() if p[c] >= _TOLD_P)
    found = (
        model.reasons(
            history,
            history.samples - 1,
            cells=cells,
            horizon_s=outlook.horizons_s[-1],
            most=_MOST_REASONS,
        )
        if cells
        else {}
    )
    because = {name: tuple(reason.words for reason in reasons) for name, reasons in found.items()}
    return replace(outlook, because=because)


def _heard(history: History) -> NDArray[np.int64]:
    """[C], samples in which any gauge was heard; gauge by gauge, for room."""
    heard = np.zeros(history.load.shape, dtype=bool)
    for g in range(len(history.gauges)):
        heard |= ~np.isnan(history.value[:, g])
    return np.asarray(heard.sum(axis=1))
