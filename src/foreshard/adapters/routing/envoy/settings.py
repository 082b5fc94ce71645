"""This module is what an operator may set about the Envoys that Foreshard steers.

Nothing here depends on a plan: a changed setting is a changed listener or cluster, a changed
plan is only weights.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from foreshard.model.errors import InvalidValueError
from foreshard.model.routing import RETRY_AFTER_S
from foreshard.model.safety_net import SafetyNet

__all__ = ["EnvoySettings"]

POSITIVE = ("stream_idle_timeout_s", "request_timeout_s", "headers_timeout_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvoySettings:
    """How requests enter Envoy and what guards them; all proxies of a fleet share it.

    Attributes:
        listen_host: Address that Envoy listens on.
        listen_port: Port that Envoy listens on.
        class_header: Request header that carries the class to the cells; one that comes from
            outside is overwritten, so it can be trusted behind the edge.
        served_by_header: Response header that names the node which answered; "" = none.
        net: The reactive safety net underneath the plan.
        active_request_bias: How strongly requests in flight pull a node's weight down, when
            weights differ: weight / (in flight + 1) ** bias.
        expected_in_flight: Requests of one class that a proxy has open as a rule; weights are
            corrected for the bias at this point (`endpoints.node_weights`).
        retry_after_s: What a shed request is told in `Retry-After`.
        failover_table_size: Entries of the table (Maglev) that spreads a dead cell's keys
            over its backups; a prime, small because every keyed class has one for each cell.
        stream_idle_timeout_s: After this much silence a request is given up.
        request_timeout_s: In this time a client has to send its whole request.
        headers_timeout_s: In this time a client has to send its request's headers.
        endpoint_metrics: ORCA metrics that are passed on by load reports; of a map one key, or
            all (`request_cost.*`).
        path_sample_ratio: Part of the requests that match no class whose path is told to the
            control plane, in [0, 1]; 0 = none is.
    """

    listen_host: str = "127.0.0.1"
    listen_port: int
    class_header: str = "x-foreshard-class"
    served_by_header: str = ""
    net: SafetyNet = field(default_factory=SafetyNet)
    active_request_bias: float = 0.5
    expected_in_flight: float = 10.0
    retry_after_s: int = RETRY_AFTER_S
    failover_table_size: int = 1021
    stream_idle_timeout_s: float = 60.0
    request_timeout_s: float = 30.0
    headers_timeout_s: float = 10.0
    endpoint_metrics: tuple[str, ...] = (
        "cpu_utilization",
        "mem_utilization",
        "application_utilization",
        "request_cost.*",
        # Envoy's parser of the text form knows no costs, so that they travel as named metrics.
        "named_metrics.cost.cpu",
        "named_metrics.cost.memory",
    )
    path_sample_ratio: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.listen_port < 65_536:
            raise InvalidValueError(f"listen_port is {self.listen_port}, must be 1 to 65535")
        if not self.class_header or self.class_header != self.class_header.lower():
            raise InvalidValueError(
                f"class_header is {self.class_header!r}, must be a header name in lower case"
            )
        if not self.active_request_bias >= 0.0:
            raise InvalidValueError(
                f"active_request_bias is {self.active_request_bias}, must be 0 or more"
            )
        if not self.expected_in_flight >= 0.0:
            raise InvalidValueError(
                f"expected_in_flight is {self.expected_in_flight}, must be 0 or more"
            )
        if not 0.0 <= self.path_sample_ratio <= 1.0:
            raise InvalidValueError(
                f"path_sample_ratio is {self.path_sample_ratio}, must be 0 to 1"
            )
        if self.retry_after_s < 0:
            raise InvalidValueError(f"retry_after_s is {self.retry_after_s}, must be 0 or more")
        for name in POSITIVE:
            if not getattr(self, name) > 0.0:
                raise InvalidValueError(f"{name} is {getattr(self, name)}, must be > 0")
