"""This module is a gauge of the configuration in the words of the source that reads it."""

from __future__ import annotations

from foreshard.adapters.metrics.gauges import GaugeSpec, MetricRef
from foreshard.config import GaugeSettings, MetricSettings

__all__ = ["gauge_of"]


def gauge_of(spec: GaugeSettings) -> GaugeSpec:
    """The gauge that the source reads."""
    limit = spec.limit
    return GaugeSpec(
        resource=spec.resource,
        used=_metric(spec.used),
        limit=_metric(limit) if isinstance(limit, MetricSettings) else limit,
        is_counter=spec.counter,
        scales_with_load=spec.scales_with_load,
        is_capacity=spec.capacity,
    )


def _metric(metric: MetricSettings) -> MetricRef:
    return MetricRef(name=metric.metric, labels=metric.labels)
