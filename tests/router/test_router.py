from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from foreshard.adapters.routing.envoy.render import render
from foreshard.adapters.routing.envoy.resources import Resources
from foreshard.adapters.routing.envoy.settings import EnvoySettings
from foreshard.adapters.routing.envoy.snapshot import views
from foreshard.model.errors import InvalidValueError
from foreshard.model.routing import ClassRoute, RoutingTable, Row, SlotRow, WeightRow
from foreshard.model.topology import Cell
from foreshard.model.workload import Match
from foreshard.planning.slots import owners_of, slot_of
from foreshard.router import Answer, Batch, Nowhere, Refused, Router
from tests.adapters.routing.envoy_tables import SEARCH, cells, free_route
from tests.adapters.routing.envoy_tables import table as envoy_table
from tests.adapters.routing.test_envoy_render_live import MATCHES, REQUESTS
from tests.router.router_tables import CELLS, NAMES, free, keyed, routing, slots

OWNERS = ("", *NAMES)


@st.composite
def slot_rows(draw: st.DrawFn) -> SlotRow:
    count = 2 ** draw(st.integers(1, 9))
    cuts = sorted(draw(st.sets(st.integers(1, count - 1), max_size=6)))
    lengths = [b - a for a, b in zip([0, *cuts], [*cuts, count], strict=True)]
    owners = draw(st.lists(st.sampled_from(OWNERS), min_size=len(lengths), max_size=len(lengths)))
    owners[draw(st.integers(0, len(owners) - 1))] = draw(st.sampled_from(NAMES))
    return slots(*zip(owners, lengths, strict=True))


def name_of(answer: Answer) -> str:
    assert not isinstance(answer, Nowhere)
    return "" if isinstance(answer, Refused) else answer.name


def names_of(batch: Batch | Nowhere) -> list[str]:
    assert isinstance(batch, Batch)
    return [batch.cells[i].name if i >= 0 else "" for i in batch.index.tolist()]


def shares(row: WeightRow) -> Router:
    return Router(routing(free({"eu": row})))


keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(slot_rows(), st.lists(keys, max_size=20))
def test_a_key_goes_to_the_owner_of_its_slot_alone_or_among_many(
    row: SlotRow, keys: list[str]
) -> None:
    router = Router(routing(keyed({"eu": row})))
    owner = owners_of(row, {name: i for i, name in enumerate(NAMES)})
    wanted = [OWNERS[owner[slot_of(key, row.slot_count)] + 1] for key in keys]
    assert [name_of(router.route("checkout", "eu", key)) for key in keys] == wanted
    assert [name_of(router.route("checkout", "eu", key.encode())) for key in keys] == wanted
    assert names_of(router.route_many("checkout", "eu", keys)) == wanted
    assert names_of(router.route_many("checkout", "eu", np.array(keys, dtype=object))) == wanted
    told = [key for key in keys if not key.endswith("\0")]
    one_by_one = [name_of(router.route("checkout", "eu", key)) for key in told]
    for array in (
        np.array(told, dtype="U"),
        np.array(told, dtype="U").astype(">U50"),
        np.array([key.encode() for key in told], dtype="S"),
    ):
        assert names_of(router.route_many("checkout", "eu", array)) == one_by_one


def test_strided_keys_are_read_where_they_lie() -> None:
    router = Router(routing(keyed({"eu": slots(("eu-1", 2), ("eu-2", 2), ("us-1", 4))})))
    every = np.array([f"key-{i}" for i in range(40)])
    wanted = [name_of(router.route("checkout", "eu", key)) for key in every[::3].tolist()]
    assert names_of(router.route_many("checkout", "eu", every[::3])) == wanted
    assert names_of(router.route_many("checkout", "eu", every.astype(">U9")[::3])) == wanted


def test_what_is_shed_is_refused_always_for_the_same_keys() -> None:
    router = Router(routing(keyed({"eu": slots(("eu-1", 3), ("", 1))})), retry_after_s=7)
    found = {key: router.route("checkout", "eu", key) for key in map(str, range(400))}
    refused = {key for key, answer in found.items() if isinstance(answer, Refused)}
    assert 70 < len(refused) < 130
    assert {answer for answer in found.values() if not isinstance(answer, Cell)} == {
        Refused(retry_after_s=7)
    }
    assert all(router.route("checkout", "eu", key) == found[key] for key in found)
    batch = router.route_many("checkout", "eu", np.array(list(found)))
    assert isinstance(batch, Batch)
    assert batch.retry_after_s == 7
    assert {key for key, i in zip(found, batch.index, strict=True) if i < 0} == refused


@given(
    st.dictionaries(st.sampled_from(NAMES), st.integers(1, 1000), min_size=1),
    st.integers(0, 300),
    st.integers(0, 2**40),
)
def test_free_requests_get_their_exact_share_however_few_they_are(
    weights: dict[str, int], shed: int, first: int
) -> None:
    row = WeightRow(weights=weights, shed=shed)
    total = sum(weights.values()) + shed
    router = Router(routing(free({"eu": row})), first_turn=first)
    for n in (10, 100, 1_000):
        one = Counter(name_of(router.route("search", "eu")) for _ in range(n))
        many = Counter(names_of(router.route_many("search", "eu", [None] * n)))
        for counted in (one, many):
            for name, weight in {**weights, "": shed}.items():
                # Points of the golden ratio are never off by more than about log n.
                assert abs(counted[name] - n * weight / total) <= 1.0 + np.log(n)


def test_weights_beyond_all_measure_are_weights_too() -> None:
    router = Router(routing(free({"eu": WeightRow(weights={"eu-1": 2**80, "eu-2": 1})})))
    assert name_of(router.route("search", "eu")) == "eu-1"
    assert names_of(router.route_many("search", "eu", np.zeros(3))) == ["eu-1"] * 3


def test_a_new_table_does_not_send_the_next_request_to_the_first_cell_again() -> None:
    row = WeightRow(weights={"eu-1": 1, "eu-2": 1})
    router = Router()
    seen: Counter[str] = Counter()
    for version in range(200):
        router.swap(routing(free({"eu": row}), version=version))
        seen[name_of(router.route("search", "eu"))] += 1
    assert abs(seen["eu-1"] - 100) < 5


def test_a_row_that_did_not_change_is_not_laid_out_again() -> None:
    first = routing(
        keyed({"eu": slots(("eu-1", 4))}), free({"eu": WeightRow(weights={"eu-1": 1})})
    )
    router = Router(first)
    router.route("checkout", "eu", "k")
    router.route("search", "eu")
    changed = free({"eu": WeightRow(weights={"eu-2": 1})})
    was = router._lanes
    router.swap(replace(first, version=2, classes=(first.classes[0], changed, first.classes[2])))
    assert was is not None
    assert router._lanes is not None
    assert router._lanes["checkout", "eu"] is was["checkout", "eu"]
    assert name_of(router.route("search", "eu")) == "eu-2"
    moved = tuple(replace(cell, zone="elsewhere") for cell in CELLS)
    router.swap(replace(first, version=3, cells=moved))
    found = router.route("checkout", "eu", "k")
    assert isinstance(found, Cell)
    assert found.zone == "elsewhere"


def test_who_has_no_key_goes_anywhere_in_proportion() -> None:
    row = slots(("eu-1", 4), ("eu-2", 2), ("", 2))
    router = Router(routing(keyed({"eu": row})))
    one = Counter(name_of(router.route("checkout", "eu")) for _ in range(800))
    many = Counter(names_of(router.route_many("checkout", "eu", [None] * 800)))
    for counted in (one, many):
        assert counted["eu-1"] == pytest.approx(400, abs=8)
        assert counted["eu-2"] == pytest.approx(200, abs=8)
        assert counted[""] == pytest.approx(200, abs=8)
    mixed = names_of(router.route_many("checkout", "eu", [None, "a", None, "a", b"a"]))
    assert mixed[1] == mixed[3] == mixed[4] == name_of(router.route("checkout", "eu", "a"))


def test_one_slot_alone_is_a_row_too() -> None:
    router = Router(routing(keyed({"eu": slots(("us-1", 1))})))
    assert name_of(router.route("checkout", "eu", "x")) == "us-1"
    assert name_of(router.route("checkout", "eu")) == "us-1"
    assert names_of(router.route_many("checkout", "eu", ["x", None])) == ["us-1", "us-1"]
    assert names_of(router.route_many("checkout", "eu", np.array([""]))) == ["us-1"]
    assert names_of(router.route_many("checkout", "eu", np.array([], dtype="U"))) == []


def test_a_class_that_is_not_in_the_table_is_its_default_class() -> None:
    rows: dict[str, Row] = {"eu": slots(("eu-1", 2), ("us-1", 2))}
    router = Router(routing(keyed(rows), default="checkout"))
    assert router.resolve("nonsense", "eu") == ("checkout", "eu")
    for key in map(str, range(20)):
        assert router.route("nonsense", "eu", key) is router.route("checkout", "eu", key)


async def test_an_origin_that_is_not_in_the_table_gets_what_its_envoys_get() -> None:
    only_us = keyed({"us": slots(("us-1", 4))})
    both = free({"eu": WeightRow(weights={"eu-1": 1}), "us": WeightRow(weights={"us-1": 1})})
    table = routing(only_us, both)
    rendered: dict[tuple[str, str], Row] = {}

    def note(whole: RoutingTable, origin: str) -> Resources:
        rendered.update({(c.request_class.name, origin): c.rows[origin] for c in whole.classes})
        return render(whole, origin=origin, settings=EnvoySettings(listen_port=1))

    served = await views(table, note)
    router = Router(table)
    by_name = {route.request_class.name: route for route in table.classes}
    for origin in ("eu", "us", "mars", ""):
        region = next(o for o, v in served.by_origin.items() if v is served.of(origin))
        for name in by_name:
            at = router.resolve(name, origin)
            assert at is not None
            assert by_name[at[0]].rows[at[1]] == rendered[name, region]


def test_without_a_table_or_a_row_the_answer_is_nowhere_and_says_why() -> None:
    router = Router()
    for answer in (router.route("checkout", "eu", "k"), router.route_many("x", "eu", ["k"])):
        assert isinstance(answer, Nowhere)
        assert "no table yet" in answer.because
    assert router.resolve("checkout", "eu") is None
    assert router.table is None
    router.swap(routing(keyed({}), version=3))
    for answer in (router.route("checkout", "eu"), router.route_many("checkout", "eu", ["k"])):
        assert answer == Nowhere(because="class checkout has no row in table 3")
    assert router.resolve("checkout", "eu") is None


def test_names_from_outside_do_not_fill_the_memory() -> None:
    router = Router(routing(keyed({"eu": slots(("eu-1", 4))})))
    for i in range(1_000):
        router.route(f"class-{i}", f"origin-{i}", "k")
    assert router._lanes is not None
    assert len(router._lanes) == 1
    assert len(router._turns) == 1


@pytest.mark.parametrize("key", [7, 7.5, ["a"], object(), np.int64(3), np.array([1]), ("a",), ()])
def test_a_key_that_is_no_text_is_refused_and_not_hashed_as_something_else(key: object) -> None:
    router = Router(routing(keyed({"eu": slots(("eu-1", 4))})))
    with pytest.raises(InvalidValueError, match=r"must be text or bytes"):
        router.route("checkout", "eu", key)  # type: ignore[arg-type]


def test_odd_keys_are_hashed_as_their_bytes() -> None:
    row = slots(*((name, 1) for name in NAMES * 21), ("eu-1", 1))
    router = Router(routing(keyed({"eu": row})))

    class Text(str):
        __slots__ = ()

    for key in ("", "\0", "a\0", "naïve", "\U0001f600" * 9, "k" * 10_000_000, Text("t")):
        slot = xxhash.xxh64_intdigest(key.encode(), 0) % 64
        assert name_of(router.route("checkout", "eu", key)) == row.runs[slot].owner
        assert names_of(router.route_many("checkout", "eu", [key])) == [row.runs[slot].owner]
    for wrong in ("\ud800", "a\udfff"):
        with pytest.raises(InvalidValueError, match="lone surrogate"):
            router.route("checkout", "eu", wrong)
        with pytest.raises(InvalidValueError, match="lone surrogate"):
            router.route_many("checkout", "eu", np.array([wrong]))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (np.arange(3), "dtype int64"),
        (np.array(["a"]).reshape(1, 1), r"shape \(1, 1\)"),
        ("one", "one key"),
        ([1, 2], "must be text or bytes"),
        ((key for key in "ab"), r"shape \(\), must be one dimension"),
        ({"a"}, r"shape \(\), must be one dimension"),
        (None, r"shape \(\), must be one dimension"),
    ],
)
def test_many_keys_of_a_wrong_kind_are_refused_in_words(keys: object, words: str) -> None:
    router = Router(routing(keyed({"eu": slots(("eu-1", 4))})))
    with pytest.raises(InvalidValueError, match=words):
        router.route_many("checkout", "eu", keys)  # type: ignore[arg-type]


def test_names_that_are_no_text_and_tables_that_are_none_are_refused() -> None:
    table = routing(keyed({"eu": slots(("eu-1", 4))}))
    router = Router(table)
    with pytest.raises(InvalidValueError, match="request_class is None"):
        router.route(None, "eu", "k")  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match="origin is 3"):
        router.route("checkout", 3, "k")  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match="the old one stands"):
        router.swap({})  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match="retry_after_s is -1"):
        Router(retry_after_s=-1)
    assert router.table is table


def test_backups_are_those_of_the_table() -> None:
    route = replace(keyed({"eu": slots(("eu-1", 4))}), backups={"eu-1": ("us-1", "gone", "eu-2")})
    router = Router(routing(route))
    assert [cell.name for cell in router.backups("checkout", "eu-1")] == ["us-1", "eu-2"]
    assert router.backups("checkout", "us-1") == ()
    assert Router().backups("checkout", "eu-1") == ()


def test_threads_that_ask_while_tables_change_see_one_table_or_the_other() -> None:
    keys = [f"key-{i}" for i in range(64)]
    tables = [
        routing(
            keyed({"eu": slots((NAMES[i], 32), (NAMES[i - 1], 32))}),
            free({"eu": WeightRow(weights={NAMES[i]: 1})}),
            version=i,
        )
        for i in range(3)
    ]
    allowed = {
        tuple(name_of(Router(table).route("checkout", "eu", key)) for table in tables)
        for key in keys
    }
    per_key = {
        key: {name_of(Router(table).route("checkout", "eu", key)) for table in tables}
        for key in keys
    }
    router = Router(tables[0])
    whole = {tuple(names_of(Router(t).route_many("checkout", "eu", keys))) for t in tables}
    assert len(allowed) > 1
    wrong: list[object] = []
    is_over = threading.Event()

    def ask() -> None:
        try:
            while not is_over.is_set():
                wrong.extend(
                    key
                    for key in keys
                    if name_of(router.route("checkout", "eu", key)) not in per_key[key]
                )
                batch = router.route_many("checkout", "eu", keys)
                if tuple(names_of(batch)) not in whole:
                    wrong.append(batch)
                router.route("search", "eu")
        except Exception as error:  # noqa: BLE001 - whatever it is, the test is to tell it
            wrong.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for turn in range(3_000):
        router.swap(tables[turn % 3])
    is_over.set()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_class_of_ten_thousand_cells_is_laid_out_in_little_room() -> None:
    fleet = tuple(
        Cell(name=f"c{i}", region="eu", zone="a", nodes=CELLS[0].nodes) for i in range(10_000)
    )
    count = 2**21
    runs = [(cell.name, count // 10_000) for cell in fleet]
    runs[-1] = (runs[-1][0], count - sum(length for _, length in runs[:-1]))
    table = replace(routing(), cells=(*CELLS, *fleet))
    route: ClassRoute = keyed({"eu": slots(*runs)})
    router = Router(replace(table, classes=(route, *table.classes)))
    found = router.route("checkout", "eu", "k")
    slot = slot_of("k", count)
    assert name_of(found) == f"c{min(slot // (count // 10_000), 9_999)}"
    assert router._lanes is not None
    assert router._lanes["checkout", "eu"].owner.itemsize == 2


def test_templates_headers_and_grpc_methods_mean_here_what_they_mean_to_envoy() -> None:
    """The requests of the test that holds the real Envoy to the same matches."""
    classes = [replace(SEARCH, name=name, match=match) for name, match in MATCHES.items()]
    fleet = cells("eu-1")
    routes = [free_route(each, {"eu-1": 1}) for each in classes]
    rest = free_route(replace(SEARCH, name="rest", match=Match()), {"eu-1": 1})
    router = Router()
    router.swap(envoy_table(fleet, *routes, rest))
    for method, path, headers in REQUESTS:
        taker = next((n for n, m in MATCHES.items() if m.takes(method, path, headers)), "rest")
        found = router.classify(method, path, headers)
        assert found is not None
        assert found.name == taker
