"""This module is one small route table for each class: changing one class is one small message.

A shed entry repeats a cluster of the class with an abort in place of the request, so shedding
is exact, counted under its class, and for a keyed class stays with the same keys.
"""

from __future__ import annotations

from collections.abc import Iterator

from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.config.route.v3.route_components_pb2 import (
    Route,
    RouteAction,
    RouteMatch,
    VirtualHost,
    WeightedCluster,
)
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.config.route.v3.scoped_route_pb2 import ScopedRouteConfiguration
from envoy.extensions.filters.http.fault.v3.fault_pb2 import FaultAbort, HTTPFault
from envoy.type.v3.percent_pb2 import FractionalPercent
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from foreshard.adapters.routing.envoy.clusters import free_name, keyed_name
from foreshard.adapters.routing.envoy.messages import duration, packed
from foreshard.adapters.routing.envoy.net import retry_policy
from foreshard.adapters.routing.envoy.settings import EnvoySettings
from foreshard.model.errors import SinkError
from foreshard.model.routing import ClassRoute, Row, SlotRow, WeightRow
from foreshard.model.workload import RequestClass

__all__ = ["FAULT_FILTER", "LARGEST_SUM", "route_table", "scope"]

FAULT_FILTER = "envoy.filters.http.fault"
SHED_STATUS = 429
LARGEST_SUM = 2**32 - 1

Weighted = tuple[str, int, bool]
"""Cluster, weight, and whether its share is shed."""


def scope(request_class: str) -> ScopedRouteConfiguration:
    """Sends what carries this class's header to the class's own route table."""
    fragment = ScopedRouteConfiguration.Key.Fragment(string_key=request_class)
    return ScopedRouteConfiguration(
        name=request_class,
        route_configuration_name=request_class,
        key=ScopedRouteConfiguration.Key(fragments=[fragment]),
    )


def route_table(route: ClassRoute, row: Row, settings: EnvoySettings) -> RouteConfiguration:
    """The class's requests over its clusters.

    Raises:
        SinkError: Envoy would refuse the weights.
    """
    request_class = route.request_class
    action = RouteAction(
        timeout=duration(request_class.timeout_s),
        retry_policy=retry_policy(request_class, settings.net),
    )
    entries = list(_entries(request_class, row))
    total = sum(weight for _, weight, _ in entries)
    if total > LARGEST_SUM:
        raise SinkError(
            f"class {request_class.name}: weights sum to {total}, Envoy takes at most "
            f"{LARGEST_SUM}; apportion a smaller total"
        )
    if len(entries) == 1:
        action.cluster = entries[0][0]
    else:
        action.weighted_clusters.CopyFrom(
            WeightedCluster(clusters=[_weighted(entry, settings) for entry in entries])
        )
    if request_class.is_keyed:
        by_header = RouteAction.HashPolicy.Header(header_name=request_class.key_header)
        action.hash_policy.append(RouteAction.HashPolicy(header=by_header))
        if len(entries) > 1:
            action.weighted_clusters.use_hash_policy.CopyFrom(BoolValue(value=True))
    every = Route(name=request_class.name, match=RouteMatch(prefix="/"), route=action)
    host = VirtualHost(name=request_class.name, domains=["*"], routes=[every])
    table = RouteConfiguration(name=request_class.name, virtual_hosts=[host])
    if settings.served_by_header:
        table.response_headers_to_add.append(_header(settings.served_by_header, "%UPSTREAM_HOST%"))
    return table


def _entries(request_class: RequestClass, row: Row) -> Iterator[Weighted]:
    match row:
        case WeightRow():
            name = free_name(request_class.name)
            yield name, sum(row.weights.values()), False
            if row.shed:
                yield name, row.shed, True
        case SlotRow():
            yield from _slots(request_class.name, row)


def _slots(request_class: str, row: SlotRow) -> Iterator[Weighted]:
    """Runs in slot order; order and lengths are what the hash is compared with."""
    stand_in = next(run.owner for run in row.runs if run.owner)
    for run in row.runs:
        yield keyed_name(request_class, run.owner or stand_in), run.length, not run.owner


def _weighted(entry: Weighted, settings: EnvoySettings) -> WeightedCluster.ClusterWeight:
    name, weight, is_shed = entry
    cluster = WeightedCluster.ClusterWeight(name=name, weight=UInt32Value(value=weight))
    if is_shed:
        cluster.typed_per_filter_config[FAULT_FILTER].CopyFrom(packed(_refusal()))
        cluster.response_headers_to_add.append(_header("retry-after", str(settings.retry_after_s)))
    return cluster


def _header(key: str, value: str) -> HeaderValueOption:
    return HeaderValueOption(
        header=HeaderValue(key=key, value=value),
        append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
    )


def _refusal() -> HTTPFault:
    everything = FractionalPercent(numerator=100, denominator=FractionalPercent.HUNDRED)
    return HTTPFault(abort=FaultAbort(http_status=SHED_STATUS, percentage=everything))
