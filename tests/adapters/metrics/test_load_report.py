from __future__ import annotations

import asyncio

import pytest
from envoy.config.core.v3.base_pb2 import Locality
from envoy.config.endpoint.v3.load_report_pb2 import ClusterStats, UpstreamLocalityStats
from envoy.service.load_stats.v3.lrs_pb2 import LoadStatsRequest

from foreshard.adapters.metrics.load_report import ReportedTraffic, Told
from foreshard.model.telemetry import Missing
from foreshard.model.topology import Cell, Node
from foreshard.model.workload import Flow
from foreshard.ports import BalancerReading

CELLS = tuple(
    Cell(name=name, region="eu", zone="a", nodes=(Node(host="192.0.2.1", port=80),))
    for name in ("one", "two")
)


def report(*rows: tuple[str, str, int, int]) -> bytes:
    """Rows of cluster, cell, answered well, answered badly."""
    stats = [
        ClusterStats(
            cluster_name=cluster,
            upstream_locality_stats=[
                UpstreamLocalityStats(
                    locality=Locality(sub_zone=cell),
                    total_successful_requests=well,
                    total_error_requests=badly,
                    total_requests_in_progress=3,
                )
            ],
        )
        for cluster, cell, well, badly in rows
    ]
    return bytes(LoadStatsRequest(cluster_stats=stats).SerializeToString())


def page(uptime_s: int, *, arrived: int, shed: int = 0) -> str:
    return (
        f"foreshard.arrived.class.cart: {arrived}\n"
        f"foreshard.edge.class.cart.code.429.flags.FI: {shed}\n"
        f"server.uptime: {uptime_s}\n"
    )


def told(*said: tuple[str, bytes, str]) -> list[Told]:
    return [Told(proxy=p, origin="eu", reports=(body,), page=text) for p, body, text in said]


def readings(*looks: list[Told]) -> list[BalancerReading | Missing]:
    """Two seconds lie between two looks."""
    now_s, rest = iter(range(0, 100, 2)), iter(looks)
    source = ReportedTraffic(CELLS, lambda: next(rest), now_s=lambda: float(next(now_s)))
    return [asyncio.run(source.read()) for _ in looks]


def test_reports_of_all_proxies_add_up_by_cell_and_class() -> None:
    first = told(("a", b"", page(1, arrived=5)), ("b", b"", page(1, arrived=0)))
    rows = [("free/cart", "one", 6, 2), ("keyed/user/two", "two", 4, 0), ("xds", "one", 9, 9)]
    second = told(
        ("a", report(*rows), page(3, arrived=25, shed=6)),
        ("b", report(("free/cart", "one", 2, 0)), page(3, arrived=2)),
    )
    missing, found = readings(first, second)
    assert isinstance(missing, Missing)
    assert isinstance(found, BalancerReading)
    assert found.interval_s == 2.0
    assert found.traffic["one"]["cart"].rate_rps == pytest.approx(5.0)
    assert found.traffic["one"]["cart"].failed_ratio == pytest.approx(0.2)
    assert set(found.traffic["two"]) == {"user"}
    assert found.in_flight == {"one": 6.0, "two": 3.0}
    assert found.demand_rps == {Flow("eu", "cart"): 11.0}
    assert found.shed_rps == {Flow("eu", "cart"): 3.0}


def test_a_proxy_that_is_new_or_restarted_makes_a_look_missing() -> None:
    old = told(("a", b"", page(9, arrived=5)))
    for new in (told(("a", b"", page(1, arrived=6))), told(("b", b"", page(9, arrived=6)))):
        found = readings(old, new)[1]
        assert isinstance(found, Missing)
        assert new[0].proxy in found.because


def test_a_report_that_is_none_is_said_to_be() -> None:
    old = told(("a", b"", page(1, arrived=5)))
    found = readings(old, told(("a", b"\xff\xff", page(2, arrived=6))))[1]
    assert isinstance(found, Missing)
    assert "load report" in found.because
