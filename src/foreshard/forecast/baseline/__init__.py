"""What people use today, behind the same protocol: a model has to beat these to be worth it."""

from foreshard.forecast.baseline.learner import (
    HeadroomLearner,
    PredictLinearLearner,
    SeasonalNaiveLearner,
)
from foreshard.forecast.baseline.model import restore

__all__ = ["HeadroomLearner", "PredictLinearLearner", "SeasonalNaiveLearner", "restore"]
