"""This module is where running demos can be found by other commands of the same user."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from foreshard.model.errors import LabError

__all__ = ["Entry", "ask", "newest", "registered"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One running demo.

    Attributes:
        pid: Of its process.
        config: Of the Foreshard it runs.
        doors: Control URLs of its fleets.
    """

    pid: int
    config: Path
    doors: tuple[str, ...]


@contextmanager
def registered(entry: Entry) -> Iterator[None]:
    """List a demo inside the block."""
    path = _directory() / f"demo-{entry.pid}.json"
    path.write_text(
        json.dumps({"pid": entry.pid, "config": str(entry.config), "doors": entry.doors})
    )
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def newest() -> Entry:
    """The demo that was started last and still runs.

    Raises:
        LabError: None runs.
    """
    files = sorted(_directory().glob("demo-*.json"), key=lambda f: f.stat().st_mtime)
    for file in reversed(files):
        values = json.loads(file.read_text())
        if Path(f"/proc/{values['pid']}").exists():
            return Entry(
                pid=values["pid"], config=Path(values["config"]), doors=tuple(values["doors"])
            )
        file.unlink(missing_ok=True)
    raise LabError("no demo is running; start one with `foreshard demo`, or name a --config")


def _directory() -> Path:
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    directory = Path(base) / f"foreshard-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    if directory.stat().st_uid != os.getuid():
        raise LabError(f"{directory} belongs to somebody else; set XDG_RUNTIME_DIR")
    return directory


async def ask(door: str, path: str, body: Mapping[str, object]) -> None:
    """Post a body to a fleet's control door.

    Raises:
        LabError: It does not answer, or refuses; the sentence is the fleet's.
    """
    timeout = aiohttp.ClientTimeout(total=5.0)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(door + path, json=body) as answer,
        ):
            if answer.status >= 300:
                said = await answer.json()
                raise LabError(str(said.get("error", f"status {answer.status}")))
    except (aiohttp.ClientError, TimeoutError) as error:
        raise LabError(f"the demo's fleet at {door} does not answer: {error}") from error
