import asyncio
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from foreshard.controller.process import LOOPBACK, free_port, hold_port, start
from foreshard.model.errors import ProcessError


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - files and /proc cannot be awaited
        await asyncio.sleep(0.02)


async def test_a_child_that_will_not_end_is_ended(tmp_path: Path) -> None:
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print('ready', flush=True); time.sleep(60)"
    )
    child = await start([sys.executable, "-c", stubborn], name="mule", log=tmp_path / "mule.log")
    async with asyncio.timeout(20.0):
        await until(lambda: "ready" in child.tail())
        assert await child.terminate(grace_s=0.1) == -9
    assert not child.is_running


async def test_a_child_that_ends_by_itself_is_left_in_peace(tmp_path: Path) -> None:
    child = await start([sys.executable, "-c", "print('done')"], name="x", log=tmp_path / "x.log")
    assert await child.wait() == 0
    child.kill()
    assert await child.terminate() == 0
    assert child.tail() == "done"


async def test_a_program_that_does_not_exist_says_so_in_its_log(tmp_path: Path) -> None:
    child = await start(["no-such-program"], name="x", log=tmp_path / "x.log")
    assert await child.wait() == 127
    assert child.tail() == "cannot start no-such-program: No such file or directory"


async def test_a_log_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ProcessError, match="x cannot be started"):
        await start(["true"], name="x", log=tmp_path / "file" / "x.log")


async def test_what_a_child_started_ends_with_it(tmp_path: Path) -> None:
    family = (
        "import subprocess, sys; "
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
        "print(p.pid, flush=True); p.wait()"
    )
    child = await start([sys.executable, "-c", family], name="x", log=tmp_path / "x.log")
    async with asyncio.timeout(20.0):
        await until(lambda: child.tail().isdigit())
        grandchild = int(child.tail())
        child.kill()
        await child.wait()
        await until(lambda: not is_alive(grandchild))


def test_a_held_port_refuses_callers_and_lets_a_child_listen() -> None:
    hold = hold_port()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((LOOPBACK, hold.port)).close()
    with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
        stranger.bind((LOOPBACK, hold.port))
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((LOOPBACK, hold.port))
        listener.listen()
        socket.create_connection((LOOPBACK, hold.port)).close()
    hold.release()


def test_a_free_port_can_be_listened_on() -> None:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, free_port()))


def is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    # An orphan that nobody reaps stays as a zombie: it holds nothing and runs nothing.
    return stat.rsplit(")", 1)[1].split()[0] != "Z"
