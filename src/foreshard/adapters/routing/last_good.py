"""This module is what a relay remembers: the last committed plan of one origin, on its own disk.

As with the committed table, the file is replaced whole and the one before is kept; a damaged
file is refused with its reason, and the previous one is used. The file's time says when the
control plane last confirmed that the plan is the live one.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from foreshard.adapters.routing.durable import read_file, replace_file
from foreshard.adapters.routing.envoy.edition import Edition, pack, unpack
from foreshard.adapters.routing.seal import Seal
from foreshard.model.errors import SinkError

__all__ = ["Kept", "LastGood"]

SUFFIX, PREVIOUS_SUFFIX = ".edition", ".previous.edition"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What was found on disk.

    Attributes:
        edition: The newest readable one; None = none.
        confirmed_at_s: When the control plane last said that it is the live plan.
        is_newest: Whether it is the file saved last, not the one before.
        problems: What is wrong with files that could not be used, for people.
    """

    edition: Edition | None
    confirmed_at_s: float = 0.0
    is_newest: bool = False
    problems: tuple[str, ...] = ()


class LastGood:
    """The last committed plan of an origin in a directory.

    Args:
        directory: Made if it is missing.
        origin: Region of the proxies.
        seal: What the file must carry.
    """

    def __init__(self, directory: Path, origin: str, seal: Seal) -> None:
        name = quote(origin, safe="")
        self._path = directory / f"{name}{SUFFIX}"
        self._previous = directory / f"{name}{PREVIOUS_SUFFIX}"
        self._origin = origin
        self._seal = seal
        self._is_refused = False

    def save(self, one: Edition) -> None:
        """Keep an edition, durably; blocks for as long as the disk takes.

        Raises:
            SinkError: It cannot be written; what was kept before still is.
        """
        content = pack(one, self._seal)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # What was refused must not take the place of the good one before it.
            replace_file(
                self._path, content, previous=None if self._is_refused else self._previous
            )
        except OSError as error:
            raise SinkError(f"last good plan {self._path}: cannot be written ({error})") from error
        self._is_refused = False

    def confirm(self) -> None:
        """Note that the kept edition is the live plan now.

        Raises:
            SinkError: It cannot be noted.
        """
        try:
            os.utime(self._path)
        except OSError as error:
            raise SinkError(f"last good plan {self._path}: cannot be touched ({error})") from error

    def load(self) -> Kept:
        """The newest edition that is readable, and what is wrong with the others."""
        problems: list[str] = []
        for path in (self._path, self._previous):
            try:
                one = self._read(path)
                at_s = min(path.stat().st_mtime, time.time())
            except FileNotFoundError:
                continue
            except (OSError, SinkError) as error:
                problems.append(f"last good plan {path} is refused: {error}")
                self._is_refused |= path == self._path
            else:
                return Kept(
                    edition=one,
                    confirmed_at_s=at_s,
                    is_newest=path == self._path,
                    problems=tuple(problems),
                )
        return Kept(edition=None, problems=tuple(problems))

    def _read(self, path: Path) -> Edition:
        return unpack(read_file(path), self._seal, origin=self._origin)
