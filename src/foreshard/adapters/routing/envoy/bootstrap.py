"""This module is the little that an Envoy must know before discovery tells it the rest.

Only the first contact: who it is, where the control plane listens, what it counts. Everything
else comes by aggregated discovery. The reconnect pauses are short because a control plane that
restarts should find its proxies within a second (Envoy's own defaults: 1.6 to 11 s).
"""

from __future__ import annotations

import yaml

from foreshard.adapters.routing.envoy.access_log import STAT_PREFIX

__all__ = ["DISCOVERY_CLUSTER", "bootstrap", "bootstrap_text"]

DISCOVERY_CLUSTER = "foreshard-discovery"
HTTP_OPTIONS = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

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
    admin_port: int,
    is_incremental: bool = True,
) -> dict[str, object]:
    """A bootstrap as plain values.

    Args:
        node_id: Unique among the proxies.
        region: The origin region, which decides the proxy's rows.
        zone: Where the proxy stands inside the region.
        discovery: Address and port of the discovery service, which takes load reports too.
        admin_port: Where statistics are read, on loopback.
        is_incremental: Whether updates carry changes only, or the state of the world.
    """
    return {
        "node": {
            "id": node_id,
            "cluster": "foreshard",
            "locality": {"region": region, "zone": zone},
        },
        "admin": {"address": _socket("127.0.0.1", admin_port)},
        "dynamic_resources": {
            "ads_config": _api("DELTA_GRPC" if is_incremental else "GRPC"),
            "cds_config": {"ads": {}, "resource_api_version": "V3"},
            "lds_config": {"ads": {}, "resource_api_version": "V3"},
        },
        "cluster_manager": {"load_stats_config": _api("GRPC")},
        "static_resources": {"clusters": [_discovery_cluster(*discovery)]},
        "stats_flush_interval": "1s",
        "stats_config": {"stats_matcher": {"inclusion_list": {"patterns": _kept()}}},
    }


def bootstrap_text(
    *,
    node_id: str,
    region: str,
    zone: str,
    discovery: tuple[str, int],
    admin_port: int,
    is_incremental: bool = True,
) -> str:
    """The same as YAML, for `envoy --config-yaml` or a file; see `bootstrap`."""
    return yaml.safe_dump(
        bootstrap(
            node_id=node_id,
            region=region,
            zone=zone,
            discovery=discovery,
            admin_port=admin_port,
            is_incremental=is_incremental,
        ),
        sort_keys=False,
    )


def _kept() -> list[dict[str, str]]:
    kept = [{"prefix": prefix} for prefix in KEPT_PREFIXES]
    return kept + [{"suffix": suffix} for suffix in KEPT_SUFFIXES]


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


def _discovery_cluster(host: str, port: int) -> dict[str, object]:
    endpoint = {"endpoint": {"address": _socket(host, port)}}
    keepalive = {"interval": "10s", "timeout": "5s"}
    http2 = {"http2_protocol_options": {"connection_keepalive": keepalive}}
    return {
        "name": DISCOVERY_CLUSTER,
        "type": "STRICT_DNS",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": DISCOVERY_CLUSTER,
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": HTTP_OPTIONS,
                "explicit_http_config": http2,
            }
        },
    }


def _socket(host: str, port: int) -> dict[str, object]:
    return {"socket_address": {"address": host, "port_value": port}}
