"""This module is where Envoy sends requests to.

A free class has one cluster that holds every cell of its row, weighted: ejection, retries and
least-request work *across* cells, and the plan is a bias and an exclusion on top of them. A
keyed class has one cluster for each cell, with the cell's backups as second priority: a dead
cell's keys move to one backup each when its health checks fail, and those of one that fails
requests in a row at once, for as long as it is ejected, whoever is frozen. Where keys own data
only a health check moves them: two proxies that disagree for seconds would write twice.

Clusters depend on the fleet and the classes, never on a plan: moving traffic is a message of
endpoints or of one route table, and nothing has to warm up. That is why a keyed cluster exists
for every cell that may serve the class, whether it owns slots or not. Known to be weak: each
checks the health of its own backups, six checks a second for a cell and keyed class.
"""

from __future__ import annotations

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.base_pb2 import RuntimeDouble
from google.protobuf.wrappers_pb2 import UInt32Value, UInt64Value

from foreshard.adapters.routing.envoy.messages import ads, duration
from foreshard.adapters.routing.envoy.net import (
    circuit_breakers,
    health_check,
    outlier_detection,
    percent,
    upstream_http,
)
from foreshard.adapters.routing.envoy.settings import EnvoySettings

__all__ = ["class_of", "free_cluster", "free_name", "keyed_cluster", "keyed_name"]

UPSTREAM_HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def free_name(request_class: str) -> str:
    """Name of the one cluster of a free class."""
    return f"free/{request_class}"


def keyed_name(request_class: str, cell: str) -> str:
    """Name of a keyed class's cluster at one cell."""
    return f"keyed/{request_class}/{cell}"


def class_of(cluster: str) -> str:
    """The request class that a cluster is for; "" = none of ours."""
    kind, _, rest = cluster.partition("/")
    match kind:
        case "free":
            return rest
        case "keyed":
            return rest.partition("/")[0]
    return ""


def free_cluster(name: str, settings: EnvoySettings) -> Cluster:
    """Least request over all cells of the row, with ejection of nodes that fail."""
    net = settings.net
    cluster = _cluster(name, settings)
    cluster.lb_policy = Cluster.LEAST_REQUEST
    cluster.least_request_lb_config.CopyFrom(
        Cluster.LeastRequestLbConfig(
            choice_count=UInt32Value(value=net.least_request_choices),
            active_request_bias=RuntimeDouble(
                default_value=settings.active_request_bias, runtime_key="foreshard.bias"
            ),
            slow_start_config=Cluster.SlowStartConfig(
                slow_start_window=duration(net.slow_start_s)
            ),
        )
    )
    cluster.outlier_detection.CopyFrom(outlier_detection(net))
    return cluster


def keyed_cluster(name: str, settings: EnvoySettings, *, owns_data: bool = False) -> Cluster:
    """One cell, then its backups; inside either, a key sticks to a node (Maglev)."""
    cluster = _cluster(name, settings)
    cluster.lb_policy = Cluster.MAGLEV
    cluster.maglev_lb_config.CopyFrom(
        Cluster.MaglevLbConfig(table_size=UInt64Value(value=settings.failover_table_size))
    )
    if settings.net.ejects_keyed and not owns_data:
        cluster.outlier_detection.CopyFrom(outlier_detection(settings.net))
    return cluster


def _cluster(name: str, settings: EnvoySettings) -> Cluster:
    net = settings.net
    return Cluster(
        name=name,
        type=Cluster.EDS,
        eds_cluster_config=Cluster.EdsClusterConfig(eds_config=ads()),
        connect_timeout=duration(net.connect_timeout_s),
        health_checks=[health_check(net)],
        # Envoy keeps a node that was left out for as long as it is healthy; a drained cell
        # would go on serving.
        ignore_health_on_host_removal=True,
        common_lb_config=Cluster.CommonLbConfig(
            healthy_panic_threshold=percent(net.panic_ratio),
            # Envoy gathers changes of weight and health for a second; a plan must not wait.
            update_merge_window=duration(0.0),
        ),
        circuit_breakers=circuit_breakers(net),
        typed_extension_protocol_options={UPSTREAM_HTTP: upstream_http(net)},
        lrs_report_endpoint_metrics=settings.endpoint_metrics,
    )
