"""This module is the baselines as learners, one class a name, for the registry."""

from __future__ import annotations

from typing import ClassVar

from foreshard.forecast.baseline.model import BaselineLearner

__all__ = ["HeadroomLearner", "PredictLinearLearner", "SeasonalNaiveLearner"]


class HeadroomLearner(BaselineLearner):
    """The worst gauge's level, between what it usually is and its limit."""

    __slots__ = ()
    name: ClassVar[str] = "headroom"


class PredictLinearLearner(BaselineLearner):
    """The worst gauge's straight line, between what it usually is and its limit."""

    __slots__ = ()
    name: ClassVar[str] = "predict-linear"


class SeasonalNaiveLearner(BaselineLearner):
    """The worst gauge's stretch of yesterday, between what it usually is and its limit."""

    __slots__ = ()
    name: ClassVar[str] = "seasonal-naive"
