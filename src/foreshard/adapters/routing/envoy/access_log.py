"""This module is what Envoy counts for Foreshard: per class and node, in plain counters.

Three logs. The *arrived* log counts requests as they come in: demand, also while a cell holds on
to every one of them. The *edge* log counts them as they end: what became of them. The *try* log
counts every attempt at a node: a retry that saved a request must not make the node
that failed it look perfect. Durations are summed in milliseconds beside the counts, because
Envoy's histograms wait for a flush and cost ten times as much to read. Counters:

    foreshard.arrived.class.<class>
    foreshard.edge.class.<class>.code.<status>.flags.<response flags>
    foreshard.try.class.<class>.host.<address>.code.<status, 0 = no answer>
    foreshard.try_ms.class.<class>.host.<address>
    foreshard.slow.class.<class>.host.<address>      answered, but over the class's objective

A fourth one tells no counts but the paths of requests that match no class, of one of some, and
sends them to the control plane (`path_log`): the only names here that strangers make up.
"""

from __future__ import annotations

from collections.abc import Iterable

from envoy.config.accesslog.v3.accesslog_pb2 import (
    AccessLog,
    AccessLogFilter,
    AndFilter,
    ComparisonFilter,
    DurationFilter,
    HeaderFilter,
    LogTypeFilter,
    RuntimeFilter,
    StatusCodeFilter,
)
from envoy.config.core.v3.base_pb2 import RuntimeUInt32
from envoy.config.core.v3.config_source_pb2 import ApiVersion
from envoy.config.core.v3.grpc_service_pb2 import GrpcService
from envoy.config.route.v3.route_components_pb2 import HeaderMatcher
from envoy.data.accesslog.v3.accesslog_pb2 import AccessLogType
from envoy.extensions.access_loggers.grpc.v3 import als_pb2
from envoy.extensions.access_loggers.stats.v3 import stats_pb2
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from envoy.type.v3.percent_pb2 import FractionalPercent
from google.protobuf.wrappers_pb2 import UInt64Value

from foreshard.adapters.routing.envoy.messages import packed
from foreshard.model.workload import RequestClass

__all__ = ["PATH_LOGGER", "STAT_PREFIX", "edge_logs", "path_logs", "try_logs"]

STAT_PREFIX = "foreshard"
"""First part of every counter's name; the reader of the statistics looks for it."""

PATH_LOGGER = "envoy.access_loggers.http_grpc"
"""Name of the log that tells paths."""

FIRST_ANSWER = 100
FIRST_FAILURE = 500


def edge_logs(class_header: str) -> list[AccessLog]:
    """One count for every request that came in, and one when it has ended.

    The listener must flush its log on each new request, see `HcmAccessLogOptions`.
    """
    of_class = _class_tag(class_header)
    outcome = [
        of_class,
        _tag(name="code", value_format="%RESPONSE_CODE%"),
        _tag(name="flags", value_format="%RESPONSE_FLAGS%"),
    ]
    return [
        _log([_one("arrived", [of_class])], only=_at(AccessLogType.DownstreamStart)),
        _log([_one("edge", outcome)], only=_at(AccessLogType.DownstreamEnd)),
    ]


def try_logs(classes: Iterable[RequestClass], class_header: str) -> list[AccessLog]:
    """One count for every attempt at a node, and one more for each slow one."""
    node = [_class_tag(class_header), _tag(name="host", value_format="%UPSTREAM_HOST%")]
    code = _tag(name="code", value_format="%RESPONSE_CODE%")
    time = stats_pb2.Config.Counter(
        stat=stats_pb2.Config.Stat(name="try_ms", tags=node), value_format="%DURATION%"
    )
    logs = [_log([_one("try", [*node, code]), time])]
    logs += [_log([_one("slow", node)], only=_slow(c, class_header)) for c in classes]
    return logs


def path_logs(
    default_class: str, class_header: str, *, cluster: str, sample_ratio: float, cost_header: str
) -> list[AccessLog]:
    """The paths of requests that match no class, for the access log service; none for ratio 0.

    Args:
        default_class: That takes what matches none.
        class_header: Carries the class.
        cluster: Where the service is.
        sample_ratio: Part of the requests that is told, in [0, 1].
        cost_header: Of the answer, in which it says what it cost.
    """
    if not sample_ratio > 0.0:
        return []
    some = RuntimeFilter(
        runtime_key="foreshard.path_sample",
        percent_sampled=FractionalPercent(
            numerator=round(1e6 * sample_ratio), denominator=FractionalPercent.MILLION
        ),
        # Whoever chooses a request's id must not choose what is told.
        use_independent_randomness=True,
    )
    parts = [
        _at(AccessLogType.DownstreamEnd),
        _of_class(default_class, class_header),
        AccessLogFilter(runtime_filter=some),
    ]
    config = als_pb2.HttpGrpcAccessLogConfig(
        common_config=als_pb2.CommonGrpcAccessLogConfig(
            log_name="foreshard.paths",
            transport_api_version=ApiVersion.V3,
            grpc_service=GrpcService(envoy_grpc=GrpcService.EnvoyGrpc(cluster_name=cluster)),
        ),
        additional_response_headers_to_log=[cost_header],
    )
    only = AccessLogFilter(and_filter=AndFilter(filters=parts))
    return [AccessLog(name=PATH_LOGGER, filter=only, typed_config=packed(config))]


def _of_class(name: str, class_header: str) -> AccessLogFilter:
    exactly = HeaderMatcher(name=class_header, string_match=StringMatcher(exact=name))
    return AccessLogFilter(header_filter=HeaderFilter(header=exactly))


def _slow(request_class: RequestClass, class_header: str) -> AccessLogFilter:
    of_class = _of_class(request_class.name, class_header)
    objective_ms = round(1000.0 * request_class.objective_s)
    late = AccessLogFilter(
        duration_filter=DurationFilter(
            comparison=_compare(ComparisonFilter.GE, objective_ms + 1, "foreshard.objective_ms")
        )
    )
    parts = [late, of_class]
    for operator, status in (
        (ComparisonFilter.GE, FIRST_ANSWER),
        (ComparisonFilter.LE, FIRST_FAILURE - 1),
    ):
        comparison = _compare(operator, status, "foreshard.status")
        parts.append(AccessLogFilter(status_code_filter=StatusCodeFilter(comparison=comparison)))
    return AccessLogFilter(and_filter=AndFilter(filters=parts))


def _at(moment: AccessLogType.ValueType) -> AccessLogFilter:
    return AccessLogFilter(log_type_filter=LogTypeFilter(types=[moment]))


def _compare(operator: int, value: int, key: str) -> ComparisonFilter:
    return ComparisonFilter(op=operator, value=RuntimeUInt32(default_value=value, runtime_key=key))


def _tag(*, name: str, value_format: str) -> stats_pb2.Config.Tag:
    return stats_pb2.Config.Tag(name=name, value_format=value_format)


def _class_tag(class_header: str) -> stats_pb2.Config.Tag:
    return _tag(name="class", value_format=f"%REQ({class_header})%")


def _one(name: str, tags: Iterable[stats_pb2.Config.Tag]) -> stats_pb2.Config.Counter:
    stat = stats_pb2.Config.Stat(name=name, tags=tags)
    return stats_pb2.Config.Counter(stat=stat, value_fixed=UInt64Value(value=1))


def _log(
    counters: list[stats_pb2.Config.Counter], *, only: AccessLogFilter | None = None
) -> AccessLog:
    config = stats_pb2.Config(stat_prefix=STAT_PREFIX, counters=counters)
    return AccessLog(name="envoy.access_loggers.stats", filter=only, typed_config=packed(config))
