from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from foreshard.adapters.inspection.envoy import EnvoyInfo
from foreshard.adapters.inspection.http import Answer, Asker, Silent
from foreshard.adapters.metrics.gauges import GaugeSpec, MetricRef
from foreshard.app.checking.balancers import NEEDED, judge_balancers
from foreshard.app.checking.capacity import judge_capacity
from foreshard.app.checking.cells import judge_cells
from foreshard.app.checking.check import _key
from foreshard.app.checking.door import judge_door
from foreshard.app.checking.facts import BalancerFacts, NodeFacts, PlaceFacts
from foreshard.app.checking.finding import Checkup, Finding, Mark, Section, green, told
from foreshard.app.checking.gauges import judge_gauges
from foreshard.app.checking.looking import look_at_place
from foreshard.app.checking.surroundings import judge_surroundings
from foreshard.app.places import alone
from foreshard.cli.checklist import checklist
from foreshard.config import parse
from foreshard.config.settings import ScrapeSettings
from foreshard.model.errors import InvalidValueError
from tests.test_config import text

CPU = GaugeSpec(
    resource="cpu",
    used=MetricRef(name="process_cpu_seconds_total"),
    limit=2.0,
    is_counter=True,
    scales_with_load=True,
    is_capacity=True,
)
MEMORY = GaugeSpec(
    resource="memory",
    used=MetricRef(name="process_resident_memory_bytes"),
    limit=MetricRef(name="memory_limit_bytes"),
)
CROSS = "\N{MULTIPLICATION SIGN}"
SCRAPE = ScrapeSettings.model_validate(
    {"gauges": [{"resource": "cpu", "used": {"metric": "x"}, "limit": 1}]}
)


def page(cpu: float = 10.0, memory: float = 50.0, limit: float = 100.0, **more: object) -> Answer:
    body = (
        f"process_cpu_seconds_total {cpu}\nprocess_resident_memory_bytes {memory}\n"
        f"memory_limit_bytes {limit}\n"
    )
    return replace(Answer(status=200, body=body, took_s=0.01, skew_s=0.0), **more)  # type: ignore[arg-type]  # by name


def node(cell: str = "a", **changes: object) -> NodeFacts:
    facts = NodeFacts(
        cell=cell,
        address=f"10.0.0.{ord(cell[0])}:80",
        health=Answer(status=200, body="", took_s=0.01),
        page=page(),
        again=page(cpu=11.0),
        gap_s=2.0,
        requests=100,
    )
    return replace(facts, **changes)  # type: ignore[arg-type]  # by name


def balancer(**changes: object) -> BalancerFacts:
    facts = BalancerFacts(
        address="127.0.0.1:9901",
        origin="eu",
        info=EnvoyInfo(version="1.40.0", state="LIVE", region="eu", extensions=frozenset(NEEDED)),
        discovery="127.0.0.1:18000",
        is_connected=True,
        counted=12,
        listeners=("127.0.0.1:10000",),
    )
    return replace(facts, **changes)  # type: ignore[arg-type]  # by name


def bad(found: Iterable[Finding]) -> list[tuple[str, str]]:
    return [(one.mark.value, one.says) for one in found if one.mark is not Mark.GREEN]


def only(found: Iterable[Finding]) -> Finding:
    worse = [one for one in found if one.mark is not Mark.GREEN]
    assert len(worse) == 1, worse
    return worse[0]


def test_healthy_cells_are_green() -> None:
    nodes = [node("a"), node("b")]
    assert not bad(judge_cells(nodes, SCRAPE))
    assert not bad(judge_gauges(nodes, [CPU, MEMORY]))
    assert not bad(judge_capacity(nodes, [CPU, MEMORY], ceiling=0.85))


def test_a_cell_without_any_living_node_is_red_and_one_with_some_is_amber() -> None:
    gone = Silent(because="refuses connections")
    found = only(judge_cells([node("a", silent=gone), node("b")], SCRAPE))
    assert (found.mark, found.says) == (Mark.RED, "cell a: 10.0.0.97:80 refuses connections")
    half = [node("a", silent=gone), node("a", address="10.0.0.8:80"), node("b")]
    assert only(judge_cells(half, SCRAPE)).mark is Mark.AMBER


def test_many_dead_cells_are_one_line() -> None:
    gone = Silent(because="does not answer within 1.5 s")
    nodes = [node(f"c{n}", silent=gone) for n in range(50)]
    assert "and 44 more" in only(judge_cells(nodes, SCRAPE)).says


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"health": Answer(status=404, body="", took_s=0.0)}, "/health answers 404"),
        ({"health": Answer(status=503, body="", took_s=0.0)}, "/health answers 503"),
        ({"page": Answer(status=404, body="", took_s=0.0)}, "/metrics answers 404"),
        ({"page": Silent(because="answers no HTTP")}, "/metrics answers no HTTP"),
        ({"page": page(took_s=1.2)}, "takes up to 1.20 s"),
        ({"page": page(skew_s=-40.0)}, "differs from ours by up to -40 s"),
    ],
)
def test_what_a_node_does_wrong_is_told(changes: dict[str, Any], words: str) -> None:
    found = only(judge_cells([node("a", **changes), node("b")], SCRAPE))
    assert words in found.says
    assert found.means
    assert found.todo


def test_a_wrong_metric_name_is_red_and_its_neighbour_is_named() -> None:
    wrong = replace(MEMORY, used=MetricRef(name="process_resident_memory"))
    found = only(judge_gauges([node("a"), node("b")], [CPU, wrong]))
    assert found.mark is Mark.RED
    assert found.says == "gauge memory: no page has process_resident_memory"
    assert "did you mean process_resident_memory_bytes" in found.todo


def test_a_metric_that_is_there_under_other_labels_is_told_so() -> None:
    wrong = replace(MEMORY, used=MetricRef(name=MEMORY.used.name, labels={"pool": "x"}))
    assert "but not with these labels" in only(judge_gauges([node()], [CPU, wrong])).todo


def test_a_gauge_that_one_cell_lacks_is_amber_but_red_where_it_is_the_capacity() -> None:
    bare = Answer(status=200, body="process_cpu_seconds_total 1\n", took_s=0.0)
    nodes = [
        node("a"),
        node("b", page=bare, again=replace(bare, body=bare.body.replace("1", "2"))),
    ]
    marks = {one.mark for one in judge_gauges(nodes, [CPU, MEMORY]) if one.mark is not Mark.GREEN}
    assert marks == {Mark.AMBER}
    empty = Answer(status=200, body="x 1\n", took_s=0.0)
    nodes = [node("a"), node("b", page=empty, again=empty)]
    assert ("red", "gauge cpu: missing process_cpu_seconds_total at b") in bad(
        judge_gauges(nodes, [CPU, MEMORY])
    )


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (page(limit=0.0), "is 0, a limit must be > 0"),
        (page(memory=float("nan")), "must be a finite number"),
        (page(memory=-1.0), "must be a finite number, 0 or more"),
        (page(limit=2.0**63), "which means none"),
        (page(memory=200.0), "200 used of 100"),
    ],
)
def test_a_gauge_that_cannot_be_is_red(said: Answer, words: str) -> None:
    found = only(judge_gauges([node(page=said)], [CPU, MEMORY]))
    assert found.mark is Mark.RED
    assert words in found.says


def test_a_counter_that_stands_still_is_a_lie_only_while_requests_are_served() -> None:
    def still(requests: int | None) -> Finding:
        return only(judge_gauges([node(again=page(), requests=requests)], [CPU, MEMORY]))

    assert still(200).mark is Mark.RED
    assert "while 200 requests were sent" in still(200).says
    assert still(0).mark is Mark.AMBER
    assert still(None).mark is Mark.AMBER


def test_a_counter_that_fell_is_a_restart_and_no_lie() -> None:
    assert not bad(judge_gauges([node(again=page(cpu=0.1))], [CPU, MEMORY]))


def test_what_no_gauge_watches_is_told() -> None:
    assert only(judge_gauges([node()], [CPU])).mark is Mark.RED
    disk = replace(MEMORY, resource="disk")
    assert only(judge_gauges([node()], [CPU, disk])).says == "no gauge of memory"


@pytest.mark.parametrize(
    ("changes", "mark", "words"),
    [
        ({"silent": "refuses connections", "info": None}, Mark.RED, "refuses connections"),
        ({"info": None}, Mark.RED, "is no Envoy"),
        ({"discovery": ""}, Mark.AMBER, "is not steered"),
        ({"discovery": "127.0.0.1:1"}, Mark.RED, "looks for Foreshard at 127.0.0.1:1"),
        ({"is_connected": False}, Mark.AMBER, "finds nobody at"),
        ({"counted": 0}, Mark.AMBER, "has counted no request"),
        ({"origin": "us"}, Mark.AMBER, "says it stands in eu"),
    ],
)
def test_what_is_wrong_with_an_envoy_is_told(
    changes: dict[str, Any], mark: Mark, words: str
) -> None:
    found = judge_balancers([balancer(**changes)], discovery="127.0.0.1:18000", file="f.yaml")
    one = only(found)
    assert one.mark is mark
    assert words in one.says


@pytest.mark.parametrize("feature", sorted(NEEDED))
def test_a_feature_that_is_not_built_in_is_red_with_what_is_lost(feature: str) -> None:
    info = EnvoyInfo(version="1.40.0", state="LIVE", extensions=frozenset(NEEDED) - {feature})
    found = judge_balancers([balancer(info=info)], discovery="127.0.0.1:18000", file="f.yaml")
    assert only(found).means == NEEDED[feature]


def test_an_old_envoy_and_one_that_does_not_serve_are_told() -> None:
    old = EnvoyInfo(version="1.31.2", state="LIVE")
    found = judge_balancers([balancer(info=old)], discovery="127.0.0.1:18000", file="f.yaml")
    assert only(found).mark is Mark.AMBER
    waiting = EnvoyInfo(version="1.40.0", state="PRE_INITIALIZING")
    found = judge_balancers([balancer(info=waiting)], discovery="127.0.0.1:18000", file="f.yaml")
    assert only(found).mark is Mark.RED


@pytest.mark.parametrize(("busy", "mark"), [(1.0, Mark.GREEN), (3.7, Mark.AMBER), (4.5, Mark.RED)])
def test_the_loss_of_the_largest_cell_is_judged_by_what_the_rest_declare(
    busy: float, mark: Mark
) -> None:
    nodes = [node(c, again=page(cpu=10.0 + 2.0 * busy / 3.0)) for c in "abc"]
    found = list(judge_capacity(nodes, [CPU], ceiling=0.85))
    assert [one.mark for one in found] == [mark]


def test_a_single_cell_is_no_fleet() -> None:
    assert only(judge_capacity([node()], [CPU], ceiling=0.85)).says == "there is one cell"


@pytest.mark.parametrize(
    ("changes", "mark", "words"),
    [
        ({"unwritable": "cannot be written to"}, Mark.RED, "cannot be written to"),
        ({"free_bytes": 1_000}, Mark.AMBER, "free"),
        ({"discovery_taken": True}, Mark.RED, "taken by another program"),
        ({"holders": {"serve": "process 7"}}, Mark.RED, "nobody listens"),
        ({"events_wrong": "events.json: is empty"}, Mark.RED, "is empty"),
        ({"events": 1, "events_strange": ("a is about zz, no cell",)}, Mark.RED, "about zz"),
        ({"driver": "refuses connections"}, Mark.RED, "webhook refuses connections"),
    ],
)
def test_what_is_wrong_around_is_told(changes: dict[str, Any], mark: Mark, words: str) -> None:
    place = PlaceFacts(data_dir="data", free_bytes=10**12, listen_taken=True, driver="")
    found = judge_surroundings(
        replace(place, **changes), [balancer()], parse(text()), file="f.yaml"
    )
    one = only(found)
    assert one.mark is mark
    assert words in one.says


@pytest.mark.parametrize(
    ("listeners", "discovery", "words"),
    [
        (("127.0.0.1:10000",), "", "that is not steered listens"),
        ((), "127.0.0.1:18000", "none of these Envoys"),
    ],
)
def test_who_has_the_port_of_requests_is_told(
    listeners: tuple[str, ...], discovery: str, words: str
) -> None:
    place = PlaceFacts(data_dir="data", free_bytes=10**12, listen_taken=True, driver="")
    each = balancer(listeners=listeners, discovery=discovery)
    found = judge_surroundings(place, [each], parse(text()), file="f.yaml")
    assert words in only(found).says


async def test_a_data_directory_in_use_is_told_and_looking_leaves_no_trace(tmp_path: Path) -> None:
    settings = parse(text()).model_copy(
        update={"data_dir": tmp_path / "deep" / "data", "events_file": None, "driver": None}
    )
    async with Asker(timeout_s=0.5) as asker:
        place = await look_at_place(asker, settings, now_s=0.0)
        assert not place.unwritable
        assert not place.holders
        assert not (tmp_path / "deep").exists()
        async with alone(settings.data_dir, "engine"):
            place = await look_at_place(asker, settings, now_s=0.0)
            assert set(place.holders) == {"engine"}
        place = await look_at_place(asker, settings, now_s=0.0)
        assert not place.holders
        file = tmp_path / "file"
        file.write_text("")
        spoilt = settings.model_copy(update={"data_dir": file})
        assert (await look_at_place(asker, spoilt, now_s=0.0)).unwritable
        far = settings.model_copy(update={"data_dir": tmp_path / ("x" * 120)})
        assert "control socket" in (await look_at_place(asker, far, now_s=0.0)).unwritable


async def test_an_asker_says_why_nobody_answered() -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"nonsense\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with Asker(timeout_s=2.0) as asker:
        said = await asker.get(f"127.0.0.1:{port}", "/")
        assert isinstance(said, Silent)
        assert "answers no HTTP" in said.because
        server.close()
        await server.wait_closed()
        said = await asker.get(f"127.0.0.1:{port}", "/")
        assert said == Silent(because="refuses connections")
        assert await asker.connects(f"127.0.0.1:{port}") == said


def checkup() -> Checkup:
    def line(mark: Mark, weight: int, means: str) -> Finding:
        return Finding(
            section=Section.CELLS,
            mark=mark,
            says=f"{means} says",
            means=means,
            todo="mend it",
            weight=weight,
        )

    return Checkup(
        findings=(
            green(Section.CONFIGURATION, "fine"),
            line(Mark.AMBER, 99, "amber heavy"),
            line(Mark.RED, 1, "red light"),
            line(Mark.RED, 5, "red heavy"),
        )
    )


def test_what_is_lost_is_told_with_the_worst_first() -> None:
    assert [one.means for one in checkup().losses()] == ["red heavy", "red light", "amber heavy"]
    said = checklist(checkup(), io.StringIO())
    lost = said.partition("what is lost, what matters most first")[2].splitlines()[2:5]
    assert lost == [f"{CROSS} red heavy", f"{CROSS} red light", "! amber heavy"]
    assert said.endswith("1 green, 1 amber, 2 red: not ready: mend what is red first")
    assert "    lost: red heavy\n    do:   mend it" in said


def test_colours_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\033[31m" in checklist(checkup(), Terminal())
    assert "\033[" not in checklist(checkup(), io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\033[" not in checklist(checkup(), Terminal())


def test_the_exit_status_is_red_and_when_strict_amber() -> None:
    only_amber = Checkup(findings=tuple(f for f in checkup().findings if f.mark is not Mark.RED))
    assert checkup().exit_status(is_strict=False) == 1
    assert only_amber.exit_status(is_strict=False) == 0
    assert only_amber.exit_status(is_strict=True) == 1
    assert Checkup(findings=()).exit_status(is_strict=True) == 0


def test_a_finding_that_is_not_green_says_what_it_means_and_what_to_do() -> None:
    with pytest.raises(InvalidValueError, match="say what it means"):
        Finding(section=Section.CELLS, mark=Mark.RED, says="broken")


def test_names_are_told_in_short() -> None:
    assert told(["a", "b"]) == "a, b"
    assert told([str(n) for n in range(9)]).endswith("5 and 3 more")
    assert told(["a", "b"], of=["a", "b"]) == "all 2"


@pytest.mark.parametrize(
    ("configured", "asked", "mark"),
    [
        ("0.0.0.0:18000", "10.1.2.3:18000", Mark.GREEN),
        ("0.0.0.0:18000", "10.1.2.3:18009", Mark.RED),
        ("foreshard.svc:18000", "10.1.2.3:18000", Mark.GREEN),
        ("foreshard.svc:18000", "10.9.9.9:18000", Mark.RED),
    ],
)
def test_a_discovery_address_is_compared_by_where_it_leads(
    configured: str, asked: str, mark: Mark
) -> None:
    facts = balancer(discovery=asked)
    also = frozenset({"10.1.2.3:18000"}) if configured.startswith("foreshard") else frozenset()
    found = judge_balancers([facts], discovery=configured, also=also, file="f.yaml")
    assert list(found)[-1].mark is mark


def test_an_envoy_on_a_relay_is_amber_and_says_whose_plan_it_serves() -> None:
    facts = balancer(steered_by="foreshard relay: plan 41, committed 2026-11-01T00:00:00Z")
    (*_, last) = judge_balancers([facts], discovery="127.0.0.1:18000", file="f.yaml")
    assert last.mark is Mark.AMBER
    assert "plan 41" in last.says


async def test_what_is_no_address_is_a_reason_and_no_crash() -> None:
    async with Asker(timeout_s=1.0) as asker:
        for address in ("a..b:18000", "127.0.0.1:99999", "127.0.0.1:x"):
            assert await asker.connects(address) is not None
        for url in ("http://10.0.0.1:99999/x", "http://[::1/x"):
            assert await asker.connects_url(url) is not None


def test_a_key_file_that_is_not_there_is_red(tmp_path: Path) -> None:
    settings = parse(text())
    file = tmp_path / "none.key"
    envoy = settings.envoy.model_copy(update={"relay_key_file": file})
    (found,) = _key(settings.model_copy(update={"envoy": envoy}))
    assert found.mark is Mark.RED
    assert str(file) in found.says


def at_the_door(tmp_path: Path, place: PlaceFacts, **api: object) -> list[Finding]:
    settings = parse(text(lambda values: values.update(api=api)))
    settings = settings.model_copy(update={"data_dir": tmp_path})
    return list(judge_door(place, settings, file="shop.yaml"))


@pytest.mark.parametrize(
    ("taken", "holders", "mark", "words"),
    [
        (False, {}, Mark.GREEN, "free"),
        (True, {"web": "running"}, Mark.GREEN, "`foreshard web`"),
        (True, {}, Mark.RED, "taken by another program"),
        (False, {"web": "running"}, Mark.AMBER, "nobody listens"),
    ],
)
def test_the_port_of_the_api_is_looked_at(
    tmp_path: Path, taken: bool, holders: dict[str, str], mark: Mark, words: str
) -> None:
    place = PlaceFacts(data_dir="data", api_taken=taken, holders=holders)
    port, token = at_the_door(tmp_path, place, listen="127.0.0.1:18080")
    assert (port.mark, words in port.says) == (mark, True)
    assert "nobody has a token" in token.says


def test_a_certificate_of_the_api_that_cannot_be_used_is_red(tmp_path: Path) -> None:
    file = tmp_path / "cert.pem"
    file.write_text("no certificate", encoding="ascii")
    place = PlaceFacts(data_dir="data")
    found = at_the_door(tmp_path, place, listen="0.0.0.0:18080", certificate_file=str(file))
    assert [each.mark for each in found] == [Mark.GREEN, Mark.RED, Mark.AMBER]
    assert str(file) in found[1].says


def test_without_an_api_nothing_is_said_of_one(tmp_path: Path) -> None:
    assert at_the_door(tmp_path, PlaceFacts(data_dir="data")) == []


async def test_an_event_about_no_cell_of_the_fleet_is_told(tmp_path: Path) -> None:
    file = tmp_path / "events.json"
    window = {"starts_at_s": 10.0, "ends_at_s": 20.0}
    said = [
        {"id": "a", "kind": "maintenance", "cells": ["zz"], **window},
        {"id": "b", "kind": "freeze", "cells": ["eu-1"], **window},
        {"id": "c", "kind": "maintenance", "cells": ["eu-1"], **window},
        {
            "id": "d",
            "kind": "dependency",
            "cells": "all",
            "dependency": "nobody-needs-it",
            "level": "major_outage",
            **window,
        },
    ]
    file.write_text(json.dumps(said))
    settings = parse(text()).model_copy(update={"events_file": file, "driver": None})
    async with Asker(timeout_s=0.5) as asker:
        place = await look_at_place(asker, settings, now_s=0.0)
    assert place.events == 4
    assert [each[0] for each in place.events_strange] == ["a", "b", "d"]
