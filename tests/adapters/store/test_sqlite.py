from __future__ import annotations

import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreshard.adapters.store.reading import SqliteReader
from foreshard.adapters.store.schema import FILE_NAME
from foreshard.adapters.store.sqlite import Retention, SqliteStore
from foreshard.model.errors import InvalidValueError, StoreError
from foreshard.model.plan import Act, Decision, Hold, Plan, Reason, Recycle, Split
from foreshard.model.routing import ClassRoute, RoutingTable, SlotRow, SlotRun, WeightRow
from foreshard.model.topology import Cell, Node
from foreshard.model.workload import Flow, Priority, RequestClass

SEARCH = RequestClass(
    name="search", priority=Priority.NORMAL, weight=3, objective_s=0.5, timeout_s=2.5
)
TABLE = RoutingTable(
    version=3,
    cells=(Cell(name="eu-1", region="eu", zone="eu-a", nodes=(Node(host="h", port=80),)),),
    classes=(
        ClassRoute(request_class=SEARCH, rows={"eu": WeightRow(weights={"eu-1": 1})}, backups={}),
    ),
    default_class="search",
)
PLAN = Plan(splits={Flow("eu", "search"): Split(shares={"eu-1": 1.0})})


def reason(subject: str, code: str = "memory.exhausts", text: str = "why") -> Reason:
    return Reason(subject=subject, code=code, text=text)


def hold(now_s: float, *because: Reason, plan: Plan = PLAN) -> Decision:
    return Decision(now_s=now_s, routing=Hold(because=because), plan=plan)


def act(now_s: float, *because: Reason, plan: Plan = PLAN) -> Decision:
    return Decision(now_s=now_s, routing=Act(table=TABLE, because=because), plan=plan)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with SqliteStore(tmp_path) as opened:
        yield opened


def test_who_stands_in_is_kept_only_where_data_decides_it(store: SqliteStore) -> None:
    heirs = {"eu-1": ("eu-2",)}
    held = SlotRow(runs=(SlotRun(owner="eu-1", length=4),))
    checkout = replace(SEARCH, name="checkout", key_header="x-key")
    routes = (
        replace(TABLE.classes[0], backups=heirs),
        ClassRoute(request_class=checkout, rows={"eu": held}, backups=heirs, holders=held),
    )
    table = replace(TABLE, classes=routes)
    store.record(
        Decision(now_s=1.0, routing=Act(table=table, because=(reason("eu-1"),)), plan=PLAN), {}
    )
    kept = store.latest("eu-1")
    assert kept is not None
    classes = kept["decision"]["routing"]["table"]["classes"]
    assert [each["backups"] for each in classes] == [{}, {"eu-1": ["eu-2"]}]
    assert classes[1]["holders"]["runs"] == [{"owner": "eu-1", "length": 4}]


def test_an_act_is_kept_whole_with_its_inputs(store: SqliteStore) -> None:
    store.record(act(1.0, reason("eu-1")), {"demand": {Flow("eu", "search"): float("nan")}})
    kept = store.latest("eu-1")
    assert kept is not None
    assert kept["decision"]["routing"]["kind"] == "act"
    assert kept["decision"]["routing"]["table"]["version"] == 3
    assert kept["inputs"] == {"demand": {"eu/search": "NaN"}}
    assert kept["kept"] == {
        "kind": "act",
        "first_s": 1.0,
        "last_s": 1.0,
        "times": 1,
        "is_frame": True,
    }


def test_a_hold_that_repeats_itself_counts_up_and_tells_its_newest_text(
    store: SqliteStore,
) -> None:
    store.record(act(1.0, reason("fleet")), {})
    for i in range(5):
        store.record(hold(2.0 + i, reason("eu-1", text=f"full in {9 - i} s")), {"i": i})
    (kept,) = store.history("eu-1")
    assert kept["decision"]["routing"]["because"][0]["text"] == "full in 5 s"
    assert kept["decision"]["plan"]["splits"] == {
        "eu/search": {"shares": {"eu-1": 1.0}, "shed": 0.0}
    }
    assert kept["inputs"] == {}
    assert kept["kept"]["times"] == 5
    assert (kept["kept"]["first_s"], kept["kept"]["last_s"]) == (2.0, 6.0)


def test_a_hold_for_another_reason_is_another_row(store: SqliteStore) -> None:
    store.record(act(1.0, reason("fleet")), {})
    store.record(hold(2.0, reason("eu-1", "memory.exhausts")), {})
    store.record(hold(3.0, reason("eu-1", "guard.ceiling")), {})
    store.record(hold(4.0, reason("eu-1", "memory.exhausts")), {})
    codes = [row["decision"]["routing"]["because"][0]["code"] for row in store.history("eu-1")]
    assert codes == ["memory.exhausts", "guard.ceiling", "memory.exhausts"]


def test_a_hold_is_kept_whole_now_and_then_and_when_the_plan_is_another(tmp_path: Path) -> None:
    with SqliteStore(tmp_path, retention=Retention(frame_every_s=10.0)) as store:
        for i in range(25):
            store.record(hold(float(i), reason("eu-1")), {"i": i})
        frames = [row["inputs"] for row in store.history("eu-1") if row["kept"]["is_frame"]]
        assert frames == [{"i": 20}, {"i": 10}, {"i": 0}]
        other = Plan(splits={})
        store.record(hold(26.0, reason("eu-1"), plan=other), {"i": 26})
        newest = store.latest("eu-1")
    assert newest is not None
    assert newest["kept"]["is_frame"]
    assert newest["decision"]["plan"] == {"splits": {}}


def test_a_restart_is_found_under_its_cell(store: SqliteStore) -> None:
    recycle = Recycle(cell="eu-3", because=reason("eu-3", "cell.dead"))
    store.record(Decision(now_s=1.0, routing=Hold(because=()), plan=PLAN, recycle=(recycle,)), {})
    kept = store.latest("eu-3")
    assert kept is not None
    assert kept["decision"]["recycle"][0]["cell"] == "eu-3"


def test_history_is_newest_first_and_bounded(store: SqliteStore) -> None:
    for i in range(6):
        store.record(act(float(i), reason("eu-1"), reason("eu-2")), {})
    assert [row["decision"]["now_s"] for row in store.history("eu-1", limit=3)] == [5.0, 4.0, 3.0]
    assert store.latest("us-1") is None


def test_state_survives_a_restart_and_is_replaced(tmp_path: Path) -> None:
    with SqliteStore(tmp_path) as store:
        store.put("cells", {"eu-1": {"phase": "drained", "since_s": 4.5}})
        store.put("cells", {"eu-1": {"phase": "active"}, "note": "x" * 10_000})
        assert store.get("nothing") is None
    with SqliteStore(tmp_path) as store:
        kept = store.get("cells")
    assert kept == {"eu-1": {"phase": "active"}, "note": "x" * 10_000}


def test_decisions_survive_a_restart_and_go_on(tmp_path: Path) -> None:
    for i in range(3):
        with SqliteStore(tmp_path) as store:
            store.record(hold(float(i), reason("eu-1")), {})
    with SqliteReader(tmp_path) as reader:
        assert len(reader.history("eu-1")) == 3


def test_old_decisions_are_dropped_by_age(tmp_path: Path) -> None:
    with SqliteStore(tmp_path, retention=Retention(max_age_s=10.0)) as store:
        for i in range(30):
            store.record(act(float(i), reason("eu-1")), {})
        kept = [row["decision"]["now_s"] for row in store.history("eu-1", limit=100)]
        assert kept == [float(i) for i in range(29, 18, -1)]
        store.record(act(1e6, reason("eu-2")), {})
        assert store.latest("eu-1") is None


@settings(max_examples=5, deadline=None)
@given(st.lists(st.integers(0, 400_000), min_size=20, max_size=60))
def test_the_files_stay_inside_the_byte_budget(sizes: list[int]) -> None:
    retention = Retention(max_bytes=4 * 1024 * 1024)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with SqliteStore(directory, retention=retention) as store:
            for i, size in enumerate(sizes):
                store.record(act(float(i), reason("eu-1")), {"noise": os.urandom(size // 2).hex()})
                used = sum(file.stat().st_size for file in directory.iterdir())
                assert used <= retention.max_bytes
            newest = store.latest("eu-1")
    assert newest is not None
    assert newest["decision"]["now_s"] == len(sizes) - 1.0


def test_the_budget_is_used_before_anything_is_dropped(tmp_path: Path) -> None:
    with SqliteStore(tmp_path, retention=Retention(max_bytes=8 * 1024 * 1024)) as store:
        for i in range(100):
            store.record(act(float(i), reason("eu-1")), {"noise": os.urandom(100_000).hex()})
        kept = [row["decision"]["now_s"] for row in store.history("eu-1", limit=1_000)]
    # Six of the eight MiB are for the file; a record takes about 115 kB of them.
    assert 45 < len(kept) < 60
    assert kept == [99.0 - i for i in range(len(kept))]


def test_a_smaller_budget_drops_at_the_next_record(tmp_path: Path) -> None:
    with SqliteStore(tmp_path) as store:
        for i in range(60):
            store.record(act(float(i), reason("eu-1")), {"noise": os.urandom(100_000).hex()})
    small = Retention(max_bytes=4 * 1024 * 1024)
    with SqliteStore(tmp_path, retention=small) as store:
        store.record(act(60.0, reason("eu-1")), {})
        store.put("after", {})
    assert (tmp_path / FILE_NAME).stat().st_size <= small.max_bytes


def test_inputs_that_are_too_large_are_left_out_and_counted(tmp_path: Path) -> None:
    with SqliteStore(tmp_path, retention=Retention(max_bytes=4 * 1024 * 1024)) as store:
        store.record(act(1.0, reason("eu-1")), {"noise": os.urandom(2_000_000).hex()})
        kept = store.latest("eu-1")
        assert kept is not None
        assert kept["inputs"]["left_out_bytes"] > 2_000_000
        noise = reason("eu-1", text=os.urandom(2_000_000).hex())
        with pytest.raises(StoreError, match="raise max_bytes"):
            store.record(act(2.0, noise), {})


def test_what_has_no_json_form_is_refused_and_the_store_goes_on(store: SqliteStore) -> None:
    with pytest.raises(StoreError, match="has no JSON form"):
        store.record(act(1.0, reason("eu-1")), {"bad": object()})
    store.record(act(2.0, reason("eu-1")), {})
    assert store.latest("eu-1") is not None


def test_a_reader_beside_a_live_writer_sees_every_record(
    tmp_path: Path, store: SqliteStore
) -> None:
    store.record(act(1.0, reason("eu-1")), {})
    with SqliteReader(tmp_path) as reader:
        for i in range(3):
            store.record(act(2.0 + i, reason("eu-1")), {})
            seen = reader.latest("eu-1")
            assert seen is not None
            assert seen["decision"]["now_s"] == 2.0 + i


def test_a_reader_cannot_write(tmp_path: Path, store: SqliteStore) -> None:
    with (
        SqliteReader(tmp_path) as reader,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        reader._connection.execute("DELETE FROM decision")


WRITER = """
import sys
from pathlib import Path
from foreshard.adapters.store.sqlite import SqliteStore
from foreshard.model.plan import Decision, Hold, Plan, Reason
store = SqliteStore(Path(sys.argv[1]))
for i in range(1_000_000):
    why = Reason(subject="eu-1", code=f"code.{i}", text="x" * 3000)
    store.record(Decision(now_s=float(i), routing=Hold(because=(why,)), plan=Plan(splits={})), {})
    print(i, flush=True)
"""


@pytest.mark.parametrize("after", [0, 7, 150])
def test_a_writer_killed_in_the_middle_leaves_every_record_it_finished(
    tmp_path: Path, after: int
) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    try:
        for _ in range(after + 1):
            writer.stdout.readline()
    finally:
        writer.send_signal(signal.SIGKILL)
        told = writer.stdout.read().split()
        writer.stdout.close()
        writer.wait()
    finished = int(told[-1]) if told else after
    with SqliteReader(tmp_path) as reader:
        kept = [int(row["decision"]["now_s"]) for row in reader.history("eu-1", limit=10**6)]
    assert kept[0] in {finished, finished + 1}
    assert kept == list(range(kept[0], -1, -1))
    with SqliteStore(tmp_path) as store:
        store.record(hold(1e6, reason("eu-1")), {})
        newest = store.latest("eu-1")
    assert newest is not None
    assert newest["decision"]["now_s"] == 1e6


FULL_DISK = """
import resource, sys
from pathlib import Path
from foreshard.adapters.store.sqlite import SqliteStore
from foreshard.model.errors import StoreError
store = SqliteStore(Path(sys.argv[1]))
store.put("first", {"kept": True})
free, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
try:
    for i in range(100):
        store.put(f"key {i}", {"text": "".join(chr(32 + (i * j * j) % 90) for j in range(9_000))})
except StoreError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (free, hard))
store.put("last", store.get("first"))
print(store.get("last"))
"""


def test_a_full_disk_is_a_store_error_and_the_store_recovers(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    error, last = done.stdout.strip().split("\n")
    assert str(tmp_path) in error
    assert last == "{'kept': True}"


def test_no_store_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is none; has Foreshard run"):
        SqliteReader(tmp_path)


@pytest.mark.parametrize("opener", [SqliteStore, SqliteReader])
def test_a_newer_file_is_refused(tmp_path: Path, opener: type[SqliteStore | SqliteReader]) -> None:
    SqliteStore(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StoreError, match="has schema 99, this Foreshard knows up to 2"):
        opener(tmp_path)


@pytest.mark.parametrize("opener", [SqliteStore, SqliteReader])
def test_a_file_that_is_no_database_is_refused_and_untouched(
    tmp_path: Path, opener: type[SqliteStore | SqliteReader]
) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(b"my diary, very private " * 500)
    with pytest.raises(StoreError, match="not a database; move it away"):
        opener(tmp_path)
    assert path.read_bytes().startswith(b"my diary")


@pytest.mark.parametrize("opener", [SqliteStore, SqliteReader])
def test_another_programs_database_is_refused(
    tmp_path: Path, opener: type[SqliteStore | SqliteReader]
) -> None:
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        db.execute("CREATE TABLE bookmark (url TEXT)")
    db.close()
    with pytest.raises(StoreError, match="another program's file"):
        opener(tmp_path)


def test_a_file_damaged_in_the_middle_is_a_store_error(tmp_path: Path) -> None:
    with SqliteStore(tmp_path) as store:
        for i in range(200):
            store.record(act(float(i), reason("eu-1")), {"noise": os.urandom(3_000).hex()})
    path = tmp_path / FILE_NAME
    whole = bytearray(path.read_bytes())
    for page in range(2, len(whole) // 4096):
        whole[page * 4096 : page * 4096 + 200] = b"\xff" * 200
    path.write_bytes(whole)
    with pytest.raises(StoreError, match=str(path)), SqliteReader(tmp_path) as reader:
        reader.history("eu-1", limit=1_000)


def test_a_directory_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be made"):
        SqliteStore(tmp_path / "file" / "data")


def test_a_closed_store_says_so_and_may_be_closed_again(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.record(act(1.0, reason("eu-1")), {})


def test_a_second_writer_that_holds_the_file_is_a_store_error(
    tmp_path: Path, store: SqliteStore
) -> None:
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        store.put("key", {})
    other.execute("ROLLBACK")
    other.close()
    store.put("key", {"works": "again"})
    assert store.get("key") == {"works": "again"}


def test_threads_may_share_a_store(store: SqliteStore) -> None:
    def write(worker: int) -> None:
        for i in range(50):
            store.put(f"{worker}/{i}", {"i": i})

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for worker, i in itertools.product(range(4), range(50)):
        assert store.get(f"{worker}/{i}") == {"i": i}


@pytest.mark.parametrize(
    "bad", [{"max_bytes": 10}, {"max_age_s": 0.0}, {"frame_every_s": float("nan")}]
)
def test_a_retention_that_keeps_nothing_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(InvalidValueError, match=next(iter(bad))):
        Retention(**bad)  # type: ignore[arg-type]
