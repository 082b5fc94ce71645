"""The routing table as JSON: an exact round trip, and clear refusals."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreshard.adapters.routing.table_json import (
    SCHEMA_VERSION,
    canonical_json,
    checksum,
    decode_table,
    encode_table,
)
from foreshard.model.errors import SinkError
from foreshard.model.routing import ClassRoute, RoutingTable, SlotRow, SlotRun, WeightRow
from foreshard.model.topology import Cell, Node
from foreshard.model.workload import Match, Needs, OwnedData, Priority, RequestClass

names = st.text("abcdefgh-", min_size=1, max_size=8).filter(lambda t: t.replace("-", ""))
positive = st.floats(min_value=1e-6, max_value=1e6)
nodes = st.builds(Node, host=st.text(max_size=20), port=st.integers(1, 65_535))


@st.composite
def matches(draw: st.DrawFn) -> Match:
    headers = draw(st.dictionaries(st.sampled_from(["x-a", "x-b"]), names))
    way = draw(st.sampled_from(["path_prefix", "path_template", "grpc_method"]))
    if way == "grpc_method":
        return Match(headers=headers, grpc_method="shop.v1.Payments/Pay")
    method = draw(st.sampled_from(["", "GET"]))
    return Match(method=method, headers=headers, **{way: "/a/" + draw(names)})


@st.composite
def request_classes(draw: st.DrawFn) -> RequestClass:
    objective_s = draw(positive)
    key_header = draw(st.sampled_from(["", "x-key"]))
    owned = st.builds(
        OwnedData,
        replicas=st.dictionaries(
            st.sampled_from("abc"),
            st.lists(st.sampled_from("defg"), min_size=1, unique=True).map(tuple),
            min_size=1,
        ),
        handover_s=st.none() | positive,
    )
    data = draw(st.none() | owned) if key_header else None
    regions = draw(st.frozensets(names, max_size=3))
    some = st.frozensets(st.sampled_from(sorted(regions)) if regions else names, min_size=1)
    return RequestClass(
        name=draw(names),
        priority=draw(st.sampled_from(Priority)),
        weight=draw(positive),
        objective_s=objective_s,
        timeout_s=objective_s + draw(st.floats(0, 100)),
        match=draw(matches()),
        retriable=draw(st.booleans()),
        key_header=key_header,
        data=data,
        residency={} if data else draw(st.dictionaries(names, some, max_size=2)),
        transfer_kb=draw(st.sampled_from([10.0, 250.0])),
        move_cost_s=draw(st.none() | positive),
        regions=regions,
        cells=draw(st.frozensets(names, max_size=3)),
        dependencies=draw(st.frozensets(names, max_size=3)),
        declared=Needs(per_request=draw(st.dictionaries(names, positive, max_size=3))),
    )


@st.composite
def tables(draw: st.DrawFn) -> RoutingTable:
    cells = [
        Cell(name=name, region=draw(names), zone=draw(names), nodes=(draw(nodes),))
        for name in draw(st.lists(names, min_size=1, max_size=5, unique=True))
    ]
    owners = st.sampled_from([cell.name for cell in cells])
    origins = draw(st.lists(names, max_size=3, unique=True))
    routes = []
    for request_class in draw(
        st.lists(request_classes(), min_size=1, max_size=3, unique_by=lambda one: one.name)
    ):
        rows: dict[str, WeightRow | SlotRow] = {}
        for origin in origins:
            if request_class.is_keyed:
                length = 2 ** draw(st.integers(0, 8))
                runs = [SlotRun(owner=draw(owners), length=length)]
                runs.append(SlotRun(owner=draw(st.just("") | owners), length=length))
                rows[origin] = SlotRow(runs=tuple(runs))
            else:
                weights = draw(st.dictionaries(owners, st.integers(1, 10**9), min_size=1))
                rows[origin] = WeightRow(weights=weights, shed=draw(st.integers(0, 9)))
        backups = draw(st.dictionaries(owners, st.lists(owners).map(tuple), max_size=3))
        holders = None
        if request_class.data is not None and draw(st.booleans()):
            holders = SlotRow(runs=(SlotRun(owner=draw(owners), length=8),))
        routes.append(
            ClassRoute(request_class=request_class, rows=rows, backups=backups, holders=holders)
        )
    return RoutingTable(
        version=draw(st.integers(0, 2**60)),
        cells=tuple(cells),
        classes=tuple(routes),
        default_class=routes[0].request_class.name,
    )


@given(tables())
def test_the_way_there_and_back_is_exact(table: RoutingTable) -> None:
    text = json.dumps(encode_table(table), allow_nan=False)
    back = decode_table(json.loads(text))
    assert back == table
    assert json.dumps(encode_table(back)) == text


@given(tables())
def test_the_checksum_knows_content_and_not_order(table: RoutingTable) -> None:
    document = encode_table(table)
    assert checksum(dict(reversed(document.items()))) == checksum(document)
    assert checksum({**document, "version": table.version + 1}) != checksum(document)


def sample() -> dict[str, object]:
    """A small table as it is read from a file."""
    cell = Cell(name="a", region="eu", zone="eua", nodes=(Node(host="127.0.0.1", port=80),))
    free = RequestClass(
        name="search", priority=Priority.NORMAL, weight=1.0, objective_s=1.0, timeout_s=2.0
    )
    keyed = RequestClass(
        name="checkout",
        priority=Priority.CRITICAL,
        weight=1.0,
        objective_s=1.0,
        timeout_s=2.0,
        key_header="x-key",
    )
    slots = SlotRow(runs=(SlotRun(owner="a", length=4),))
    table = RoutingTable(
        version=7,
        cells=(cell,),
        classes=(
            ClassRoute(
                request_class=free, rows={"eu": WeightRow(weights={"a": 1})}, backups={"a": ()}
            ),
            ClassRoute(request_class=keyed, rows={"eu": slots}, backups={}),
        ),
        default_class="search",
    )
    document: dict[str, object] = json.loads(canonical_json(encode_table(table)))
    return document


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda t: t.pop("version"), "table.version is missing"),
        (lambda t: t.update(version="7"), "table.version is '7', must be an integer"),
        (lambda t: t.update(version=True), "table.version is True, must be an integer"),
        (lambda t: t.update(schema=99), f"table.schema is 99, this .* {SCHEMA_VERSION} only"),
        (lambda t: t.update(cells={}), "table.cells is {}, must be a list"),
        (lambda t: t.update(extra=1), "table.extra is 1, but table has no such key"),
        (lambda t: t.update(default_class="none"), "default_class is 'none'"),
        (
            lambda t: t["cells"][0]["nodes"][0].update(port=0),
            "node 127.0.0.1: port is 0",
        ),
        (
            lambda t: t["cells"][0]["nodes"][0].update(prot=1),
            r"table.cells\[0\].nodes\[0\].prot is 1",
        ),
        (
            lambda t: t["classes"][0]["request_class"].update(priority="HIGH"),
            r"request_class.priority is 'HIGH', must be one of CRITICAL",
        ),
        (
            lambda t: t["classes"][0]["request_class"].update(weight=float("nan")),
            "request_class.weight is nan, must be a finite number",
        ),
        (
            lambda t: t["classes"][0]["request_class"].update(retriable=1),
            "retriable is 1, must be true or false",
        ),
        (
            lambda t: t["classes"][0]["request_class"].update(regions=[1]),
            "regions is .1., must be a list of strings",
        ),
        (
            lambda t: t["classes"][0]["rows"]["eu"]["weights"].update(a=0),
            "weights must be > 0",
        ),
        (
            lambda t: t["classes"][1]["rows"]["eu"].update(slots=[["a"]]),
            r"rows.eu.slots\[0\] is \['a'\], must be a pair",
        ),
        (
            lambda t: t["classes"][1]["rows"]["eu"].update(slots=[["b", 4]]),
            r"cells \['b'\] are not in the table",
        ),
        (lambda t: t["classes"].__setitem__(0, 5), r"table.classes\[0\] is 5, must be an object"),
    ],
)
def test_damage_is_named(damage: Callable[[dict[str, object]], None], says: str) -> None:
    document = copy.deepcopy(sample())
    damage(document)
    with pytest.raises(SinkError, match=says):
        decode_table(document)


def test_what_is_no_object_is_no_table() -> None:
    with pytest.raises(SinkError, match="table is 3, must be an object"):
        decode_table(3)


def test_a_number_that_json_cannot_say_is_refused() -> None:
    with pytest.raises(SinkError, match="must be finite"):
        checksum({"weight": float("inf")})


def test_a_table_without_data_is_written_as_it_always_was() -> None:
    """A file or a balancer of the version before must not see a difference."""
    (keyed,) = [c for c in sample()["classes"] if c["request_class"]["name"] == "checkout"]  # type: ignore[attr-defined]  # JSON
    assert not {"holders", "replicas", "handover_s", "move_cost_s"} & (
        keyed.keys() | keyed["request_class"].keys()
    )
