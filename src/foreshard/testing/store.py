"""This module is a state store that forgets everything when the process ends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from math import isfinite, isnan
from typing import Any

from foreshard.model.errors import StoreError
from foreshard.model.plan import Act, Decision, Hold
from foreshard.model.workload import Flow

__all__ = ["MemoryStore"]


class MemoryStore:
    """A `StateStore` in memory; values pass through JSON, as they would through a disk.

    Attributes:
        records: What was recorded, oldest first, as `latest` gives it.
    """

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self._values: dict[str, str] = {}
        self._broken = ""

    def fail(self, because: str) -> None:
        """Raise `StoreError` on every write from now on; "" = work again."""
        self._broken = because

    def record(self, decision: Decision, inputs: Mapping[str, Any]) -> None:
        """Keep a decision with the inputs it saw.

        Raises:
            StoreError: A test said so.
        """
        self._write()
        self.records.append(
            json.loads(json.dumps({"decision": _plain(decision), "inputs": _plain(inputs)}))
        )

    def latest(self, cell: str) -> Mapping[str, Any] | None:
        """The newest record that has a reason about the cell."""
        about = (
            record
            for record in reversed(self.records)
            if any(r["subject"] == cell for r in record["decision"]["routing"]["because"])
        )
        return next(about, None)

    def put(self, key: str, value: Mapping[str, Any]) -> None:
        """Keep a value under a key, in the place of the one before.

        Raises:
            StoreError: A test said so.
        """
        self._write()
        self._values[key] = json.dumps(_plain(value))

    def get(self, key: str) -> Mapping[str, Any] | None:
        """The value kept under a key; None when there is none."""
        kept = self._values.get(key)
        found: Mapping[str, Any] | None = None if kept is None else json.loads(kept)
        return found

    def _write(self) -> None:
        if self._broken:
            raise StoreError(f"memory store: {self._broken}")


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        plain = {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
        return {"kind": type(value).__name__.lower(), **plain} if _is_choice(value) else plain
    if isinstance(value, Mapping):
        return {_key(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list | set | frozenset):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not isfinite(value):
        return "NaN" if isnan(value) else "Infinity" if value > 0.0 else "-Infinity"
    return value


def _is_choice(value: object) -> bool:
    """Whether a reader could not tell from the fields what it is."""
    return isinstance(value, Act | Hold)


def _key(key: object) -> str:
    return f"{key.origin}/{key.request_class}" if isinstance(key, Flow) else str(key)
