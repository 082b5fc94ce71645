"""This module is the little that an Envoy must know before discovery tells it the rest.

Only the first contact: who it is, where the control plane listens, what it counts. Everything
else comes by aggregated discovery. The reconnect pauses are short because a control plane that
restarts should find its proxies within a second (Envoy's own defaults: 1.6 to 11 s).

A relay is a second priority of the same cluster, so that Envoy's own load balancing decides
whom to ask. Health checks find a control plane that is dead, unreachable or hung within half a
second; they move nobody who is connected, that is the relay's part (see `docs/decisions/`).
"""

from __future__ import annotations

import yaml

from foreshard.adapters.routing.envoy.access_log import STAT_PREFIX

__all__ = ["DISCOVERY_CLUSTER", "bootstrap", "bootstrap_text", "statistics"]

DISCOVERY_CLUSTER = "foreshard-discovery"
HTTP_OPTIONS = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

# The first check of a starting Envoy decides whom it asks; what is down is looked at often, since
# its return is waited for, and what is up seldom, since nobody who is connected is moved.
HEALTH_CHECK: dict[str, object] = {
    "timeout": "0.5s",
    "interval": "5s",
    "no_traffic_interval": "0.25s",
    "unhealthy_interval": "0.25s",
    "unhealthy_threshold": 2,
    "healthy_threshold": 1,
    "grpc_health_check": {},
}

# What a reader of the statistics wants. Everything else is not even allocated: it is most of a
# cluster's memory, and most of the time that a scrape takes.
KEPT_PREFIXES = (
    f"{STAT_PREFIX}.",
    "cluster_manager.",
    "control_plane.",
    "http.edge.downstream_rq_",
    "http.edge.no_",
    "listener_manager.",
    "server.",
)
KEPT_SUFFIXES = (
    ".membership_healthy",
    ".membership_total",
    ".outlier_detection.ejections_active",
    ".update_rejected",
    ".update_success",
    ".upstream_rq_active",
    ".upstream_rq_retry",
)


def bootstrap(
    *,
    node_id: str,
    region: str,
    zone: str,
    discovery: tuple[str, int],
    admin: tuple[str, int],
    is_incremental: bool = True,
    relay: tuple[str, int] | None = None,
) -> dict[str, object]:
    """A bootstrap as plain values.

    Args:
        node_id: Unique among the proxies.
        region: The origin region, which decides the proxy's rows.
        zone: Where the proxy stands inside the region.
        discovery: Address and port of the discovery service, which takes load reports too.
        admin: Address and port where statistics are read. The page can also end the proxy:
            anything but loopback must be fenced.
        is_incremental: Whether updates carry changes only, or the state of the world.
        relay: Address and port of a relay; asked while the discovery service does not answer.
    """
    return {
        "node": {
            "id": node_id,
            "cluster": "foreshard",
            "locality": {"region": region, "zone": zone},
        },
        "admin": {"address": _socket(*admin)},
        "dynamic_resources": {
            "ads_config": _api("DELTA_GRPC" if is_incremental else "GRPC"),
            "cds_config": {"ads": {}, "resource_api_version": "V3"},
            "lds_config": {"ads": {}, "resource_api_version": "V3"},
        },
        "cluster_manager": {"load_stats_config": _api("GRPC")},
        "static_resources": {"clusters": [_discovery_cluster(discovery, relay)]},
        **statistics(),
    }


def bootstrap_text(
    *,
    node_id: str,
    region: str,
    zone: str,
    discovery: tuple[str, int],
    admin: tuple[str, int],
    is_incremental: bool = True,
    relay: tuple[str, int] | None = None,
) -> str:
    """The same as YAML, for `envoy --config-yaml` or a file; see `bootstrap`."""
    return yaml.safe_dump(
        bootstrap(
            node_id=node_id,
            region=region,
            zone=zone,
            discovery=discovery,
            admin=admin,
            is_incremental=is_incremental,
            relay=relay,
        ),
        sort_keys=False,
    )


def statistics() -> dict[str, object]:
    """What a proxy counts, and how often it says so."""
    kept = [{"prefix": prefix} for prefix in KEPT_PREFIXES]
    kept += [{"suffix": suffix} for suffix in KEPT_SUFFIXES]
    return {
        "stats_flush_interval": "1s",
        "stats_config": {"stats_matcher": {"inclusion_list": {"patterns": kept}}},
    }


def _api(kind: str) -> dict[str, object]:
    back_off = {"base_interval": "0.1s", "max_interval": "1s"}
    service = {
        "cluster_name": DISCOVERY_CLUSTER,
        "retry_policy": {"retry_back_off": back_off},
    }
    return {
        "api_type": kind,
        "transport_api_version": "V3",
        "set_node_on_first_message_only": True,
        "grpc_services": [{"envoy_grpc": service}],
    }


def _discovery_cluster(
    discovery: tuple[str, int], relay: tuple[str, int] | None
) -> dict[str, object]:
    keepalive = {"interval": "10s", "timeout": "5s"}
    http2 = {"http2_protocol_options": {"connection_keepalive": keepalive}}
    endpoints: list[dict[str, object]] = [{"lb_endpoints": [_endpoint(*discovery)]}]
    checks: dict[str, object] = {}
    if relay is not None:
        endpoints.append({"priority": 1, "lb_endpoints": [_endpoint(*relay)]})
        checks = {"health_checks": [HEALTH_CHECK]}
    return {
        "name": DISCOVERY_CLUSTER,
        "type": "STRICT_DNS",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": DISCOVERY_CLUSTER,
            "endpoints": endpoints,
        },
        **checks,
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": HTTP_OPTIONS,
                "explicit_http_config": http2,
            }
        },
    }


def _endpoint(host: str, port: int) -> dict[str, object]:
    return {"endpoint": {"address": _socket(host, port)}}


def _socket(host: str, port: int) -> dict[str, object]:
    return {"socket_address": {"address": host, "port_value": port}}
