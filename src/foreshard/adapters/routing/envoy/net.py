"""This module is the reactive safety net in Envoy's words, the same for every class.

Two of Envoy's defaults would open holes in it. A cluster without traffic yet is checked only
once a minute, so a first failure would meet unchecked cells. And an answer to a health check
ends an ejection, so a cell that fails requests and passes checks would come straight back.
"""

from __future__ import annotations

from envoy.config.cluster.v3.circuit_breaker_pb2 import CircuitBreakers
from envoy.config.cluster.v3.outlier_detection_pb2 import OutlierDetection
from envoy.config.core.v3.health_check_pb2 import HealthCheck
from envoy.config.core.v3.protocol_pb2 import Http1ProtocolOptions, HttpProtocolOptions
from envoy.config.route.v3.route_components_pb2 import RetryPolicy
from envoy.extensions.retry.host.previous_hosts.v3.previous_hosts_pb2 import (
    PreviousHostsPredicate,
)
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from envoy.type.v3.percent_pb2 import Percent
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from foreshard.adapters.routing.envoy.messages import duration, packed
from foreshard.model.safety_net import SafetyNet
from foreshard.model.workload import RequestClass

__all__ = [
    "circuit_breakers",
    "health_check",
    "outlier_detection",
    "percent",
    "retry_policy",
    "upstream_http",
]

# Host names in a health check say who asks; Envoy's default is the cluster's name.
CHECK_HOST = "foreshard-health"


def health_check(net: SafetyNet) -> HealthCheck:
    """How Envoy asks a node whether it lives."""
    interval = duration(net.check_interval_s)
    return HealthCheck(
        timeout=duration(net.check_timeout_s),
        interval=interval,
        no_traffic_interval=interval,
        unhealthy_threshold=_count(net.unhealthy_threshold),
        healthy_threshold=_count(net.healthy_threshold),
        http_health_check=HealthCheck.HttpHealthCheck(host=CHECK_HOST, path=net.check_path),
    )


def outlier_detection(net: SafetyNet) -> OutlierDetection:
    """When a node that still passes checks is ejected, and for how long."""
    return OutlierDetection(
        consecutive_5xx=_count(net.consecutive_5xx),
        split_external_local_origin_errors=True,
        consecutive_local_origin_failure=_count(net.consecutive_local),
        interval=duration(net.eject_interval_s),
        base_ejection_time=duration(net.eject_base_s),
        max_ejection_time=duration(net.eject_max_s),
        max_ejection_percent=_count(round(100 * net.max_ejected_ratio)),
        failure_percentage_threshold=_count(round(100 * net.failure_ratio)),
        enforcing_failure_percentage=_count(100),
        enforcing_failure_percentage_local_origin=_count(100),
        failure_percentage_minimum_hosts=_count(net.failure_minimum_hosts),
        failure_percentage_request_volume=_count(net.failure_minimum_requests),
        successful_active_health_check_uneject_host=BoolValue(
            value=net.healthy_check_ends_ejection
        ),
    )


def circuit_breakers(net: SafetyNet) -> CircuitBreakers:
    """Limits that no fault reaches before the cells do, and the retry budget."""
    budget = CircuitBreakers.Thresholds.RetryBudget(
        budget_percent=percent(net.retry_budget_ratio),
        min_retry_concurrency=_count(net.retry_budget_minimum),
    )
    limits = CircuitBreakers.Thresholds(
        max_connections=_count(net.max_open),
        max_pending_requests=_count(net.max_open),
        max_requests=_count(net.max_open),
        retry_budget=budget,
    )
    return CircuitBreakers(thresholds=[limits])


def retry_policy(request_class: RequestClass, net: SafetyNet) -> RetryPolicy:
    """Further tries on other nodes.

    A class that may be asked only once is tried again where no connection came about, for then
    it has not been asked.

    Known to be weak: a keyed class is retried on other nodes of its home cell until that is
    ejected. Envoy's hash balancers ignore retry priorities (tried on 1.40).
    """
    is_twice = request_class.retriable
    return RetryPolicy(
        retry_on=",".join(net.retry_on if is_twice else net.retry_unreached_on),
        num_retries=_count(net.retries),
        retriable_status_codes=net.retry_statuses if is_twice else (),
        retry_host_predicate=[
            RetryPolicy.RetryHostPredicate(
                name="envoy.retry_host_predicates.previous_hosts",
                typed_config=packed(PreviousHostsPredicate()),
            )
        ],
        host_selection_retry_max_attempts=net.host_attempts,
        retry_back_off=RetryPolicy.RetryBackOff(
            base_interval=duration(net.backoff_base_s), max_interval=duration(net.backoff_max_s)
        ),
    )


def upstream_http(net: SafetyNet) -> AnyMessage:
    """HTTP/1.1 to the cells, on connections closed before the cell's own keep-alive ends."""
    options = http_protocol_options_pb2.HttpProtocolOptions
    return packed(
        options(
            common_http_protocol_options=HttpProtocolOptions(
                idle_timeout=duration(net.idle_timeout_s)
            ),
            explicit_http_config=options.ExplicitHttpConfig(
                http_protocol_options=Http1ProtocolOptions()
            ),
        )
    )


def percent(ratio: float) -> Percent:
    """A ratio in [0, 1] as Envoy has it; rounded, so that 0.29 is not 28.999999999999996."""
    return Percent(value=round(100.0 * ratio, 6))


def _count(value: int) -> UInt32Value:
    return UInt32Value(value=value)
