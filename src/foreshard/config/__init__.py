"""Settings, parsed and refused once, at the edge."""

from foreshard.config.reading import load, parse
from foreshard.config.settings import (
    BudgetSettings,
    ForecastSettings,
    GaugeSettings,
    MetricSettings,
    Settings,
    ThresholdSettings,
)

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
