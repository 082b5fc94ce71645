"""This module is what is rendered, on a real Envoy."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import xxhash

from foreshard.adapters.routing.envoy.access_log import STAT_PREFIX
from foreshard.model.routing import RoutingTable
from foreshard.model.topology import Cell
from foreshard.model.workload import Match
from foreshard.router import Router
from foreshard.router.path import normalised
from tests.adapters.routing.envoy_bench import Bench, bench
from tests.adapters.routing.envoy_tables import (
    CHECKOUT,
    REPORT,
    SEARCH,
    free_route,
    keyed_route,
    table,
)

pytestmark = pytest.mark.e2e

NAMES = ("eu-1", "eu-2", "eu-3")
RUNS = [("eu-1", 1000), ("eu-2", 2000), ("", 96), ("eu-1", 500), ("eu-3", 500)]


def one_class_a_cell(fleet: tuple[Cell, ...]) -> RoutingTable:
    return table(
        fleet,
        keyed_route(CHECKOUT, [("eu-1", 4096)], fleet),
        free_route(SEARCH, {"eu-2": 1}),
        free_route(REPORT, {"eu-3": 1}),
    )


def fleet_of(running: Bench) -> tuple[Cell, ...]:
    return tuple(backend.cell for backend in running.backends.values())


def key(number: int) -> dict[str, str]:
    return {"x-key": f"key-{number}"}


async def broken_routes(running: Bench) -> dict[str, int]:
    """Requests that met no route or a missing cluster."""
    counters = await running.envoy.counters(rf"^{STAT_PREFIX}\.edge")
    return {k: v for k, v in counters.items() if k.rsplit(".", 1)[1] in {"NR", "NC"}}


async def test_the_edge_decides_the_class_whatever_the_client_says(tmp_path: Path) -> None:
    async with bench(NAMES, one_class_a_cell, tmp_path) as running:
        spoofed = {"x-foreshard-class": "checkout", "X-Foreshard-Class": "report"}
        assert await running.ask("/search?q=1") == (200, "eu-2")
        assert await running.ask("/search", headers=spoofed) == (200, "eu-2")
        assert await running.ask("/checkout", method="POST") == (200, "eu-1")
        assert await running.ask("/checkout") == (200, "eu-3"), "GET is not checkout's method"
        assert await running.ask("//x/../search") == (200, "eu-2")
        assert await running.ask("/elsewhere") == (200, "eu-3")
        seen = {h["x-foreshard-class"] for h in running.backends["eu-2"].headers}
        assert seen == {"search"}
        assert not await broken_routes(running)


async def test_a_client_cannot_choose_its_timeout_or_retries(tmp_path: Path) -> None:
    async with bench(NAMES, one_class_a_cell, tmp_path) as running:
        running.backends["eu-1"].status = 503
        asked = {"x-envoy-retry-on": "5xx", "x-envoy-max-retries": "3"}
        status, _ = await running.ask("/checkout", method="POST", headers=asked)
        assert status == 503
        assert running.backends["eu-1"].served["/checkout"] == 1
        hurried = {"x-envoy-upstream-rq-timeout-ms": "10"}
        running.backends["eu-2"].delay_s = 0.1
        assert await running.ask("/search", headers=hurried) == (200, "eu-2")


async def test_odd_paths_are_what_the_router_takes_them_for(tmp_path: Path) -> None:
    odd = (
        r"/a/b //a//b /a/./b /x/../a //x/../a /a//../b /%61 /a%2Fb /a%2fb /a/%2e%2e/b /%2E/a "
        r"/a\b /a/..\b /.. /../a /a/.. /a/. /a;x=1 /a%7e~ /a%zz /a?b=/../c /%c3%a9 "
        r"/a/b/../../../c /a%20b /%41%5F%2D /a...b/..c/.d/... /a/%2e /a/.%2e/b /a// // /// "
        r"/a/../ /a|b^c<>`{} /"
    )

    def one(fleet: tuple[Cell, ...]) -> RoutingTable:
        return table(fleet, free_route(REPORT, {"eu-1": 1}))

    async with bench(("eu-1",), one, tmp_path) as running:
        seen = running.backends["eu-1"].served
        for path in odd.split():
            seen.clear()
            port = running.settings.listen_port
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".encode())
            await reader.read()
            writer.close()
            assert [taken.partition("?")[0] for taken in seen] == [normalised(path)], path


async def test_forty_classes_are_told_apart_in_the_tables_order(tmp_path: Path) -> None:
    def many(fleet: tuple[Cell, ...]) -> RoutingTable:
        awkward = replace(SEARCH, name="odd", match=Match(path_prefix="/it's)%\\"))
        classes = [awkward] + [
            replace(SEARCH, name=f"c{i}", match=Match(path_prefix=f"/{i}")) for i in range(40)
        ]
        routes = [free_route(c, {"eu-1": 1}) for c in classes]
        return table(fleet, *routes, free_route(REPORT, {"eu-1": 1}))

    async with bench(("eu-1",), many, tmp_path) as running:
        for path, name in (("/0", "c0"), ("/39", "c3"), ("/4", "c4"), ("/report", "report")):
            assert await running.ask(path) == (200, "eu-1")
            assert running.backends["eu-1"].headers[-1]["x-foreshard-class"] == name


async def test_a_hundred_classes_are_told_apart_by_a_tree(tmp_path: Path) -> None:
    starts = [f"/area-{i % 20}/{'it' * (i // 20)}" for i in range(100)]
    matches = {f"c{i}": Match(path_prefix=start) for i, start in enumerate(reversed(starts))}
    matches["report"] = Match()

    def many(fleet: tuple[Cell, ...]) -> RoutingTable:
        classes = [replace(SEARCH, name=name, match=match) for name, match in matches.items()]
        return table(fleet, *(free_route(each, {"eu-1": 1}) for each in classes))

    async with bench(("eu-1",), many, tmp_path) as running:
        for path in ("/area-7/", "/area-7/ititx", "/area-19/it", "/area-0/it7", "/area", "/z"):
            assert await running.ask(path) == (200, "eu-1")
            meant = next(name for name, match in matches.items() if match.takes("GET", path, {}))
            assert running.backends["eu-1"].headers[-1]["x-foreshard-class"] == meant


MATCHES = {
    "one-user": Match(path_template="/users/{id}"),
    "orders": Match(path_template="/users/{id}/orders.v1", method="GET"),
    "gold": Match(headers={"x-tier": "gold'"}),
    "traced": Match(path_prefix="/api", headers={"x-trace": ""}),
    "pay": Match(grpc_method="shop.v1.Payments/Pay"),
    "payments": Match(grpc_method="shop.v1.Payments"),
}
GRPC = {"content-type": "application/grpc+proto"}
REQUESTS: list[tuple[str, str, dict[str, str]]] = [
    ("GET", "/users/7", {}),
    ("GET", "/users/", {}),
    ("GET", "/users/7/orders.v1", {}),
    ("POST", "/users/7/orders.v1", {}),
    ("GET", "/users/7/ordersxv1", {}),
    ("GET", "/users/7/8/orders.v1", {}),
    ("GET", "/x/users/7", {}),
    ("GET", "/any", {"x-tier": "gold'"}),
    ("GET", "/any", {"x-tier": "gold"}),
    ("GET", "/any", {"x-tier": ""}),
    ("GET", "/api/x", {"x-trace": "1"}),
    ("GET", "/api/x", {}),
    ("POST", "/shop.v1.Payments/Pay", GRPC),
    ("POST", "/shop.v1.Payments/Refund", GRPC),
    ("POST", "/shop.v1.PaymentsX/Pay", GRPC),
    ("POST", "/shop.v1.Payments/Pay", {"content-type": "application/json"}),
    ("GET", "/shop.v1.Payments/Pay", GRPC),
]


async def test_templates_headers_and_grpc_methods_mean_to_envoy_what_they_mean_to_us(
    tmp_path: Path,
) -> None:
    def matched(fleet: tuple[Cell, ...]) -> RoutingTable:
        classes = [replace(SEARCH, name=name, match=match) for name, match in MATCHES.items()]
        routes = [free_route(c, {"eu-1": 1}) for c in classes]
        return table(fleet, *routes, free_route(replace(REPORT, match=Match()), {"eu-1": 1}))

    async with bench(("eu-1",), matched, tmp_path) as running:
        told, meant = {}, {}
        for request in REQUESTS:
            method, path, headers = request
            assert await running.ask(path, method=method, headers=headers) == (200, "eu-1")
            told[str(request)] = running.backends["eu-1"].headers[-1]["x-foreshard-class"]
            takers = [name for name, m in MATCHES.items() if m.takes(method, path, headers)]
            meant[str(request)] = (*takers, "report")[0]
        assert told == meant
        assert set(meant.values()) == {*MATCHES, "report"}


async def test_every_key_goes_to_the_owner_of_its_slot(tmp_path: Path) -> None:
    def runs(fleet: tuple[Cell, ...]) -> RoutingTable:
        return table(fleet, keyed_route(CHECKOUT, RUNS, fleet))

    owner_of = [owner for owner, length in RUNS for _ in range(length)]
    async with bench(NAMES, runs, tmp_path) as running:
        wrong = {}
        for number in range(2_000):
            status, name = await running.ask("/checkout", method="POST", headers=key(number))
            slot = xxhash.xxh64(f"key-{number}".encode(), seed=0).intdigest() % 4096
            got = "" if status == 429 else name
            if got != owner_of[slot]:
                wrong[number] = (got, owner_of[slot])
        assert not wrong
        status, _ = await running.ask("/checkout", method="POST")
        assert status in {200, 429}, "a request without a key goes anywhere"


async def test_odd_keys_go_where_the_router_sends_them(tmp_path: Path) -> None:
    """Empty, sent twice in either order, no ASCII, in blanks, long: what is hashed are bytes."""
    runs = [(name, 1) for _ in range(1_365) for name in NAMES]

    def even(fleet: tuple[Cell, ...]) -> RoutingTable:
        return table(fleet, keyed_route(CHECKOUT, [*runs, ("eu-1", 1)], fleet))

    odd: list[tuple[bytes, ...]] = [
        (b"",),
        ("naïve-ключ".encode(),),
        ("naïve".encode("latin-1"),),
        (b"a b\tc",),
        (b"k" * 5_000,),
        *((f"{n}".encode(), b"z") for n in range(12)),
        *((b"z", f"{n}".encode()) for n in range(12)),
        *((f"{n}".encode(), b"", b"\xff") for n in range(12)),
    ]
    async with bench(NAMES, even, tmp_path) as running:
        router = Router(even(fleet_of(running)))
        port = running.settings.listen_port
        for keys in odd:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            lines = b"".join(b"x-key:  %b \r\n" % value for value in keys)
            head = b"POST /checkout HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n"
            writer.write(head + b"connection: close\r\n" + lines + b"\r\n")
            answer = (await reader.read()).decode()
            writer.close()
            one = keys[0] if len(keys) == 1 else keys
            found = router.route("checkout", "eu", one)
            assert isinstance(found, Cell)
            assert answer.endswith(found.name), keys


async def test_shedding_is_exact_says_when_to_return_and_asks_no_cell(tmp_path: Path) -> None:
    def half(fleet: tuple[Cell, ...]) -> RoutingTable:
        return table(fleet, free_route(SEARCH, {"eu-1": 1, "eu-2": 1}, shed=2))

    async with bench(NAMES, half, tmp_path) as running:
        url = f"http://127.0.0.1:{running.settings.listen_port}/search"
        seen: Counter[tuple[int, str]] = Counter()
        for _ in range(400):
            async with running.session.get(url) as answer:
                seen[answer.status, answer.headers.get("retry-after", "")] += 1
        assert set(seen) == {(200, ""), (429, "5")}
        assert 140 < seen[429, "5"] < 260
        served = sum(b.served["/search"] for b in running.backends.values())
        assert served == seen[200, ""]
        assert not running.backends["eu-3"].served


async def test_a_retry_never_meets_the_shed_entry_and_what_is_shed_is_never_retried(
    tmp_path: Path,
) -> None:
    def tenth(fleet: tuple[Cell, ...]) -> RoutingTable:
        return table(fleet, free_route(SEARCH, {"eu-1": 9, "eu-2": 9}, shed=2))

    async with bench(NAMES, tenth, tmp_path) as running:
        for backend in running.backends.values():
            backend.status = 503
        asked = 1_200
        seen: Counter[int] = Counter()
        for _ in range(asked // 60):
            answers = await asyncio.gather(*(running.ask("/search") for _ in range(60)))
            seen.update(status for status, _ in answers)
        tries = sum(b.served["/search"] for b in running.backends.values())
    assert set(seen) == {503, 429}
    assert tries > 1.05 * seen[503], "what failed was tried again"
    # Each retry that could be shed would add to it; chance alone reaches three points once in 700.
    assert abs(seen[429] / asked - 0.1) < 0.03


async def test_a_cell_that_is_left_out_gets_nothing_new_and_finishes_what_it_has(
    tmp_path: Path,
) -> None:
    def everywhere(fleet: tuple[Cell, ...]) -> RoutingTable:
        return table(fleet, free_route(SEARCH, dict.fromkeys(NAMES, 1)))

    async with bench(NAMES, everywhere, tmp_path) as running:
        for backend in running.backends.values():
            backend.delay_s = 0.3
        open_requests = [asyncio.create_task(running.ask("/search")) for _ in range(12)]
        await asyncio.sleep(0.1)
        assert running.backends["eu-1"].served["/search"]
        rest = table(fleet_of(running), free_route(SEARCH, {"eu-2": 1, "eu-3": 3}))
        await running.steer(rest)
        had = running.backends["eu-1"].served["/search"]
        later = await asyncio.gather(*(running.ask("/search") for _ in range(20)))
        assert {status for status, _ in later} == {200}
        assert {status for status, _ in await asyncio.gather(*open_requests)} == {200}
        assert running.backends["eu-1"].served["/search"] == had


async def test_a_free_class_feels_nothing_when_a_cell_dies_and_nobody_plans(
    tmp_path: Path,
) -> None:
    def everywhere(fleet: tuple[Cell, ...]) -> RoutingTable:
        return table(fleet, free_route(SEARCH, {"eu-1": 3, "eu-2": 2, "eu-3": 2}))

    async with bench(NAMES, everywhere, tmp_path) as running:
        running.backends["eu-1"].delay_s = 0.2
        first = [asyncio.create_task(running.ask("/search")) for _ in range(8)]
        await asyncio.sleep(0.1)
        await running.backends["eu-1"].kill()
        answers = [await running.ask("/search") for _ in range(60)]
        answers += await asyncio.gather(*first)
        assert {status for status, _ in answers} == {200}


async def test_what_reached_no_cell_is_asked_of_another_and_what_broke_off_is_not(
    tmp_path: Path,
) -> None:
    once = replace(SEARCH, retriable=False)

    def everywhere(fleet: tuple[Cell, ...]) -> RoutingTable:
        return table(fleet, free_route(once, dict.fromkeys(NAMES, 1)))

    async with bench(NAMES, everywhere, tmp_path) as running:
        for backend in running.backends.values():
            backend.delay_s = 0.3
        under_way = [asyncio.create_task(running.ask("/search")) for _ in range(12)]
        await asyncio.sleep(0.1)
        dead = running.backends["eu-1"]
        inside = dead.served["/search"]
        assert inside
        await dead.kill()
        broken = [status for status, _ in await asyncio.gather(*under_way) if status != 200]
        assert len(broken) == inside, "each may have been done; none is asked again"
        assert sum(b.served["/search"] for b in running.backends.values()) == 12
        for backend in running.backends.values():
            backend.delay_s = 0.0
        # So few at once that the budget of retries has room for all that meet the dead cell.
        for _ in range(5):
            answers = await asyncio.gather(*(running.ask("/search") for _ in range(12)))
            assert {status for status, _ in answers} == {200}
        assert sum(b.served["/search"] for b in running.backends.values()) == 12 + 60


async def test_a_dead_cells_keys_move_to_one_backup_each_and_come_home(tmp_path: Path) -> None:
    def keyed(fleet: tuple[Cell, ...]) -> RoutingTable:
        runs = [("eu-1", 2048), ("eu-2", 1024), ("eu-3", 1024)]
        return table(fleet, keyed_route(CHECKOUT, runs, fleet))

    async with bench(NAMES, keyed, tmp_path) as running:

        async def homes() -> list[tuple[int, str]]:
            asked = (running.ask("/checkout", method="POST", headers=key(n)) for n in range(60))
            return await asyncio.gather(*asked)

        # Envoy's threads learn of an ejection and of its end one after the other: what counts is
        # what all of them say.
        async def until(is_so: Callable[[list[tuple[int, str]]], bool]) -> list[tuple[int, str]]:
            async with asyncio.timeout(15):
                while True:
                    found = await homes()
                    if is_so(found):
                        return found
                    await asyncio.sleep(0.2)

        before = await homes()
        dead = running.backends["eu-1"]
        await dead.kill()
        away = await until(lambda found: all(s == 200 and name != "eu-1" for s, name in found))
        moved = {n for n, (_, name) in enumerate(before) if name == "eu-1"}
        assert len(moved) > 10
        assert {away[n][1] for n in moved} == {"eu-2", "eu-3"}, "spread over the backups"
        assert all(away[n] == before[n] for n in range(60) if n not in moved)
        assert await homes() == away, "a key has one backup"
        await dead.start()
        await until(lambda found: found == before)


async def test_an_owner_that_fails_in_a_row_is_ejected_and_backups_serve_its_keys(
    tmp_path: Path,
) -> None:
    def keyed(fleet: tuple[Cell, ...]) -> RoutingTable:
        runs = [("eu-1", 2048), ("eu-2", 1024), ("eu-3", 1024)]
        return table(fleet, keyed_route(CHECKOUT, runs, fleet))

    async with bench(NAMES, keyed, tmp_path) as running:

        async def asked() -> list[tuple[int, str]]:
            return [
                await running.ask("/checkout", method="POST", headers=key(n)) for n in range(60)
            ]

        before = await asked()
        moved = {n for n, (_, name) in enumerate(before) if name == "eu-1"}
        running.backends["eu-1"].status = 500
        during = await asked()
        failed = [n for n, (status, _) in enumerate(during) if status != 200]
        # Envoy's workers hear of an ejection a moment after it was decided.
        assert 0 <= len(failed) - running.settings.net.consecutive_5xx <= 5
        assert set(failed) <= moved
        away = {during[n][1] for n in moved - set(failed)}
        assert away == {"eu-2", "eu-3"}, "health checks are green all the time"
        running.backends["eu-1"].status = 200
        async with asyncio.timeout(15):
            while await asked() != before:
                pass


async def test_pushing_a_plan_breaks_no_request(tmp_path: Path) -> None:
    def first(fleet: tuple[Cell, ...]) -> RoutingTable:
        return table(fleet)

    async with bench(NAMES, first, tmp_path) as running:
        fleet = fleet_of(running)
        statuses: Counter[int] = Counter()
        is_over = asyncio.Event()

        async def client(number: int) -> None:
            while not is_over.is_set():
                search, _ = await running.ask("/search")
                checkout, _ = await running.ask("/checkout", method="POST", headers=key(number))
                statuses.update((search, checkout))

        clients = [asyncio.create_task(client(number)) for number in range(4)]
        for turn in range(12):
            weights = {name: 1 + (turn + i) % 3 for i, name in enumerate(NAMES)}
            if turn % 3 == 0:
                del weights["eu-1"]
            cut = 256 * turn
            runs = [("eu-1", 1024 + cut), ("eu-2", 3072 - cut)]
            await running.steer(
                table(
                    fleet,
                    keyed_route(CHECKOUT, [run for run in runs if run[1]], fleet),
                    free_route(SEARCH, weights),
                    free_route(REPORT, weights, shed=turn),
                )
            )
        is_over.set()
        await asyncio.gather(*clients)
        assert set(statuses) == {200}
        assert not running.plane.refusals
        assert not await broken_routes(running)


async def test_a_dead_fleet_is_an_answer_not_a_hang(tmp_path: Path) -> None:
    async with bench(NAMES, one_class_a_cell, tmp_path) as running:
        for backend in running.backends.values():
            await backend.kill()
        status, _ = await running.ask("/search")
        assert status == 503
