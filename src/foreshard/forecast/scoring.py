"""This module is how good probabilities were on a stretch of history, in few numbers.

Log loss decides (a proper score: only the truth minimises it, and it is sharp where onsets are
rare); the others are for people: average precision beside prevalence, and the Brier skill.
Samples count as in training: where acting hid what would have followed, what was left alone stands
for it, or the model would win that knows least of failures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast.forecaster import Json
from foreshard.forecast.history import History
from foreshard.forecast.learner import RiskModel
from foreshard.forecast.onset import BreachRule, find_onsets, labels

__all__ = ["Score", "Stretch", "score_of", "stretch_of"]

# Certainty that turns out wrong costs as much as this, not everything.
_LEAST_P = 1e-4
# Samples of a stretch that are scored, and how many a model is asked for at once.
_MOST_SAMPLES = 480
_AT_ONCE = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How good the probabilities of one horizon were.

    Attributes:
        samples: That were scored.
        prevalence: Part of them with an onset within the horizon.
        log_loss: Mean, in nats.
        average_precision: The area under precision over recall; NaN without an onset.
        brier_skill: 1 - Brier score / that of always saying the prevalence; NaN without an onset.
    """

    samples: int
    prevalence: float
    log_loss: float
    average_precision: float
    brier_skill: float

    def values(self) -> Mapping[str, Json]:
        """As JSON values; what is not known is null."""
        return {k: None if np.isnan(v) else round(v, 6) for k, v in asdict(self).items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """What models are scored on.

    Attributes:
        history: Up to its end; what lies before is known to a model that is asked.
        at: int64 [A], the samples.
        y: bool [H, C, A], an onset follows within the horizon.
        known: bool [H, C, A], it can be told, and a forecast made there means something.
        weight: float32 [C, A], see `History.weight`.
        onsets: Of failures within the stretch.
    """

    history: History
    at: NDArray[np.int64]
    y: NDArray[np.bool_]
    known: NDArray[np.bool_]
    weight: NDArray[np.float32]
    onsets: int


def stretch_of(
    history: History, rule: BreachRule, horizons_s: tuple[float, ...], *, first: int
) -> Stretch:
    """The samples of a history from `first` on, with what followed them."""
    stride = max(1, (history.samples - first) // _MOST_SAMPLES)
    at = np.arange(first, history.samples, stride, dtype=np.int64)
    found = find_onsets(history, rule)
    y, known = [], []
    for horizon_s in horizons_s:
        follows, told = labels(found, history.steps(horizon_s))
        y.append(follows[:, at])
        known.append((told & found.scored)[:, at])
    counted = np.ones((len(history.cells), len(at)), dtype=np.float32)
    if history.weight is not None:
        counted = history.weight[:, at]
    return Stretch(
        history=history,
        at=at,
        y=np.array(y),
        known=np.array(known) & (counted > 0.0),
        weight=counted,
        onsets=int((found.begin > first).sum()),
    )


def score_of(model: RiskModel, stretch: Stretch) -> tuple[Score, ...]:
    """How good a model is on a stretch, by horizon; where it says nothing, it says 0.

    Raises:
        ForecastError: The model cannot read the history.
    """
    p = np.concatenate(
        [
            np.zeros((*stretch.y.shape[:2], 0), dtype=np.float32),
            *(
                model.risk(stretch.history, stretch.at[i : i + _AT_ONCE]).any[:, 0]
                for i in range(0, len(stretch.at), _AT_ONCE)
            ),
        ],
        axis=2,
    )
    p = np.clip(np.nan_to_num(p.astype(np.float64)), _LEAST_P, 1.0 - _LEAST_P)
    return tuple(
        _score(p[h][known], stretch.y[h][known], stretch.weight[known].astype(np.float64))
        for h, known in enumerate(stretch.known)
    )


def _score(p: NDArray[np.float64], y: NDArray[np.bool_], weight: NDArray[np.float64]) -> Score:
    if not len(p):
        nan = float("nan")
        return Score(
            samples=0, prevalence=nan, log_loss=nan, average_precision=nan, brier_skill=nan
        )
    prevalence = float(np.average(y, weights=weight))
    brier = float(np.average((p - y) ** 2, weights=weight))
    usual = prevalence * (1.0 - prevalence)
    return Score(
        samples=len(p),
        prevalence=prevalence,
        log_loss=float(-np.average(np.where(y, np.log(p), np.log1p(-p)), weights=weight)),
        average_precision=_average_precision(p, y, weight),
        brier_skill=1.0 - brier / usual if usual > 0.0 else float("nan"),
    )


def _average_precision(
    p: NDArray[np.float64], y: NDArray[np.bool_], weight: NDArray[np.float64]
) -> float:
    """Ties count as one threshold."""
    if not y.any():
        return float("nan")
    order = np.argsort(-p, kind="stable")
    hits, shown = np.cumsum((weight * y)[order]), np.cumsum(weight[order])
    last = np.append(np.flatnonzero(np.diff(p[order])), len(p) - 1)
    precision, gained = hits[last] / shown[last], np.diff(hits[last], prepend=0)
    return float(np.sum(precision * gained) / hits[-1])
