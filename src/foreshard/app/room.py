"""This module is how much memory is left to this process, and who goes first where there is none.

Training runs beside the engine, often within one limit (a container, a unit). Where it went over,
the kernel would end both; so it takes what is left and no more, and offers itself to be ended.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

__all__ = ["left_mb", "offer_to_be_ended"]

GROUPS = Path("/sys/fs/cgroup")
OWN_GROUP = Path("/proc/self/cgroup")
# Larger numbers than any machine has mean "no limit" to the kernel.
NO_LIMIT = 2**60


def left_mb(*, groups: Path = GROUPS, own: Path = OWN_GROUP) -> float | None:
    """Megabytes that the limits on this process's control groups leave; None = there is none.

    Args:
        groups: Where the kernel shows control groups.
        own: Where it says in which this process is.
    """
    found = [
        limit - used
        for folder, most, now in _places(groups, own)
        if (limit := _number(folder / most)) is not None
        and limit < NO_LIMIT
        and (used := _number(folder / now)) is not None
    ]
    return min(found) / 1e6 if found else None


def offer_to_be_ended() -> None:
    """Let the kernel end this process before any other that it could end."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("800", encoding="ascii")


def _places(groups: Path, own: Path) -> list[tuple[Path, str, str]]:
    """Folders of the groups that this process is in, up to the root, with the names in them."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    found = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "memory" not in controllers.split(","):
            continue
        root = groups / "memory" if controllers else groups
        names = (
            ("memory.limit_in_bytes", "memory.usage_in_bytes")
            if controllers
            else ("memory.max", "memory.current")
        )
        folder = root / path.lstrip("/")
        # Inside a container the path may be the host's, and the root is all that is seen.
        folders = [root, *(f for f in (folder, *folder.parents) if root in f.parents)]
        found += [(each, *names) for each in folders]
    return found


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
