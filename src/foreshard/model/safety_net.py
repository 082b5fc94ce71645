"""This module is what a balancer does by itself when nobody plans: one set of numbers for both.

The reactive twin and the predictive side run on the same net, so the numbers stand here once
and a comparison cannot be won by giving one side a worse one.
"""

from __future__ import annotations

from dataclasses import dataclass

from foreshard.model.errors import InvalidValueError

__all__ = ["SafetyNet"]

RATIOS = ("max_ejected_ratio", "failure_ratio", "panic_ratio", "retry_budget_ratio")
POSITIVE = (
    "connect_timeout_s",
    "idle_timeout_s",
    "max_open",
    "least_request_choices",
    "slow_start_s",
    "consecutive_5xx",
    "consecutive_local",
    "eject_interval_s",
    "eject_base_s",
    "eject_max_s",
    "failure_minimum_hosts",
    "failure_minimum_requests",
    "retries",
    "retry_budget_minimum",
    "backoff_base_s",
    "backoff_max_s",
    "host_attempts",
    "check_interval_s",
    "check_timeout_s",
    "unhealthy_threshold",
    "healthy_threshold",
    "ring_size",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyNet:
    """Health checks, ejection, retries and limits of one balancer.

    Attributes:
        connect_timeout_s: To open a connection to a node.
        idle_timeout_s: After this an unused connection to a node is closed; shorter than any
            server's own keep-alive, or a request meets a connection that is just being closed.
        max_open: Connections, pending requests and requests a cluster may have open; so high
            that no default limit decides the comparison (Envoy's 1,024 would, in a brown-out).
        least_request_choices: How many nodes least-request compares.
        slow_start_s: A returning node's share grows over this stretch.
        consecutive_5xx: Answers of 500 and above in a row after which a node is ejected.
        consecutive_local: Failures to connect (or resets) in a row, counted apart from
            answers, after which a node is ejected.
        eject_interval_s: How often ratios are judged and ejections end.
        eject_base_s: First ejection; it doubles, in steps of itself, with each further one.
        eject_max_s: Longest ejection.
        max_ejected_ratio: At most this share of a cluster's nodes is out.
        failure_ratio: A node failing more than this in one interval is ejected.
        failure_minimum_hosts: Nodes with enough requests needed to judge by ratio.
        failure_minimum_requests: Requests in one interval needed to judge a node; Envoy's 50
            is never reached in one second at 45 requests a second and node.
        healthy_check_ends_ejection: Envoy's default is true, which undoes the ejection of a
            node that fails requests and passes checks; it must stay false.
        ejects_keyed: Whether failures in a row also eject the owner of keys, whose backups serve
            them for that while; owners of data are never ejected, for their data stays.
        panic_ratio: With a smaller share of healthy nodes, all are used again.
        retries: Further tries of a retriable request, and of any that reached no node.
        retry_on: Envoy's names of what is retried. `reset` contains `reset-before-request`:
            a retriable class is one that a second node may be asked for after the first
            broke off, so the requests in flight when a cell is killed are saved too.
        retry_statuses: Answers that are retried.
        retry_unreached_on: Envoy's names of what is retried in classes that may be asked only
            once: where no connection came about, nothing has been asked yet.
        retry_budget_ratio: Retries under way, as a share of requests under way.
        retry_budget_minimum: Retries that are always allowed; about the requests in flight
            at one cell, or the budget of a small fleet would not cover one death.
        backoff_base_s: First pause before a retry (its upper bound; it is drawn at random).
        backoff_max_s: Longest pause.
        host_attempts: How often another node is drawn when one that failed already comes up.
        check_path: Path of the health check.
        check_interval_s: Between health checks.
        check_timeout_s: A check that takes longer has failed.
        unhealthy_threshold: Failed checks after which a node is out: with 1 s intervals a
            dead node is out, and its keys have moved, 2 to 4 s after its death.
        healthy_threshold: Passed checks after which it is back.
        ring_size: Smallest hash ring: keys differ by about 1 % between six nodes.
    """

    connect_timeout_s: float = 0.5
    idle_timeout_s: float = 30.0
    max_open: int = 10_000
    least_request_choices: int = 2
    slow_start_s: float = 10.0
    consecutive_5xx: int = 5
    consecutive_local: int = 5
    eject_interval_s: float = 1.0
    eject_base_s: float = 5.0
    eject_max_s: float = 60.0
    max_ejected_ratio: float = 0.5
    failure_ratio: float = 0.2
    failure_minimum_hosts: int = 3
    failure_minimum_requests: int = 20
    healthy_check_ends_ejection: bool = False
    ejects_keyed: bool = True
    panic_ratio: float = 0.34
    retries: int = 2
    retry_on: tuple[str, ...] = ("connect-failure", "reset", "retriable-status-codes")
    retry_statuses: tuple[int, ...] = (503,)
    retry_unreached_on: tuple[str, ...] = ("connect-failure",)
    retry_budget_ratio: float = 0.2
    retry_budget_minimum: int = 10
    backoff_base_s: float = 0.025
    backoff_max_s: float = 0.25
    host_attempts: int = 5
    check_path: str = "/health"
    check_interval_s: float = 1.0
    check_timeout_s: float = 1.0
    unhealthy_threshold: int = 3
    healthy_threshold: int = 2
    ring_size: int = 65_536

    def __post_init__(self) -> None:
        for name in POSITIVE:
            if not getattr(self, name) > 0:
                raise InvalidValueError(
                    f"safety net: {name} is {getattr(self, name)}, must be > 0"
                )
        for name in RATIOS:
            if not 0.0 < getattr(self, name) <= 1.0:
                raise InvalidValueError(
                    f"safety net: {name} is {getattr(self, name)}, must lie in (0, 1]"
                )
        if not self.eject_base_s <= self.eject_max_s:
            raise InvalidValueError(
                f"safety net: eject_base_s {self.eject_base_s} is over eject_max_s "
                f"{self.eject_max_s}"
            )
        if not self.backoff_base_s <= self.backoff_max_s:
            raise InvalidValueError(
                f"safety net: backoff_base_s {self.backoff_base_s} is over backoff_max_s "
                f"{self.backoff_max_s}"
            )
        if not self.check_path.startswith("/"):
            raise InvalidValueError(
                f"safety net: check_path is {self.check_path!r}, must start with '/'"
            )
