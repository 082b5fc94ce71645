"""This module is a model's card: what it was made of, what it is worth, and what it has seen.

The card travels in the model's file. Of each gauge it keeps the range that training saw, so that a
running model can tell when it is asked about what it has never seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from foreshard.forecast.forecaster import Json
from foreshard.forecast.history import History
from foreshard.forecast.onset import BreachRule
from foreshard.model.errors import ForecastError

__all__ = ["Card", "ranges_of"]

# All but one in a thousand lies between these.
_RANGE = (0.0005, 0.9995)
# The range of a gauge is found in so many values, evenly taken.
_MOST_VALUES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What is known of a trained model.

    Attributes:
        learner: Which one made it.
        trained_at_s: When.
        begins_s: Of the record it learned from.
        learned_until_s: End of that; what came after, it was judged by.
        ends_s: End of the record.
        step_s: Of the record.
        cells: How many.
        gauges: Their names.
        onsets: Failures it learned from.
        rule: What a failure is.
        horizons_s: Rising.
        seed: It was fitted with.
        versions: Of Foreshard and of what the model rests on, by name.
        portion: What was left out for want of memory, in words; "" = nothing.
        because: Why it flies, or does not.
        scores: By name of the model, then horizon (as text), then kind of score.
        ranges: By gauge: between which values nearly all that it learned from lies.
        notes: What the model says of itself.
    """

    learner: str
    trained_at_s: float
    begins_s: float
    learned_until_s: float
    ends_s: float
    step_s: float
    cells: int
    gauges: tuple[str, ...]
    onsets: int
    rule: BreachRule
    horizons_s: tuple[float, ...]
    seed: int
    versions: Mapping[str, str]
    portion: str = ""
    because: str = ""
    scores: Mapping[str, Mapping[str, Mapping[str, Json]]] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    notes: Mapping[str, Json] = field(default_factory=dict)

    def values(self) -> Mapping[str, Json]:
        """As JSON values."""
        return {
            "learner": self.learner,
            "trained_at_s": self.trained_at_s,
            "begins_s": self.begins_s,
            "learned_until_s": self.learned_until_s,
            "ends_s": self.ends_s,
            "step_s": self.step_s,
            "cells": self.cells,
            "gauges": list(self.gauges),
            "onsets": self.onsets,
            "rule": {
                "sustain": self.rule.sustain,
                "merge_gap_s": self.rule.merge_gap_s,
                "quiet_s": self.rule.quiet_s,
            },
            "horizons_s": list(self.horizons_s),
            "seed": self.seed,
            "versions": dict(self.versions),
            "portion": self.portion,
            "because": self.because,
            "scores": {
                name: {horizon: dict(score) for horizon, score in by_horizon.items()}
                for name, by_horizon in self.scores.items()
            },
            "ranges": {name: list(ends) for name, ends in self.ranges.items()},
            "notes": dict(self.notes),
        }

    @classmethod
    def of(cls, values: Mapping[str, Json]) -> Card:
        """The card that `values` were made of.

        Raises:
            ForecastError: They are those of no card.
        """
        try:
            return _card(values)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ForecastError(f"model card: cannot be read: {error!r}") from error


def _card(values: Mapping[str, Json]) -> Card:
    """Raises whatever a wrong value raises."""
    rule = _mapping(values["rule"])
    return Card(
        learner=str(values["learner"]),
        trained_at_s=_number(values["trained_at_s"]),
        begins_s=_number(values["begins_s"]),
        learned_until_s=_number(values["learned_until_s"]),
        ends_s=_number(values["ends_s"]),
        step_s=_number(values["step_s"]),
        cells=int(_number(values["cells"])),
        gauges=tuple(str(name) for name in _sequence(values["gauges"])),
        onsets=int(_number(values["onsets"])),
        rule=BreachRule(
            sustain=int(_number(rule["sustain"])),
            merge_gap_s=_number(rule["merge_gap_s"]),
            quiet_s=_number(rule["quiet_s"]),
        ),
        horizons_s=tuple(_number(h) for h in _sequence(values["horizons_s"])),
        seed=int(_number(values["seed"])),
        versions={name: str(v) for name, v in _mapping(values["versions"]).items()},
        portion=str(values["portion"]),
        because=str(values["because"]),
        scores={
            name: {h: _mapping(score) for h, score in _mapping(by_horizon).items()}
            for name, by_horizon in _mapping(values["scores"]).items()
        },
        ranges={
            name: (_number(_sequence(ends)[0]), _number(_sequence(ends)[1]))
            for name, ends in _mapping(values["ranges"]).items()
        },
        notes=_mapping(values["notes"]),
    )


def ranges_of(history: History) -> Mapping[str, tuple[float, float]]:
    """By gauge, between which values nearly all of a history lies; one never heard is absent."""
    found: dict[str, tuple[float, float]] = {}
    every = max(1, history.value[:, 0].size // _MOST_VALUES) if history.gauges else 1
    for g, name in enumerate(history.gauges):
        value = history.value[:, g, ::every]
        value = value[~np.isnan(value)]
        if len(value):
            low, high = np.quantile(value, _RANGE)
            found[name] = (float(low), float(high))
    return found


def _mapping(value: Json) -> Mapping[str, Json]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{value!r} is no mapping")
    return value


def _sequence(value: Json) -> Sequence[Json]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise TypeError(f"{value!r} is no list")
    return value


def _number(value: Json) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return float(value)
