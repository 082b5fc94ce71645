"""This module is the opponent: the Envoy that a good team runs today, without any forecast.

Free classes share one cluster with every node of every cell behind least-request, outlier
detection, retries on other nodes and active health checks. Keyed classes go to the key's home
on a hash ring over the same nodes; failures in a row and failed health checks move a key, and a
cell that comes back gets its keys back. All numbers are those of `SafetyNet`, which the
predictive side flies with too.
"""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from foreshard.model.errors import LabError
from foreshard.model.safety_net import SafetyNet
from foreshard.model.topology import Cell, Fleet
from foreshard.model.workload import RequestClass

__all__ = [
    "SERVED_BY",
    "Json",
    "bootstrap",
    "circuit_breakers",
    "describe",
    "health_check",
    "outlier_detection",
    "render",
    "retry_policy",
]

Json = dict[str, object]

# Response header that tells which node answered; its cost is below what can be measured.
SERVED_BY = "x-served-by"

TYPES = "type.googleapis.com/envoy"


def _seconds(value_s: float) -> str:
    """A protobuf duration in JSON: seconds with at most three decimals."""
    return f"{value_s:.3f}".rstrip("0").rstrip(".") + "s"


def _percent(ratio: float) -> int:
    """A ratio in Envoy's whole percent."""
    return round(100 * ratio)


def describe(net: SafetyNet) -> tuple[str, ...]:
    """What the reactive side has, a phrase each, with its figures."""
    errors = f"{net.consecutive_5xx} errors in a row, or {net.failure_ratio:.0%} failed"
    away = f"{net.eject_base_s:g} to {net.eject_max_s:g} s"
    return (
        f"least request of {net.least_request_choices} over all cells for classes without a key",
        f"slow start over {net.slow_start_s:g} s",
        f"outlier detection: out after {errors} within {net.eject_interval_s:g} s",
        f"ejections of {away}, of {net.max_ejected_ratio:.0%} of the cells at most",
        f"{net.retries} retries on other nodes, where the class allows it or none was reached",
        f"a budget for retries of {net.retry_budget_ratio:.0%} of the requests under way",
        f"health checks each {net.check_interval_s:g} s, which move keys as ejections do",
        f"a cell is down after {net.unhealthy_threshold} failed checks",
        f"panic threshold {net.panic_ratio:.0%}: with fewer healthy cells all are used again",
    )


def outlier_detection(net: SafetyNet) -> Json:
    """Passive health checks, `envoy.config.cluster.v3.OutlierDetection`.

    Ejection by failure percentage is off in Envoy unless it is enforced by hand, which is
    done here for answers and for local errors. Ejection by success-rate deviation stays at
    Envoy's default (on).
    """
    return {
        "consecutive_5xx": net.consecutive_5xx,
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": net.consecutive_local,
        "interval": _seconds(net.eject_interval_s),
        "base_ejection_time": _seconds(net.eject_base_s),
        "max_ejection_time": _seconds(net.eject_max_s),
        "max_ejection_percent": _percent(net.max_ejected_ratio),
        "failure_percentage_threshold": _percent(net.failure_ratio),
        "failure_percentage_minimum_hosts": net.failure_minimum_hosts,
        "failure_percentage_request_volume": net.failure_minimum_requests,
        "enforcing_failure_percentage": 100,
        "enforcing_failure_percentage_local_origin": 100,
        "successful_active_health_check_uneject_host": net.healthy_check_ends_ejection,
    }


def health_check(net: SafetyNet) -> Json:
    """Active health checks, `envoy.config.core.v3.HealthCheck`.

    The interval without traffic is set too: Envoy's default is 60 s, and a keyed cluster
    that has not served yet would be blind for that long.
    """
    return {
        "timeout": _seconds(net.check_timeout_s),
        "interval": _seconds(net.check_interval_s),
        "no_traffic_interval": _seconds(net.check_interval_s),
        "unhealthy_threshold": net.unhealthy_threshold,
        "healthy_threshold": net.healthy_threshold,
        "http_health_check": {"path": net.check_path},
    }


def retry_policy(net: SafetyNet, *, is_twice: bool, leaves: bool = True) -> Json:
    """Retries, `envoy.config.route.v3.RetryPolicy`.

    Args:
        net: How often, and of what.
        is_twice: Whether a request may be asked twice; if not, only one that reached no node is
            tried again.
        leaves: Whether on another node; if not, a key's node is asked again, for without the
            predicate a ring gives the same answer each time.
    """
    predicate = f"{TYPES}.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
    elsewhere: Json = {
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {"@type": predicate},
            }
        ],
        "host_selection_retry_max_attempts": net.host_attempts,
    }
    return {
        "retry_on": ",".join(net.retry_on if is_twice else net.retry_unreached_on),
        "num_retries": net.retries,
        "retriable_status_codes": list(net.retry_statuses) if is_twice else [],
        **(elsewhere if leaves else {}),
        "retry_back_off": {
            "base_interval": _seconds(net.backoff_base_s),
            "max_interval": _seconds(net.backoff_max_s),
        },
    }


def circuit_breakers(net: SafetyNet) -> Json:
    """Limits and retry budget, `envoy.config.cluster.v3.CircuitBreakers`."""
    return {
        "thresholds": [
            {
                "max_connections": net.max_open,
                "max_pending_requests": net.max_open,
                "max_requests": net.max_open,
                "retry_budget": {
                    "budget_percent": {"value": float(_percent(net.retry_budget_ratio))},
                    "min_retry_concurrency": net.retry_budget_minimum,
                },
            }
        ]
    }


def bootstrap(
    fleet: Fleet,
    classes: Sequence[RequestClass],
    *,
    listen_port: int,
    admin_port: int = 0,
    net: SafetyNet | None = None,
) -> Json:
    """The whole static configuration, `envoy.config.bootstrap.v3.Bootstrap` as JSON.

    Args:
        fleet: Every node of every cell becomes a host of both clusters.
        classes: In matching order; a request that matches none is answered with 404.
        listen_port: On the loopback interface.
        admin_port: On the loopback interface; 0 = any free one.
        net: The numbers; the default ones when left out.

    Raises:
        LabError: A class is bound to regions, which one cluster over all cells cannot hold.
    """
    bound = sorted(c.name for c in classes if c.regions)
    if bound:
        raise LabError(
            f"classes {bound} are bound to regions; the reactive twin serves every class "
            "everywhere, leave `regions` empty"
        )
    net = net or SafetyNet()
    return {
        "admin": {"address": _address("127.0.0.1", admin_port)},
        "stats_flush_interval": "1s",
        "static_resources": {
            "listeners": [_listener(classes, port=listen_port, net=net)],
            "clusters": [_free_cluster(fleet, net), _keyed_cluster(fleet, net)],
        },
    }


def render(config: Json) -> str:
    """The configuration as YAML, stable from run to run."""
    text: str = yaml.safe_dump(config, sort_keys=False, width=99)
    return text


def _address(host: str, port: int) -> Json:
    """A TCP address."""
    return {"socket_address": {"address": host, "port_value": port}}


def _listener(classes: Sequence[RequestClass], *, port: int, net: SafetyNet) -> Json:
    """One HTTP listener with the routes of every class."""
    manager = f"{TYPES}.extensions.filters.network.http_connection_manager.v3"
    router = f"{TYPES}.extensions.filters.http.router.v3.Router"
    return {
        "name": "edge",
        "address": _address("127.0.0.1", port),
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": {
                            "@type": f"{manager}.HttpConnectionManager",
                            "stat_prefix": "edge",
                            "generate_request_id": False,
                            "route_config": _routes(classes, net),
                            "http_filters": [
                                {
                                    "name": "envoy.filters.http.router",
                                    "typed_config": {"@type": router},
                                }
                            ],
                        },
                    }
                ]
            }
        ],
    }


def _routes(classes: Sequence[RequestClass], net: SafetyNet) -> Json:
    """The route table."""
    return {
        "name": "shop",
        "response_headers_to_add": [
            {
                "header": {"key": SERVED_BY, "value": "%UPSTREAM_HOST%"},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ],
        "virtual_hosts": [
            {
                "name": "all",
                "domains": ["*"],
                "routes": [_route(request_class, net) for request_class in classes],
            }
        ],
    }


def _route(request_class: RequestClass, net: SafetyNet) -> Json:
    """One class: how it is matched, where it goes, how long it may take."""
    match: Json = {"prefix": request_class.match.path_prefix or "/"}
    if request_class.match.method:
        match["headers"] = [
            {"name": ":method", "string_match": {"exact": request_class.match.method}}
        ]
    action: Json = {
        "cluster": "keyed" if request_class.is_keyed else "free",
        "timeout": _seconds(request_class.timeout_s),
    }
    if request_class.is_keyed:
        action["hash_policy"] = [{"header": {"header_name": request_class.key_header}}]
    # Keys that only health checks move are not moved by retries either.
    leaves = net.ejects_keyed or not request_class.is_keyed
    action["retry_policy"] = retry_policy(net, is_twice=request_class.retriable, leaves=leaves)
    return {"name": request_class.name, "match": match, "route": action}


def _free_cluster(fleet: Fleet, net: SafetyNet) -> Json:
    """Every node, whoever is least busy."""
    return _cluster("free", fleet, net) | {
        "lb_policy": "LEAST_REQUEST",
        "least_request_lb_config": {
            "choice_count": net.least_request_choices,
            "slow_start_config": {"slow_start_window": _seconds(net.slow_start_s)},
        },
        "outlier_detection": outlier_detection(net),
    }


def _keyed_cluster(fleet: Fleet, net: SafetyNet) -> Json:
    """Every node, the key's home first; the next on the ring while the home is down."""
    ring: Json = {
        "lb_policy": "RING_HASH",
        "ring_hash_lb_config": {"minimum_ring_size": net.ring_size},
    }
    if net.ejects_keyed:
        ring["outlier_detection"] = outlier_detection(net)
    return _cluster("keyed", fleet, net) | ring


def _cluster(name: str, fleet: Fleet, net: SafetyNet) -> Json:
    """What both clusters share."""
    options = f"{TYPES}.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": _seconds(net.connect_timeout_s),
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [_locality(cell) for cell in fleet.cells],
        },
        "common_lb_config": {
            "healthy_panic_threshold": {"value": _percent(net.panic_ratio)},
            # Envoy gathers changes of health for a second; ours does not wait either.
            "update_merge_window": "0s",
        },
        "health_checks": [health_check(net)],
        "circuit_breakers": circuit_breakers(net),
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": options,
                "common_http_protocol_options": {"idle_timeout": _seconds(net.idle_timeout_s)},
                "explicit_http_config": {"http_protocol_options": {}},
            }
        },
    }


def _locality(cell: Cell) -> Json:
    """The nodes of one cell; keys hash to its name, so homes do not depend on free ports."""
    return {
        "locality": {"region": cell.region, "zone": cell.zone},
        "lb_endpoints": [
            {
                "endpoint": {"address": _address(node.host, node.port)},
                "metadata": {
                    "filter_metadata": {"envoy.lb": {"hash_key": f"{cell.name}/{number}"}}
                },
            }
            for number, node in enumerate(cell.nodes)
        ],
    }
