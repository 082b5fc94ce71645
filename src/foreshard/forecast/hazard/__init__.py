"""Chances of failure from features of the past: boosted trees over gauges, times and levels."""

from foreshard.forecast.hazard.learner import HazardLearner
from foreshard.forecast.hazard.model import HazardModel, restore

__all__ = ["HazardLearner", "HazardModel", "restore"]
