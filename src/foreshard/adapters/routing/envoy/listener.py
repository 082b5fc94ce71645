"""This module is the door: one listener, that names a request's class and finds its routes.

It depends on the classes and the settings and never on a plan, so no plan ever makes Envoy
drain a listener.
"""

from __future__ import annotations

from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.config.listener.v3.listener_components_pb2 import Filter, FilterChain
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.extensions.filters.http.fault.v3.fault_pb2 import HTTPFault
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from google.protobuf.wrappers_pb2 import BoolValue

from foreshard.adapters.routing.envoy.access_log import edge_logs, path_logs, try_logs
from foreshard.adapters.routing.envoy.bootstrap import DISCOVERY_CLUSTER
from foreshard.adapters.routing.envoy.classification import classification
from foreshard.adapters.routing.envoy.messages import ads, duration, packed, socket
from foreshard.adapters.routing.envoy.path_log import COST_HEADER
from foreshard.adapters.routing.envoy.routes import FAULT_FILTER
from foreshard.adapters.routing.envoy.settings import EnvoySettings
from foreshard.model.routing import RoutingTable

__all__ = ["LISTENER_NAME", "listener"]

LISTENER_NAME = "edge"


def listener(table: RoutingTable, settings: EnvoySettings) -> Listener:
    """The listener of one table's classes."""
    manager = Filter(
        name="envoy.filters.network.http_connection_manager",
        typed_config=packed(_manager(table, settings)),
    )
    return Listener(
        name=LISTENER_NAME,
        address=socket(settings.listen_host, settings.listen_port),
        filter_chains=[FilterChain(filters=[manager])],
        stat_prefix=LISTENER_NAME,
    )


def _manager(table: RoutingTable, settings: EnvoySettings) -> hcm.HttpConnectionManager:
    yes = BoolValue(value=True)
    name_class = TypedExtensionConfig(
        name="foreshard.classification",
        typed_config=packed(classification(table, header=settings.class_header)),
    )
    return hcm.HttpConnectionManager(
        stat_prefix=LISTENER_NAME,
        # Classes are matched by path: one path must have one spelling.
        normalize_path=yes,
        merge_slashes=True,
        # The client's address is the connection's; what it says of itself is not believed.
        use_remote_address=yes,
        # A request keeps the id it came with; making ids up is not this door's business.
        generate_request_id=BoolValue(value=False),
        early_header_mutation_extensions=[name_class],
        scoped_routes=_scopes(settings),
        http_filters=_filters(table, settings),
        access_log=[
            *edge_logs(settings.class_header),
            *path_logs(
                table.default_class,
                settings.class_header,
                cluster=DISCOVERY_CLUSTER,
                sample_ratio=settings.path_sample_ratio,
                cost_header=COST_HEADER,
            ),
        ],
        access_log_options=hcm.HttpConnectionManager.HcmAccessLogOptions(
            flush_access_log_on_new_request=True
        ),
        stream_idle_timeout=duration(settings.stream_idle_timeout_s),
        request_timeout=duration(settings.request_timeout_s),
        request_headers_timeout=duration(settings.headers_timeout_s),
    )


def _scopes(settings: EnvoySettings) -> hcm.ScopedRoutes:
    builder = hcm.ScopedRoutes.ScopeKeyBuilder
    by_class = builder.FragmentBuilder.HeaderValueExtractor(name=settings.class_header, index=0)
    return hcm.ScopedRoutes(
        name=LISTENER_NAME,
        scope_key_builder=builder(
            fragments=[builder.FragmentBuilder(header_value_extractor=by_class)]
        ),
        rds_config_source=ads(),
        scoped_rds=hcm.ScopedRds(scoped_rds_config_source=ads()),
    )


def _filters(table: RoutingTable, settings: EnvoySettings) -> list[hcm.HttpFilter]:
    classes = [route.request_class for route in table.classes]
    router = Router(
        suppress_envoy_headers=True, upstream_log=try_logs(classes, settings.class_header)
    )
    return [
        # Does nothing by itself; a shed entry of a route tells it to refuse.
        hcm.HttpFilter(name=FAULT_FILTER, typed_config=packed(HTTPFault())),
        hcm.HttpFilter(name="envoy.filters.http.router", typed_config=packed(router)),
    ]
