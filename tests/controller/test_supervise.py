from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from foreshard.controller.supervise import supervise
from foreshard.model.errors import ProcessError

# Writes its pid, and its name when it is asked to end.
CHILD = """
import os, signal, sys, time
name, notes = sys.argv[1:]
def end(*_):
    open(notes + "/ended", "a").write(name + "\\n"); sys.exit(0)
signal.signal(signal.SIGTERM, end)
open(notes + "/" + name + ".part", "w").write(str(os.getpid()))
os.rename(notes + "/" + name + ".part", notes + "/" + name)
while True: time.sleep(0.05)
"""


def child(name: str, notes: Path) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", CHILD, name, str(notes)]


async def pid_of(name: str, notes: Path, *, other_than: int = 0) -> int:
    async with asyncio.timeout(20.0):
        while True:
            if (notes / name).exists():
                pid = int((notes / name).read_text())
                if pid != other_than:
                    return pid
            await asyncio.sleep(0.02)


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.e2e
async def test_a_process_that_dies_is_started_again_and_the_other_lives_on(
    tmp_path: Path,
) -> None:
    stop = asyncio.Event()
    commands = {name: child(name, tmp_path) for name in ("serve", "engine")}
    with capture_logs() as logs:
        work = asyncio.create_task(supervise(commands, log_dir=tmp_path / "logs", stop=stop))
        serve, engine = await pid_of("serve", tmp_path), await pid_of("engine", tmp_path)
        os.kill(engine, signal.SIGKILL)
        again = await pid_of("engine", tmp_path, other_than=engine)
        assert is_alive(serve)
        stop.set()
        await work
    assert not any(is_alive(pid) for pid in (serve, engine, again))
    died = [e for e in logs if e["event"] == "process.died"]
    assert [(e["process"], e["status"]) for e in died] == [("engine", -signal.SIGKILL)]
    # The last one that was started is ended first.
    assert (tmp_path / "ended").read_text().split() == ["engine", "serve"]


@pytest.mark.e2e
async def test_a_process_that_cannot_run_ends_the_others_with_what_it_said(tmp_path: Path) -> None:
    commands = {"engine": child("engine", tmp_path), "serve": ["/nowhere/serve"]}
    async with asyncio.timeout(20.0):
        with pytest.raises(ProcessError, match=r"serve cannot run: .*/nowhere/serve"):
            await supervise(commands, log_dir=tmp_path, stop=asyncio.Event())


@pytest.mark.e2e
async def test_a_log_that_cannot_be_written_ends_the_others_with_one_sentence(
    tmp_path: Path,
) -> None:
    (tmp_path / "serve.log").mkdir()
    commands = {"engine": child("engine", tmp_path), "serve": child("serve", tmp_path)}
    async with asyncio.timeout(20.0):
        with pytest.raises(ProcessError, match=r"serve cannot be started .*serve\.log"):
            await supervise(commands, log_dir=tmp_path, stop=asyncio.Event())
