from __future__ import annotations

import asyncio
from pathlib import Path

from structlog.testing import capture_logs

from foreshard.controller import follow as following
from foreshard.controller.follow import Follower, follow


def test_only_what_comes_after_the_start_is_said_and_only_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("old\n")
    follower = Follower(path)
    with path.open("a") as out:
        out.write("one\ntw")
        out.flush()
        assert list(follower.lines()) == ["one"]
        out.write("o\n")
    assert list(follower.lines()) == ["two"]
    follower.close()


def test_a_file_that_is_put_aside_is_read_to_its_end_and_then_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    follower = Follower(path)
    assert list(follower.lines()) == []
    path.write_text("one\n")
    assert list(follower.lines()) == ["one"]
    with path.open("a") as out:
        out.write("two\n")
    path.rename(tmp_path / "x.log.1")
    path.write_text("three\n")
    assert list(follower.lines()) == ["two", "three"]
    follower.close()


def test_a_flood_is_skipped_and_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("")
    follower = Follower(path)
    path.write_text("x" * 99 + "\n" + "y" * 3 * following.MOST_BYTES + "\nlast\n")
    said = list(follower.lines())
    assert "are skipped here" in said[0]
    assert said[-1] == "last"
    follower.close()


async def test_a_childs_events_are_said_again_with_its_name_and_a_crash_word_by_word(
    tmp_path: Path,
) -> None:
    path = tmp_path / "engine.log"
    path.write_text("")
    with capture_logs() as logs:
        ear = asyncio.create_task(follow(path, process="engine"))
        await asyncio.sleep(0)
        with path.open("a") as out:
            out.write('{"event": "plan.applied", "level": "info", "version": 3}\n')
            out.write('{"event": "traffic.followed", "level": "info"}\n')
            out.write("ZeroDivisionError: division by zero\n")
        ear.cancel()
        await asyncio.gather(ear, return_exceptions=True)
    assert logs == [
        {"event": "plan.applied", "version": 3, "process": "engine", "log_level": "info"},
        {
            "event": "process.said",
            "process": "engine",
            "text": "ZeroDivisionError: division by zero",
            "log_level": "warning",
        },
    ]
