"""This module is where trained models stand: one sealed file each, and a note which one flies.

    models/<learner>/<id>.model       see `parcel`
    models/<learner>/champion.json    {"champion": id, "before": [ids, newest last], "since_s": 0}

The note is replaced by an atomic rename, so a reader sees the one before or the one after. The
champion, those it replaced, and the newest few are kept; others are dropped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from foreshard.adapters.store.parcel import Parcel, publish, read_parcel, write_parcel
from foreshard.model.errors import StoreError

__all__ = ["Note", "Shelf"]

KIND = "model"
SUFFIX = ".model"
NOTE = "champion.json"
# Champions that can be rolled back to, and challengers that can still be looked at.
KEPT_BEFORE, KEPT_OTHERS = 7, 7
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")
ID = re.compile(r"[a-z0-9][A-Za-z0-9-]{0,120}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Which model flies.

    Attributes:
        champion: Its id; "" = none does.
        before: Ids that flew before it, the last one last.
        since_s: Since when.
    """

    champion: str = ""
    before: tuple[str, ...] = ()
    since_s: float = 0.0


class Shelf:
    """The models of one learner.

    Args:
        directory: Of all models; made when something is kept.
        learner: Whose.

    Raises:
        StoreError: The name is none.
    """

    def __init__(self, directory: Path, learner: str) -> None:
        if NAME.fullmatch(learner) is None:
            raise StoreError(f"models: learner {learner!r} must be lower case, digits and dashes")
        self._directory = directory / learner
        self._learner = learner

    @classmethod
    def learners(cls, directory: Path) -> tuple[str, ...]:
        """Names of those of whom anything is kept, sorted."""
        if not directory.is_dir():
            return ()
        return tuple(
            sorted(p.name for p in directory.iterdir() if p.is_dir() and NAME.fullmatch(p.name))
        )

    def keep(self, parcel: Parcel, *, at_s: float) -> str:
        """Keep a model; returns its id, made of the learner, the moment and the contents.

        Raises:
            StoreError: It cannot be written.
        """
        when = datetime.fromtimestamp(at_s, tz=UTC).strftime("%Y%m%dT%H%M%SZ")
        scratch = self._directory / f".incoming-{when}{SUFFIX}"
        digest = write_parcel(scratch, parcel)
        name = f"{self._learner}-{when}-{digest[:8]}"
        try:
            scratch.replace(self._path(name))
        except OSError as error:
            raise StoreError(f"models {scratch}: cannot be kept ({error.strerror})") from error
        return name

    def ids(self) -> tuple[str, ...]:
        """Of all that are kept, oldest first."""
        found = self._directory.glob(f"*{SUFFIX}")
        return tuple(sorted(p.stem for p in found if ID.fullmatch(p.stem)))

    def newest_at_s(self) -> float | None:
        """When the newest model was kept; None = there is none."""
        times = []
        for name in self.ids():
            try:
                times.append(self._path(name).stat().st_mtime)
            except OSError:
                continue
        return max(times, default=None)

    def read(self, name: str) -> Parcel:
        """A kept model.

        Raises:
            StoreError: There is none of that id, or its file is refused (see `read_parcel`).
        """
        return read_parcel(self._path(name), KIND)

    def note(self) -> Note:
        """Which one flies.

        Raises:
            StoreError: The note cannot be read.
        """
        path = self._directory / NOTE
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            return Note(
                champion=str(value["champion"]),
                before=tuple(str(name) for name in value["before"]),
                since_s=float(value["since_s"]),
            )
        except FileNotFoundError:
            return Note()
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise StoreError(
                f"models {path}: cannot be read ({type(error).__name__}: {error}); promote a "
                "model to write it anew"
            ) from error

    def promote(self, name: str, *, at_s: float) -> Note:
        """Let a kept model fly from now on.

        Raises:
            StoreError: Its file is refused, or the note cannot be written.
        """
        self.read(name)
        try:
            note = self.note()
        except StoreError:
            # What flew before is not known any more; what is to fly now is.
            note = Note()
        if note.champion == name:
            return note
        before = tuple(each for each in (*note.before, note.champion) if each and each != name)
        return self._write(Note(champion=name, before=before[-KEPT_BEFORE:], since_s=at_s))

    def roll_back(self, *, at_s: float) -> Note:
        """Let the one fly again that flew before; what flies now is forgotten as a champion.

        Raises:
            StoreError: None flew before, its file is refused, or the note cannot be written.
        """
        note = self.note()
        if not note.before:
            raise StoreError(
                f"models of {self._learner}: none flew before "
                f"{note.champion or '(none flies)'}; `foreshard models promote` names any other"
            )
        self.read(note.before[-1])
        return self._write(Note(champion=note.before[-1], before=note.before[:-1], since_s=at_s))

    def drop_old(self) -> tuple[str, ...]:
        """Delete what is neither the champion, nor flew before it, nor among the newest few."""
        note = self.note()
        others = [name for name in self.ids() if name not in (note.champion, *note.before)]
        dropped = others[: max(0, len(others) - KEPT_OTHERS)]
        for name in dropped:
            self._path(name).unlink(missing_ok=True)
        return tuple(dropped)

    def _write(self, note: Note) -> Note:
        value: Mapping[str, Any] = {
            "champion": note.champion,
            "before": list(note.before),
            "since_s": note.since_s,
        }
        content = json.dumps(value, indent=1).encode()
        publish(self._directory / NOTE, content, what="models")
        return note

    def _path(self, name: str) -> Path:
        if ID.fullmatch(name) is None:
            raise StoreError(f"models: {name!r} is no id; `foreshard models list` names them")
        return self._directory / f"{name}{SUFFIX}"
