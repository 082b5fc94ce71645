"""Settings, parsed and refused once, at the edge."""

from foreshard.config.patience import BudgetSettings, ForecastSettings, ThresholdSettings
from foreshard.config.reading import load, parse
from foreshard.config.settings import GaugeSettings, MetricSettings, Settings

__all__ = [
    "BudgetSettings",
    "ForecastSettings",
    "GaugeSettings",
    "MetricSettings",
    "Settings",
    "ThresholdSettings",
    "load",
    "parse",
]
