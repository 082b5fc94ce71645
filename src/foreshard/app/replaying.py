"""This module is `foreshard replay`: the decisions of a bundle, made again from what they saw.

`Engine.step` is a pure function: the same inputs give the same decision, bit for bit, on the same
version of Foreshard and of its solver. Where one comes out otherwise, it says which.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from foreshard import __version__
from foreshard.adapters.store.exact import restored
from foreshard.adapters.store.turns import SUFFIX, essence, lines_of
from foreshard.app.steering import engine_of
from foreshard.config import load
from foreshard.engine import Engine
from foreshard.model.errors import InvalidValueError, StoreError
from foreshard.model.plan import Act

__all__ = ["Replayed", "replay"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What came of it.

    Attributes:
        turns: How many were made again.
        acts: How many of them changed the plan.
        differing: Moments of those that came out otherwise.
        versions: Of Foreshard that made them.
    """

    turns: int
    acts: int
    differing: tuple[float, ...]
    versions: frozenset[str]

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
    try:
        with ZipFile(path) as archive:
            engine = _engine(archive)
            for name in sorted(n for n in archive.namelist() if n.endswith(SUFFIX)):
                lines = lines_of(archive.read(name))
                head = next(lines, None)
                if head is None:
                    continue
                versions.add(str(head["foreshard"]))
                for now_s, is_act, is_same in _again(engine, head, lines):
                    turns += 1
                    acts += is_act
                    if not is_same:
                        differing.append(now_s)
    except (OSError, BadZipFile, KeyError, InvalidValueError) as error:
        raise StoreError(f"bundle {path}: cannot be replayed ({error})") from error
    if not turns:
        raise StoreError(f"bundle {path}: holds no turns to replay; see its manifest.json")
    return Replayed(
        turns=turns, acts=acts, differing=tuple(differing), versions=frozenset(versions)
    )


def _engine(archive: ZipFile) -> Engine:
    with tempfile.TemporaryDirectory(prefix="foreshard-") as directory:
        file = Path(directory) / "config.yaml"
        file.write_bytes(archive.read("config.yaml"))
        return engine_of(load(file))


def _again(
    engine: Engine, head: Mapping[str, Any], lines: Iterator[Mapping[str, Any]]
) -> Iterator[tuple[float, bool, bool]]:
    """Moment, whether it acted, whether it came out the same; by turn."""
    state, forecast = restored(head["state"]), None
    for line in lines:
        observation = restored(line["observation"])
        if "forecast" in line:
            forecast = restored(line["forecast"])
        state, decision = engine.step(state, observation, forecast)
        yield (
            decision.now_s,
            isinstance(decision.routing, Act),
            essence(decision) == line["essence"],
        )
        if "applied" in line:
            state = engine.settle(state, applied=bool(line["applied"]))
