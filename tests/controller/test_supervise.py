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

# A parent whose files end at 100,000 bytes, as on a full disk: EFBIG in the place of ENOSPC. It
# ends once its child has died.
PARENT = """
import asyncio, resource, sys
from pathlib import Path
from foreshard.app import logs
from foreshard.controller import supervise
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
logs.configure("json")
class Ear:
    def __init__(self, log, stop):
        self.log, self.stop = log, stop
    def info(self, event, **facts):
        self.log.info(event, **facts)
    def error(self, event, **facts):
        self.log.error(event, **facts)
        if event == "process.died":
            self.stop.set()
async def main():
    stop = asyncio.Event()
    supervise.log = Ear(supervise.log, stop)
    commands = {"engine": [sys.executable, "-c", sys.argv[2]]}
    await supervise.supervise(commands, vital=set(), log_dir=Path(sys.argv[1]), stop=stop)
asyncio.run(main())
"""
# It fills its own log first.
FILLS = """
import structlog
from foreshard.app import logs
logs.configure(None)
for number in range(2_000):
    structlog.get_logger().info("number", number=number, why="so that a line has some length")
raise RuntimeError("password=hidden-word was the last straw")
"""

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
        work = asyncio.create_task(
            supervise(commands, vital={"serve"}, log_dir=tmp_path / "logs", stop=stop)
        )
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
            await supervise(commands, vital={"serve"}, log_dir=tmp_path, stop=asyncio.Event())


@pytest.mark.e2e
async def test_a_log_that_cannot_be_written_ends_the_others_with_one_sentence(
    tmp_path: Path,
) -> None:
    (tmp_path / "serve.log").mkdir()
    commands = {"engine": child("engine", tmp_path), "serve": child("serve", tmp_path)}
    async with asyncio.timeout(20.0):
        with pytest.raises(ProcessError, match=r"serve cannot be started .*serve\.log"):
            await supervise(commands, vital={"serve"}, log_dir=tmp_path, stop=asyncio.Event())


async def parent(log_dir: Path, child: str) -> str:
    """What a parent says on its own standard error."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PARENT, str(log_dir), child),
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    async with asyncio.timeout(60.0):
        _, said = await process.communicate()
    assert process.returncode == 0, said
    return said.decode()


@pytest.mark.e2e
async def test_what_a_child_says_on_a_full_disk_comes_out_at_its_parent(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_bytes(b"x" * 99_998 + b"\n")
    said = await parent(tmp_path, "raise SystemExit('there is no fuel')")
    assert "there is no fuel" in said
    assert "process.log_full" in said
    assert log.stat().st_size <= 100_000


@pytest.mark.e2e
async def test_a_disk_that_fills_while_a_child_runs_hides_no_line_and_no_traceback(
    tmp_path: Path,
) -> None:
    said = await parent(tmp_path, FILLS)
    assert "RuntimeError: password=(left out) was the last straw" in said
    assert "hidden-word" not in said
    whole = (tmp_path / "engine.log").read_text() + said
    assert [n for n in range(2_000) if f'"number": {n},' not in whole] == []


@pytest.mark.e2e
async def test_a_log_that_is_a_device_is_no_log(tmp_path: Path) -> None:
    (tmp_path / "engine.log").symlink_to("/dev/full")
    assert "there is no fuel" in await parent(tmp_path, "raise SystemExit('there is no fuel')")
