"""This module is a strict reader of JSON objects: every refusal says where and what.

A reader of its own rather than a schema library: these documents come from our own processes
and our own disk, and the question is only whether they are damaged.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Self

from foreshard.model.errors import SinkError

__all__ = ["Document"]

SHOWN = 60


class Document:
    """One JSON object, and where it stands in the whole.

    Args:
        value: What was parsed.
        at: Its place, for messages: `table.cells[2]`.

    Raises:
        SinkError: It is not an object.
    """

    def __init__(self, value: object, *, at: str) -> None:
        if not isinstance(value, dict):
            raise SinkError(f"{at} is {_shown(value)}, must be an object")
        self._values: dict[str, object] = value
        self._at = at
        self._read: set[str] = set()

    @classmethod
    def parse(cls, content: bytes, *, at: str) -> Self:
        """Read JSON.

        Raises:
            SinkError: It is not JSON, or not an object.
        """
        try:
            return cls(json.loads(content), at=at)
        except ValueError as error:
            raise SinkError(f"{at} is not JSON ({error})") from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def has(self, key: str) -> bool:
        """Whether it has a key."""
        return key in self._values

    def as_mapping(self) -> Mapping[str, object]:
        """All of it."""
        return dict(self._values)

    def value(self, key: str) -> object:
        """Whatever is there."""
        return self._take(key)

    def text(self, key: str) -> str:
        """A string."""
        value = self._take(key)
        if not isinstance(value, str):
            raise self._wrong(key, value, "a string")
        return value

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        """One of some strings."""
        value = self.text(key)
        if value not in choices:
            raise self._wrong(key, value, f"one of {', '.join(choices)}")
        return value

    def whole(self, key: str) -> int:
        """An integer."""
        value = self._take(key)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._wrong(key, value, "an integer")
        return value

    def number(self, key: str) -> float:
        """A finite number."""
        value = self._take(key)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self._wrong(key, value, "a number")
        if not math.isfinite(value):
            raise self._wrong(key, value, "a finite number")
        return value

    def flag(self, key: str) -> bool:
        """True or false."""
        value = self._take(key)
        if not isinstance(value, bool):
            raise self._wrong(key, value, "true or false")
        return value

    def texts(self, key: str) -> list[str]:
        """A list of strings."""
        values = self._list(key)
        if not all(isinstance(value, str) for value in values):
            raise self._wrong(key, values, "a list of strings")
        return [str(value) for value in values]

    def pairs(self, key: str) -> list[tuple[str, int]]:
        """A list of `[string, integer]`."""
        found: list[tuple[str, int]] = []
        for i, value in enumerate(self._list(key)):
            match value:
                case [str() as text, int() as count] if not isinstance(count, bool):
                    found.append((text, count))
                case _:
                    raise self._wrong(f"{key}[{i}]", value, "a pair of string and integer")
        return found

    def child(self, key: str) -> Document:
        """An object inside."""
        return Document(self._take(key), at=f"{self._at}.{key}")

    def children(self, key: str, *, keys: Iterable[str] = ()) -> list[Document]:
        """A list of objects; `keys`, if given, is all that each may have."""
        found = [
            Document(value, at=f"{self._at}.{key}[{i}]") for i, value in enumerate(self._list(key))
        ]
        allowed = set(keys)
        for document in found:
            if allowed:
                document.refuse_beyond(allowed)
        return found

    def expect_nothing_else(self) -> None:
        """Refuse keys that nobody has read: a newer writer meant something by them.

        Raises:
            SinkError: There are such keys.
        """
        self.refuse_beyond(self._read)

    def refuse_beyond(self, allowed: set[str]) -> None:
        """Refuse keys outside a set.

        Raises:
            SinkError: There are such keys.
        """
        unknown = sorted(set(self._values) - allowed)
        if unknown:
            raise SinkError(
                f"{self._at}.{unknown[0]} is {_shown(self._values[unknown[0]])}, "
                f"but {self._at} has no such key"
            )

    def _take(self, key: str) -> object:
        self._read.add(key)
        try:
            return self._values[key]
        except KeyError:
            raise SinkError(
                f"{self._at}.{key} is missing; {self._at} has {', '.join(self._values) or 'none'}"
            ) from None

    def _list(self, key: str) -> list[object]:
        value = self._take(key)
        if not isinstance(value, list):
            raise self._wrong(key, value, "a list")
        return value

    def _wrong(self, key: str, value: object, due: str) -> SinkError:
        return SinkError(f"{self._at}.{key} is {_shown(value)}, must be {due}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
