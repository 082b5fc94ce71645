"""This module is `foreshard replay`: the decisions of a bundle, made again from what they saw.

`Engine.step` is a pure function: the same inputs give the same decision, bit for bit, on the same
version of Foreshard and of its solver. Where one comes out otherwise, it says which.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile, ZipFile

from foreshard import __version__
from foreshard.adapters.store.exact import restored
from foreshard.adapters.store.turns import SUFFIX, essence, lines_of
from foreshard.app.steering import engine_of
from foreshard.config import Settings, load
from foreshard.config.plain_file import open_plain
from foreshard.engine import Engine, EngineState
from foreshard.model.errors import InvalidValueError, StoreError
from foreshard.model.forecast import Forecast
from foreshard.model.plan import Act
from foreshard.model.telemetry import Observation
from foreshard.model.workload import RequestClass

__all__ = ["Replayed", "replay"]

MOST_OF_A_MEMBER = 64 * 1024 * 1024
# What a damaged, encrypted or foreign zip, or a segment of something else, is answered with.
UNREADABLE = (
    *(OSError, BadZipFile, zlib.error, RuntimeError),
    *(KeyError, InvalidValueError, StoreError),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What came of it.

    Attributes:
        turns: How many were made again.
        acts: How many of them changed the plan.
        differing: Moments of those that came out otherwise.
        versions: Of Foreshard that made them.
        cut: Why a segment ends before its end, by name; what a kill leaves is one of them.
    """

    turns: int
    acts: int
    differing: tuple[float, ...]
    versions: frozenset[str]
    cut: Mapping[str, str]

    @property
    def is_other_version(self) -> bool:
        """Whether another Foreshard than this one decided."""
        return self.versions - {__version__} != frozenset()


def replay(path: Path) -> Replayed:
    """Make every decision of a bundle again.

    Raises:
        StoreError: It is no bundle, or holds no turns.
        ConfigError: Its configuration cannot be used.
    """
    turns, acts, differing, versions = 0, 0, [], set()
    cut: dict[str, str] = {}
    try:
        with open_plain(path) as file, ZipFile(file) as archive:
            settings = _settings(archive)
            for name in sorted(n for n in archive.namelist() if n.endswith(SUFFIX)):
                lines = lines_of(_read(archive, name), damaged=partial(cut.__setitem__, name))
                head = next(lines, None)
                if head is None:
                    continue
                versions.add(str(head["foreshard"]))
                engine = _engine(settings, head.get("served"))
                for now_s, is_act, is_same in _again(engine, head, lines):
                    turns += 1
                    acts += is_act
                    if not is_same:
                        differing.append(now_s)
    except UNREADABLE as error:
        because = f"{type(error).__name__}: {error}"
        raise StoreError(f"bundle {path}: cannot be replayed ({because})") from error
    if not turns:
        because = "; ".join(f"{name} ends early ({why})" for name, why in cut.items())
        raise StoreError(
            f"bundle {path}: holds no turns to replay; see its manifest.json{because and '; '}"
            f"{because}"
        )
    return Replayed(
        turns=turns,
        acts=acts,
        differing=tuple(differing),
        versions=frozenset(versions),
        cut=cut,
    )


def _read(archive: ZipFile, name: str) -> bytes:
    """A member of no more than a bundle may have.

    Raises:
        StoreError: It says that it is larger.
    """
    size = archive.getinfo(name).file_size
    if size > MOST_OF_A_MEMBER:
        raise StoreError(f"{name} has {size} bytes, a bundle's files have {MOST_OF_A_MEMBER}")
    return archive.read(name)


def _settings(archive: ZipFile) -> Settings:
    with tempfile.TemporaryDirectory(prefix="foreshard-") as directory:
        file = Path(directory) / "config.yaml"
        file.write_bytes(_read(archive, "config.yaml"))
        return load(file)


def _engine(settings: Settings, served: object) -> Engine:
    """The engine of a segment; one from before classes could change says nothing of them."""
    if served is None:
        return engine_of(settings)
    try:
        told = restored(served)
        classes, default_class = told["classes"], told["default_class"]
        is_told = all(isinstance(each, RequestClass) for each in classes)
    except (TypeError, ValueError, AttributeError, LookupError) as error:
        raise StoreError(f"no request classes can be read ({error})") from error
    if not is_told or not isinstance(default_class, str):
        raise StoreError("something else stands where request classes must be")
    return engine_of(settings, classes=classes, default_class=default_class)


T = TypeVar("T")


def _as(kind: type[T], document: object) -> T:
    """A value of that kind.

    Raises:
        StoreError: The document is of something else.
    """
    try:
        value = restored(document)
    except (TypeError, ValueError, AttributeError, LookupError) as error:
        raise StoreError(f"no {kind.__name__} can be read ({error})") from error
    if not isinstance(value, kind):
        raise StoreError(f"a {type(value).__name__} stands where {kind.__name__} must be")
    return value


def _again(
    engine: Engine, head: Mapping[str, Any], lines: Iterator[Mapping[str, Any]]
) -> Iterator[tuple[float, bool, bool]]:
    """Moment, whether it acted, whether it came out the same; by turn."""
    state, forecast = _as(EngineState, head["state"]), None
    for line in lines:
        observation = _as(Observation, line["observation"])
        if "forecast" in line:
            forecast = None if line["forecast"] is None else _as(Forecast, line["forecast"])
        state, decision = engine.step(state, observation, forecast)
        yield (
            decision.now_s,
            isinstance(decision.routing, Act),
            essence(decision) == line["essence"],
        )
        if "applied" in line:
            state = engine.settle(state, applied=bool(line["applied"]))
