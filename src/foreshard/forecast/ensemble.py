"""This module is several models as one, each weighed by what it was worth on the newest past.

The members are fitted on the earlier part of the history and asked about the later part; a curve
over their log odds (`calibration`) is drawn through what became of it. Then they are fitted anew
on all of it.

Trees know the cells that they have seen, and a cell that they have not seen they judge worse than
its bare level does. So there are two curves, one over all members and one over those that need no
past of the cell, and a cell moves from the second to the first as its own history grows: at
`EVIDENCE_S` of it they count the same (partial pooling). Of a cell it is said which it stands on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from foreshard.forecast import baseline, hazard, trend_model
from foreshard.forecast.baseline import HeadroomLearner
from foreshard.forecast.calibration import Correction, correction_in, fit_correction, log_odds
from foreshard.forecast.forecaster import Json
from foreshard.forecast.hazard import HazardLearner
from foreshard.forecast.history import History
from foreshard.forecast.learner import (
    Learner,
    Progress,
    Reasoned,
    Reasoning,
    Risk,
    RiskModel,
    Snapshot,
    ignore_progress,
)
from foreshard.forecast.onset import BreachRule, find_onsets, labels
from foreshard.forecast.trend_model import TrendLearner
from foreshard.model.errors import ForecastError

__all__ = ["EVIDENCE_S", "EnsembleLearner", "EnsembleModel", "restore"]

Array = NDArray[np.float64]
Index = NDArray[np.int64]

_KIND = "ensemble"
# Own history at which a cell stands as much on the trees as on its level and trend.
EVIDENCE_S = 2.0 * 86_400.0
# A cell stands on what was learned of it where that counts for so much.
_STANDS = 0.5
# Members that say the same of a cell whether it is known or not.
_UNTAUGHT = ("headroom", "trend", "predict-linear")
_LATER = 0.8
# Moments of the later part that members are asked about: fewer of a large fleet, never under 50.
_MOMENTS, _LEAST_MOMENTS, _PLACES = 1_000, 50, 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleModel:
    """See the module.

    Attributes:
        horizons_s: H, rising.
        members: M models of the same horizons.
        learned, untaught: Curves over the members' log odds, one a horizon; the second gives no
            weight to members that need to have seen the cell.
        seen_s: How long each cell was heard in the history that was learned from.
    """

    horizons_s: tuple[float, ...]
    members: tuple[RiskModel, ...]
    learned: Correction
    untaught: Correction
    seen_s: Mapping[str, float]
    name: ClassVar[str] = _KIND

    def risk(self, history: History, at: Index, *, loads: tuple[float, ...] = (1.0,)) -> Risk:
        """See `RiskModel`."""
        said = [member.risk(history, at, loads=loads) for member in self.members]
        weight = self.evidence(history.cells)
        some = self._mixed([risk.any for risk in said], weight[None, :, None])
        own = self._mixed([risk.by_gauge for risk in said], weight[None, :, None, None])
        own[:, :, ~history.counts] = np.nan
        if history.declared is None:
            some[:, :, ~history.counts.any(axis=1)] = 0.0
        own = np.minimum(own, some[:, :, :, None])
        return Risk(any=some.astype(np.float32), by_gauge=own.astype(np.float32))

    def reasons(
        self, history: History, at: int, *, cells: tuple[str, ...], horizon_s: float, most: int
    ) -> Mapping[str, Sequence[Reasoned]]:
        """See `Reasoning`: those of the first member that has any, of cells that stand on it."""
        weight = dict(zip(history.cells, self.evidence(history.cells).tolist(), strict=True))
        known = tuple(name for name in cells if weight.get(name, 1.0) >= _STANDS)
        for member in self.members:
            if isinstance(member, Reasoning):
                return member.reasons(history, at, cells=known, horizon_s=horizon_s, most=most)
        return {}

    def evidence(self, cells: tuple[str, ...]) -> Array:
        """[C], how much each cell stands on what was learned of it, from 0 to 1."""
        seen = np.array([self.seen_s.get(cell, 0.0) for cell in cells])
        return np.asarray(seen / (seen + EVIDENCE_S))

    def stands_on(self, cells: tuple[str, ...]) -> tuple[str, ...]:
        """Of each cell, the members that count most for it, in words."""
        names = np.array([member.name for member in self.members])
        last = len(self.horizons_s) - 1
        told = []
        for weight in self.evidence(cells).tolist():
            slope = weight * self.learned.slope[last] + (1.0 - weight) * self.untaught.slope[last]
            order = np.argsort(-slope, kind="stable")
            told.append(" and ".join(names[i] for i in order if slope[i] > 0.2 * slope[order[0]]))
        return tuple(told)

    def snapshot(self) -> Snapshot:
        """See `RiskModel`."""
        parts = [member.snapshot() for member in self.members]
        settings: Mapping[str, Json] = {
            "horizons_s": list(self.horizons_s),
            "cells": list(self.seen_s),
            "members": [{"kind": part.kind, "settings": part.settings} for part in parts],
        }
        arrays: dict[str, NDArray[np.generic]] = {
            "seen_s": np.array(list(self.seen_s.values()), dtype=np.float64),
            **self.learned.arrays("learned"),
            **self.untaught.arrays("untaught"),
        }
        texts: dict[str, str] = {}
        for i, part in enumerate(parts):
            arrays |= {f"{i}_{name}": array for name, array in part.arrays.items()}
            texts |= {f"{i}_{name}": text for name, text in part.texts.items()}
        return Snapshot(kind=_KIND, settings=settings, arrays=arrays, texts=texts)

    def _mixed(self, said: list[NDArray[np.float32]], weight: Array) -> Array:
        """Probabilities [H, L, ...] of all members as one."""
        z = _aligned(said)
        found = np.empty(said[0].shape)
        for h in range(len(self.horizons_s)):
            learned, untaught = (
                curve.offset[h] + np.tensordot(curve.slope[h], z[:, h], axes=(0, 0))
                for curve in (self.learned, self.untaught)
            )
            found[h] = weight * learned + (1.0 - weight) * untaught
        np.maximum.accumulate(found, axis=0, out=found)
        np.maximum.accumulate(found, axis=1, out=found)
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(found, -500.0, 500.0))))


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleLearner:
    """Makes an `EnsembleModel`.

    Attributes:
        members: The first is trusted until it is seen that others are worth more.
    """

    members: tuple[Learner, ...] = field(
        default_factory=lambda: (HazardLearner(), HeadroomLearner(), TrendLearner())
    )
    name: ClassVar[str] = _KIND

    def __post_init__(self) -> None:
        names = [member.name for member in self.members]
        if not any(name in _UNTAUGHT for name in names):
            raise ForecastError(
                f"ensemble: members are {names}; one of {list(_UNTAUGHT)} is needed for cells "
                "that have no history yet"
            )

    def fit(
        self,
        history: History,
        rule: BreachRule,
        horizons_s: tuple[float, ...],
        *,
        seed: int,
        progress: Progress = ignore_progress,
    ) -> EnsembleModel:
        """See `Learner`; a member that cannot be fitted to so little is left out.

        Raises:
            ForecastError: No member that needs no history could be fitted.
        """
        cut = round(_LATER * history.samples)
        members = _fitted(self.members, history, rule, horizons_s, seed)
        progress(0.5)
        early = _fitted(self.members, history.until(cut), rule, horizons_s, seed)
        names = [member.name for member in members]
        many, untaught = len(horizons_s), [name in _UNTAUGHT for name in names]
        if not any(untaught):
            raise ForecastError(f"ensemble: of {names} none can speak of a cell without a past")
        first = np.tile(np.eye(len(names))[0], (many, 1))
        bare = np.tile(np.eye(len(names))[untaught.index(True)], (many, 1))
        learned = Correction(offset=np.zeros(many), slope=first)
        alone = Correction(offset=np.zeros(many), slope=bare)
        if [member.name for member in early] == names:
            z, came, weight = _later(history, rule, early, cut)
            learned = _stacked(z, came, weight, first)
            mask = np.array(untaught)
            alone = _stacked(z * mask[:, None, None], came, weight, bare)
            alone = Correction(offset=alone.offset, slope=alone.slope * mask)
        progress(1.0)
        heard = ~np.isnan(history.value).all(axis=1)
        seen_s = (heard.sum(axis=1) * history.step_s).tolist()
        return EnsembleModel(
            horizons_s=horizons_s,
            members=members,
            learned=learned,
            untaught=alone,
            seen_s=dict(zip(history.cells, seen_s, strict=True)),
        )


def restore(snapshot: Snapshot) -> EnsembleModel:
    """The model that made a snapshot, of members that are known here.

    Raises:
        ForecastError: It is no snapshot of an ensemble, or one of its members is not known.
    """
    parts = snapshot.settings.get("members")
    if snapshot.kind != _KIND or not isinstance(parts, list | tuple):
        raise ForecastError(f"ensemble: snapshot is of kind {snapshot.kind!r}, not {_KIND!r}")
    restorers: dict[str, Callable[[Snapshot], RiskModel]] = {
        "hazard": hazard.restore,
        "baseline": baseline.restore,
        "trend": trend_model.restore,
    }
    members: list[RiskModel] = []
    for i, part in enumerate(parts):
        kind = part.get("kind") if isinstance(part, Mapping) else None
        settings = part.get("settings") if isinstance(part, Mapping) else None
        if not isinstance(kind, str) or kind not in restorers or not isinstance(settings, Mapping):
            raise ForecastError(
                f"ensemble: member {kind!r} is not known, there are {sorted(restorers)}"
            )
        of_part = f"{i}_"
        members.append(
            restorers[kind](
                Snapshot(
                    kind=kind,
                    settings=settings,
                    arrays={
                        name.removeprefix(of_part): array
                        for name, array in snapshot.arrays.items()
                        if name.startswith(of_part)
                    },
                    texts={
                        name.removeprefix(of_part): text
                        for name, text in snapshot.texts.items()
                        if name.startswith(of_part)
                    },
                )
            )
        )
    horizons_s, cells = snapshot.numbers("horizons_s"), snapshot.words("cells")
    shape, seen_s = (len(horizons_s), len(members)), snapshot.array("seen_s")
    if seen_s.shape != (len(cells),) or any(m.horizons_s != horizons_s for m in members):
        raise ForecastError(
            "ensemble: the snapshot's members or cells do not match; it is damaged"
        )
    return EnsembleModel(
        horizons_s=horizons_s,
        members=tuple(members),
        learned=correction_in(snapshot, "learned", shape),
        untaught=correction_in(snapshot, "untaught", shape),
        seen_s=dict(zip(cells, seen_s.tolist(), strict=True)),
    )


def _fitted(
    learners: tuple[Learner, ...],
    history: History,
    rule: BreachRule,
    horizons_s: tuple[float, ...],
    seed: int,
) -> tuple[RiskModel, ...]:
    """The members that can be fitted."""
    found: list[RiskModel] = []
    reasons = []
    for learner in learners:
        try:
            found.append(learner.fit(history, rule, horizons_s, seed=seed))
        except ForecastError as error:
            reasons.append(str(error))
    if not found:
        raise ForecastError(f"ensemble: none of its members can be fitted: {'; '.join(reasons)}")
    return tuple(found)


def _later(
    history: History, rule: BreachRule, members: tuple[RiskModel, ...], cut: int
) -> tuple[Array, NDArray[np.bool_], Array]:
    """What members say of the later part: log odds [M, H, N], truth [H, N] and weight [H, N]."""
    moments = min(_MOMENTS, max(_PLACES // len(history.cells), _LEAST_MOMENTS))
    every = max(-(-(history.samples - cut) // moments), 1)
    at = np.arange(cut, history.samples, every, dtype=np.int64)
    z = _aligned([member.risk(history, at).any for member in members])[:, :, 0]
    onsets = find_onsets(history, rule)
    counted = 1.0 if history.weight is None else history.weight[:, at]
    came, weight = [], []
    for horizon_s in members[0].horizons_s:
        h = history.steps(horizon_s)
        y, known = labels(onsets, h)
        came.append(y[:, at].ravel())
        weight.append(((onsets.scored & known)[:, at] * counted).ravel() * (every / h))
    z = z.reshape(*z.shape[:2], -1)
    return z, np.stack(came), np.stack(weight) * ~np.isnan(z).any(axis=(0, 1))


def _stacked(z: Array, came: NDArray[np.bool_], weight: Array, prior: Array) -> Correction:
    """A curve a horizon over the members' log odds of that horizon."""
    found = [
        fit_correction(z[:, h], came[h : h + 1], weight[h : h + 1], prior=prior[h : h + 1])
        for h in range(len(came))
    ]
    return Correction(
        offset=np.concatenate([curve.offset for curve in found]),
        slope=np.concatenate([curve.slope for curve in found]),
    )


def _aligned(said: list[NDArray[np.float32]]) -> Array:
    """Log odds [M, ...]; a member that says nothing is taken to say what the others do."""
    z = np.stack([log_odds(p) for p in said])
    known = ~np.isnan(z)
    others = np.where(known, z, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.where(known, z, np.where(known.any(axis=0), others, np.nan)[None])
