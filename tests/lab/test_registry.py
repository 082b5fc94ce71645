from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from aiohttp import web

from foreshard.lab.registry import Entry, ask, newest, registered
from foreshard.model.errors import LabError


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def entry(pid: int, name: str = "shop.yaml") -> Entry:
    return Entry(pid=pid, config=Path("/somewhere") / name, doors=("http://127.0.0.1:1",))


def test_a_demo_is_found_while_it_is_listed_and_not_after() -> None:
    own = entry(os.getpid())
    with registered(own):
        assert newest() == own
    with pytest.raises(LabError, match="no demo is running; start one"):
        newest()


def test_the_demo_that_was_started_last_is_found(tmp_path: Path) -> None:
    with registered(entry(os.getppid(), "old.yaml")), registered(entry(os.getpid(), "new.yaml")):
        folder = next(tmp_path.glob("foreshard-*"))
        os.utime(folder / f"demo-{os.getppid()}.json", (1.0, 1.0))
        assert newest().config.name == "new.yaml"


def test_a_demo_that_died_without_a_word_is_forgotten(tmp_path: Path) -> None:
    gone = 2**22 + 1
    with registered(entry(gone)), pytest.raises(LabError, match="no demo is running"):
        newest()
    assert not list(tmp_path.glob("foreshard-*/demo-*.json"))


def test_an_entry_is_taken_off_the_list_when_the_demo_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), registered(entry(os.getpid())):
        raise RuntimeError
    assert not list(tmp_path.glob("foreshard-*/demo-*.json"))


def test_only_the_user_may_look_into_the_list(tmp_path: Path) -> None:
    with registered(entry(os.getpid())):
        folder = next(tmp_path.glob("foreshard-*"))
        assert folder.stat().st_mode & 0o077 == 0
        assert json.loads(next(folder.iterdir()).read_text())["pid"] == os.getpid()


async def test_a_door_that_is_shut_is_one_sentence() -> None:
    with pytest.raises(LabError, match=r"at http://127\.0\.0\.1:1 does not answer"):
        await ask("http://127.0.0.1:1", "/faults", {})


async def test_a_door_is_told_and_its_refusal_is_passed_on() -> None:
    told = []

    async def faults(request: web.Request) -> web.Response:
        told.append(await request.json())
        if len(told) > 1:
            return web.json_response({"error": "cell mars-1 is unknown"}, status=404)
        return web.json_response({})

    door = web.Application()
    door.router.add_post("/faults", faults)
    runner = web.AppRunner(door)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        await ask(url, "/faults", {"cell": "eu-1"})
        with pytest.raises(LabError, match="cell mars-1 is unknown"):
            await ask(url, "/faults", {"cell": "mars-1"})
    finally:
        await runner.cleanup()
    assert [body["cell"] for body in told] == ["eu-1", "mars-1"]
