from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from foreshard.adapters.inspection.envoy import (
    EnvoyDump,
    EnvoyHost,
    EnvoyInfo,
    EnvoyRoute,
    parse_dump,
    parse_hosts,
    parse_info,
)
from foreshard.adapters.inspection.targets import TARGETS_PATH, parse_targets
from foreshard.app.starting import (
    Limits,
    Source,
    Wishes,
    class_of,
    drafted,
    found,
    from_envoy,
    from_prometheus,
    listed,
    write,
)
from foreshard.app.starting.gauges import proposed, read_page
from foreshard.app.starting.sighting import renamed
from foreshard.cli.interview import bytes_of, hold, steps, summary
from foreshard.config import load, parse
from foreshard.config.draft import BalancerDraft, ClassDraft, Draft, GaugeDraft, MetricDraft
from foreshard.config.schema import SCHEMA_FILE
from foreshard.config.template import asked, template
from foreshard.controller.process import hold_port
from foreshard.model.errors import ConfigError, SourceError
from foreshard.model.topology import Cell, Node

RECORDED = Path(__file__).parent / "recorded"
INFO = EnvoyInfo(version="1.40.0", state="LIVE")
GO = """\
process_cpu_seconds_total 0.16
process_max_fds 20000
process_open_fds 17
process_resident_memory_bytes 5.0e+07
process_virtual_memory_max_bytes 1.8446744073709552e+19
go_sched_gomaxprocs_threads 4
go_gc_gomemlimit_bytes 9.223372036854776e+18
"""
JVM = """\
process_cpu_seconds_total 3
jvm_memory_used_bytes{area="heap",id="G1 Old Gen"} 4e8
jvm_memory_max_bytes{area="heap",id="G1 Old Gen"} 2e9
jvm_memory_used_bytes{area="heap",id="G1 Eden Space"} 1e8
jvm_memory_max_bytes{area="heap",id="G1 Eden Space"} -1
hikaricp_connections_active{pool="main"} 3
hikaricp_connections_max{pool="main"} 10
system_cpu_count 8
"""


def host(address: str, cluster: str = "shop", **more: str) -> EnvoyHost:
    return EnvoyHost(cluster=cluster, address=address, **more)  # type: ignore[arg-type]  # texts


def cells_of(*hosts: EnvoyHost) -> dict[str, list[str]]:
    seen = from_envoy.sighted("127.0.0.1:9901", INFO, hosts, EnvoyDump())
    return {c.name: [f"{n.host}:{n.port}" for n in c.nodes] for c in seen.cells}


def test_localities_are_cells_where_there_are_several() -> None:
    hosts = [
        host("10.0.0.1:80", region="eu", zone="a"),
        host("10.0.0.2:80", region="eu", zone="a"),
        host("10.0.0.3:80", region="eu", zone="b"),
    ]
    assert cells_of(*hosts) == {"a": ["10.0.0.1:80", "10.0.0.2:80"], "b": ["10.0.0.3:80"]}
    twice = [*hosts, host("10.0.0.4:80", region="us", zone="a")]
    assert list(cells_of(*twice)) == ["eu-a", "eu-b", "us-a"]


def test_clusters_that_share_nothing_are_cells_where_there_is_one_locality() -> None:
    apart = [host("10.0.0.1:80", "one"), host("10.0.0.2:80", "two"), host("10.0.0.3:80", "two")]
    assert cells_of(*apart) == {"one": ["10.0.0.1:80"], "two": ["10.0.0.2:80", "10.0.0.3:80"]}


def test_endpoints_are_cells_where_nothing_else_tells_them_apart() -> None:
    shared = [host("10.0.0.1:80", "one"), host("10.0.0.1:80", "two"), host("10.0.0.2:80", "two")]
    assert cells_of(*shared) == {"cell-1": ["10.0.0.1:80"], "cell-2": ["10.0.0.2:80"]}


def test_clusters_that_no_route_leads_to_are_no_part_of_the_service() -> None:
    hosts = [host("10.0.0.1:80"), host("10.0.0.2:80"), host("10.9.9.9:4317", "tracing")]
    route = EnvoyRoute(
        name="",
        prefix="/",
        method="",
        clusters=("shop",),
        timeout_s=None,
        key_header="",
    )
    seen = from_envoy.sighted("x:1", INFO, hosts, EnvoyDump(routes=(route,)))
    assert len(seen.cells) == 2
    assert [c.name for c in seen.classes] == ["rest"]
    assert seen.classes[0].timeout_s == 15.0
    regex = replace(route, name="odd", prefix="", is_plain=False)
    seen = from_envoy.sighted("x:1", INFO, hosts, EnvoyDump(routes=(regex, route)))
    assert [c.name for c in seen.classes] == ["rest"]
    assert any("1 routes match by more" in note for note in seen.notes)
    chosen = from_envoy.sighted("x:1", INFO, hosts, EnvoyDump(), clusters=["tracing"])
    assert len(chosen.cells) == 1
    with pytest.raises(ConfigError, match="has no cluster video; there are shop, tracing"):
        from_envoy.sighted("x:1", INFO, hosts, EnvoyDump(), clusters=["video"])
    with pytest.raises(ConfigError, match="knows no endpoint"):
        from_envoy.sighted("x:1", INFO, [], EnvoyDump())


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "configs",
                        "cluster_statuses",
                        "host_statuses",
                        "address",
                        "listener",
                        "version",
                        "socket_address",
                        "static_listeners",
                        "route_config",
                        "virtual_hosts",
                        "routes",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=15,
    )
)
def test_an_admin_page_that_says_anything_breaks_nothing(said: object) -> None:
    text = json.dumps(said)
    parse_info(text)
    parse_hosts(text)
    parse_dump(text)


def test_a_prometheus_of_version_2_42_recorded_is_a_fleet() -> None:
    text = (RECORDED / "prometheus_2.42_targets.json").read_text(encoding="utf-8")
    seen = from_prometheus.sighted(
        "http://p", parse_targets(text), resolve=lambda a: a.replace("localhost", "127.0.0.1")
    )
    assert [(c.name, c.region, c.zone) for c in seen.cells] == [
        ("eu-1", "eu", "eua"),
        ("eu-2", "eu", "eub"),
        ("us-1", "us", "usa"),
    ]
    assert seen.cells[2].nodes == (Node(host="127.0.0.1", port=9003),)
    assert seen.metrics_path == "/metrics"
    with pytest.raises(ConfigError, match="has no target of job 'video'; its jobs are shop"):
        from_prometheus.sighted("p", parse_targets(text), job="video", resolve=str)


def test_several_jobs_are_a_question_and_not_a_guess() -> None:
    text = (RECORDED / "prometheus_2.42_targets.json").read_text(encoding="utf-8")
    targets = parse_targets(text)
    more = [*targets, replace(targets[-1], job="video")]
    with pytest.raises(ConfigError, match="has jobs shop, video; name the service's with --job"):
        from_prometheus.sighted("p", more, resolve=str)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"data": {"activeTargets": [1]}}', "<html>"])
def test_what_is_no_prometheus_is_told(text: str) -> None:
    with pytest.raises(SourceError, match="no list of targets"):
        parse_targets(text)


def test_a_typed_fleet_is_read_also_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "cells"
    file.write_text("# ours\n\neu-1=10.0.0.1:80,10.0.0.2:80@eu/eua\nus-1=10.0.0.3:80@us\n")
    seen = listed.sighted([str(file), "ap-1=10.0.0.4:80"])
    assert [(c.name, c.region, c.zone, len(c.nodes)) for c in seen.cells] == [
        ("eu-1", "eu", "eua", 2),
        ("us-1", "us", "us", 1),
        ("ap-1", "here", "here", 1),
    ]


def test_what_is_no_list_of_cells_is_refused_and_not_read_for_ever(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for place in (str(tmp_path / "fifo"), "/dev/zero"):
        with pytest.raises(ConfigError, match="it is no regular file"):
            listed.sighted([place])
    (tmp_path / "disk.img").write_bytes(bytes(2**20 + 1))
    with pytest.raises(ConfigError, match="has more than 1048576 bytes, the room of 10,000 cells"):
        listed.sighted([str(tmp_path / "disk.img")])


def test_a_typed_class_is_read() -> None:
    said = class_of("checkout=POST /checkout key=x-customer objective=0.4 timeout=2 retriable")
    assert said == ClassDraft(
        name="checkout",
        method="POST",
        path_prefix="/checkout",
        key_header="x-customer",
        objective_s=0.4,
        timeout_s=2.0,
        retriable=True,
    )
    for wrong in ("=GET", "a=GET objective=soon", "a=get"):
        with pytest.raises(ConfigError):
            class_of(wrong)


def test_pages_of_go_and_java_feed_gauges_and_unlimited_is_no_limit() -> None:
    by_name = {g.resource: g for g in proposed([read_page(GO)], Limits())}
    assert by_name["cpu"].limit == MetricDraft(name="go_sched_gomaxprocs_threads")
    assert by_name["memory"].limit is None
    assert by_name["file_descriptors"].limit == MetricDraft(name="process_max_fds")
    by_name = {g.resource: g for g in proposed([read_page(JVM)], Limits())}
    assert by_name["cpu"].limit == MetricDraft(name="system_cpu_count")
    heap = next(g for name, g in by_name.items() if "Old Gen" in name)
    assert heap.used.labels == {"area": "heap", "id": "G1 Old Gen"}
    assert not any("Eden" in name for name in by_name)
    pool = next(g for name, g in by_name.items() if "connections" in name)
    assert pool.scales_with_load
    assert not heap.scales_with_load


def test_what_a_person_says_of_limits_counts() -> None:
    limits = Limits(cpus=2.5, memory_bytes=1e9)
    by_name = {g.resource: g for g in proposed([read_page(GO)], limits)}
    assert (by_name["cpu"].limit, by_name["memory"].limit) == (2.5, 1e9)


def test_one_odd_page_does_not_blind_the_fleet() -> None:
    pages = [read_page(GO), read_page(GO), read_page("x 1\n")]
    assert {g.resource for g in proposed(pages, Limits())} == {"cpu", "memory", "file_descriptors"}


def test_cells_are_renamed_only_when_all_say_different_names() -> None:
    cells = listed.sighted(["a=10.0.0.1:80", "b=10.0.0.2:80"]).cells
    first, second = (cell.nodes[0] for cell in cells)
    assert [c.name for c in renamed(cells, {first: "x", second: "y"})] == ["x", "y"]
    assert renamed(cells, {first: "x", second: "x"}) == cells
    assert renamed(cells, {first: "x"}) == cells


NAMES = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,20}\Z")
LABELS = st.from_regex(r"\A[_-]{0,3}[A-Za-z0-9][A-Za-z0-9_-]{0,20}\Z")
METRICS = st.builds(
    MetricDraft,
    name=st.from_regex(r"\A[a-zA-Z_:][a-zA-Z0-9_:]{0,20}\Z"),
    labels=st.dictionaries(st.text(min_size=1, max_size=5), st.text(max_size=9), max_size=2),
)
CPU = GaugeDraft(
    resource="cpu", used=MetricDraft(name="x"), limit=2.0, is_counter=True, is_capacity=True
)


@given(
    service=st.text(min_size=1, max_size=20),
    names=st.lists(NAMES, min_size=1, max_size=3, unique=True),
    labels=st.lists(LABELS, min_size=1, max_size=3, unique=True),
    gauges=st.lists(
        st.builds(
            GaugeDraft,
            resource=st.text(min_size=1, max_size=9).filter(lambda r: r != "cpu"),
            used=METRICS,
            limit=METRICS | st.floats(1e-9, 1e300) | st.none(),
        ),
        max_size=3,
        unique_by=lambda g: g.resource,
    ),
    prefix=st.from_regex(r"\A/[ -~]{0,10}\Z"),
    path=st.from_regex(r"\A/[!-~]{0,10}\Z"),
)
def test_every_draft_is_a_configuration_that_says_what_was_found(
    service: str,
    names: list[str],
    labels: list[str],
    gauges: list[GaugeDraft],
    prefix: str,
    path: str,
) -> None:
    cells = tuple(
        Cell(name=n, region=n, zone=n, nodes=(Node(host=f"10.0.0.{i + 1}", port=80),))
        for i, n in enumerate(names)
    )
    draft = Draft(
        service=service,
        found_at="a test",
        cells=cells,
        classes=tuple(ClassDraft(name=n, path_prefix=prefix) for n in labels),
        default_class=labels[0],
        gauges=(CPU, *gauges),
        balancers=(BalancerDraft(admin="127.0.0.1:9901", origin=names[0]),),
        health_path=path,
        metrics_path=path,
    )
    settings = parse(template(draft, file="f.yaml"))
    assert settings.service == service
    assert settings.fleet().cells == cells
    assert [c.name for c in settings.classes] == labels
    assert settings.classes[0].match.path_prefix == prefix
    assert (settings.scrape.path, settings.scrape.health_path) == (path, path)
    known = [g for g in draft.gauges if g.limit is not None]
    numbers = [g.limit for g in known if isinstance(g.limit, float)]
    assert [g.limit for g in settings.scrape.gauges if isinstance(g.limit, float)] == numbers
    assert [g.resource for g in settings.scrape.gauges] == [g.resource for g in known]
    assert [dict(g.used.labels) for g in settings.scrape.gauges] == [
        dict(g.used.labels) for g in known
    ]
    for gauge in gauges:
        if gauge.limit is None:
            assert any(gauge.resource in each for each in asked(draft))


class Cells:
    """A real node that shows a page, and answers as the recorded Prometheus did."""

    def __init__(self, page: str) -> None:
        self.page = page
        self.hold = hold_port()

    async def __aenter__(self) -> Self:
        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            known = {"/metrics": self.page, "/healthz": "ok"}
            if request.path in known:
                return web.Response(text=known[request.path])
            if request.path == TARGETS_PATH.partition("?")[0]:
                recorded = RECORDED / "prometheus_2.42_targets.json"
                text = recorded.read_text().replace(":9001", f":{self.hold.port}")
                return web.Response(text=text, content_type="application/json")
            return web.Response(status=404)

        self.runner = web.ServerRunner(web.Server(answer))
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", self.hold.port, reuse_port=True).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.runner.cleanup()
        self.hold.release()


async def begun(source: Source, wishes: Wishes) -> tuple[Any, Draft]:
    sighting = await asyncio.to_thread(found, source)
    return sighting, await asyncio.to_thread(drafted, sighting, wishes)


async def test_a_list_of_cells_becomes_a_file_that_is_never_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "foreshard.yaml"
    async with Cells(GO) as node:
        source = Source(cells=(f"a=127.0.0.1:{node.hold.port}@eu",))
        sighting, draft = await begun(source, Wishes(service="shop"))
    assert draft.health_path == "/healthz"
    write(draft, out, is_forced=False)
    assert load(out).service == "shop"
    assert (tmp_path / SCHEMA_FILE).exists()
    text = out.read_text()
    assert "# ASK give the limit of one node" in text
    assert text.startswith(f"# yaml-language-server: $schema=./{SCHEMA_FILE}\n")
    with pytest.raises(ConfigError, match="--force overwrites it"):
        write(replace(draft, service="other"), out, is_forced=False)
    assert out.read_text() == text
    write(replace(draft, service="other"), out, is_forced=True)
    assert load(out).service == "other"
    assert sorted(os.listdir(tmp_path)) == [SCHEMA_FILE, "foreshard.yaml"]  # noqa: PTH208 - no await
    assert "limit of memory" in summary(sighting, draft)
    assert "foreshard check foreshard.yaml" in steps(draft, file="foreshard.yaml")


async def test_a_pipe_or_a_device_is_not_replaced_even_by_force(tmp_path: Path) -> None:
    async with Cells(GO) as node:
        _, draft = await begun(Source(cells=(f"a=127.0.0.1:{node.hold.port}",)), Wishes())
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(ConfigError, match=r"cannot be written \(it is no regular file\)"):
        write(draft, tmp_path / "pipe.yaml", is_forced=True)
    assert os.listdir(tmp_path) == ["pipe.yaml"]  # noqa: PTH208 - no await


async def test_a_schema_file_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / SCHEMA_FILE).write_text("{}")
    async with Cells(GO) as node:
        _, draft = await begun(Source(cells=(f"a=127.0.0.1:{node.hold.port}",)), Wishes())
    write(draft, tmp_path / "f.yaml", is_forced=False)
    assert (tmp_path / SCHEMA_FILE).read_text() == "{}"


async def test_a_server_of_recorded_prometheus_answers_is_asked_for_cells() -> None:
    async with Cells(GO) as node:
        _, draft = await begun(Source(prometheus=f"127.0.0.1:{node.hold.port}"), Wishes())
    assert [cell.name for cell in draft.cells] == ["eu-1", "eu-2", "us-1"]
    assert draft.metrics_path == "/metrics"


async def test_cpus_that_nobody_knows_are_asked_for_and_not_guessed(tmp_path: Path) -> None:
    async with Cells("process_cpu_seconds_total 1\n") as node:
        _, draft = await begun(Source(cells=(f"a=127.0.0.1:{node.hold.port}",)), Wishes())
    with pytest.raises(ConfigError, match="give --cpus"):
        write(draft, tmp_path / "f.yaml", is_forced=False)
    assert not (tmp_path / "f.yaml").exists()


async def test_what_is_next_is_not_told_of_a_file_that_could_not_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "f.yaml"

    async def begin(limits: Limits) -> None:
        source = Source(cells=(f"a=127.0.0.1:{node.hold.port}",))
        await asyncio.to_thread(
            partial(hold, out, source, Wishes(limits=limits), is_silent=True, is_forced=False)
        )

    async with Cells("process_cpu_seconds_total 1\n") as node:
        with pytest.raises(ConfigError, match="give --cpus"):
            await begin(Limits())
        assert "foreshard check" not in capsys.readouterr().out
        await begin(Limits(cpus=2.0))
    assert "foreshard check" in capsys.readouterr().out.partition(f"wrote {out}")[2]


async def test_cells_without_a_page_are_told_with_what_was_tried() -> None:
    async with Cells("") as node:
        source = Source(cells=(f"a=127.0.0.1:{node.hold.port}",))
        with pytest.raises(ConfigError, match=r"tried /metrics, /actuator/prometheus"):
            await begun(source, Wishes())


def test_sizes_are_read_as_people_write_them() -> None:
    assert bytes_of("1.5G") == 1.5 * 1024**3
    assert bytes_of("100 MiB") == 100 * 1024**2
    assert bytes_of("123") == 123.0
    for wrong in ("", "much", "0", "-1G"):
        with pytest.raises(ConfigError, match="like 512MiB"):
            bytes_of(wrong)


def dumped(*hosts: list[dict[str, object]]) -> EnvoyDump:
    """A dump of one route table with a list of routes a virtual host."""
    table = {
        "virtual_hosts": [{"domains": [f"{n}.com"], "routes": r} for n, r in enumerate(hosts)]
    }
    config = {"configs": [{"static_route_configs": [{"route_config": table}]}]}
    return parse_dump(json.dumps(config))


def leading(name: str, match: Mapping[str, object], **action: object) -> dict[str, object]:
    return {"name": name, "match": match, "route": {"cluster": "shop", **action}}


POST = {"name": ":method", "string_match": {"exact": "POST"}}
TWO_HOSTS = [host("10.0.0.1:80"), host("10.0.0.2:80")]


@pytest.mark.parametrize(
    "match",
    [
        {"prefix": "/", "headers": [{"name": "x-canary", "string_match": {"exact": "1"}}]},
        {"path": "/"},
        {"prefix": "/x", "headers": [{**POST, "invert_match": True}]},
        {"prefix": "/x", "query_parameters": [{"name": "debug"}]},
        {"safe_regex": {"regex": ".*"}},
    ],
)
def test_a_route_that_matches_by_more_makes_no_class_and_is_said(
    match: dict[str, object],
) -> None:
    dump = dumped([leading("odd", match), leading("all", {"prefix": "/"})])
    seen = from_envoy.sighted("x:1", INFO, TWO_HOSTS, dump)
    assert [c.name for c in seen.classes] == ["all"]
    assert any("1 routes match by more than prefix and method" in note for note in seen.notes)


def test_routes_of_a_second_host_are_left_out_and_said() -> None:
    dump = dumped([leading("a", {"prefix": "/"})], [leading("b", {"prefix": "/"})])
    seen = from_envoy.sighted("x:1", INFO, TWO_HOSTS, dump)
    assert [c.name for c in seen.classes] == ["a"]
    assert any("further hosts" in note for note in seen.notes)


@pytest.mark.parametrize(
    ("method", "retry_on", "is_retriable"),
    [
        ("POST", "connect-failure,refused-stream", False),
        ("POST", "5xx", False),
        ("GET", "connect-failure", False),
        ("GET", "reset, connect-failure", True),
    ],
)
def test_only_what_envoy_asks_twice_after_any_failure_is_retriable(
    method: str, retry_on: str, *, is_retriable: bool
) -> None:
    match = {"prefix": "/pay", "headers": [{**POST, "string_match": {"exact": method}}]}
    dump = dumped([leading("pay", match, retry_policy={"retry_on": retry_on})])
    seen = from_envoy.sighted("x:1", INFO, TWO_HOSTS, dump)
    assert [c.retriable for c in seen.classes] == [is_retriable]
    assert any("served twice" in note for note in seen.notes) is not is_retriable


def test_a_route_without_a_time_limit_is_said() -> None:
    dump = dumped([leading("watch", {"prefix": "/watch"}, timeout="0s")])
    seen = from_envoy.sighted("x:1", INFO, TWO_HOSTS, dump)
    assert seen.classes[0].timeout_s == 15.0
    assert any("watch: Envoy sets no time limit" in note for note in seen.notes)
