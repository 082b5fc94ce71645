"""This module is JSON that is not trusted: each value is asked for by name, type and bounds.

A refusal names the place in the file, what stands there and what should.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from foreshard.model.errors import LabError

__all__ = ["Value", "document"]

# Whoever reads the message needs to recognise the value, not all of it.
SHOWN = 60
# Nothing that is drawn is larger; far below where arithmetic on floats overflows.
LARGEST = 1e15


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a document and where it stands.

    Attributes:
        raw: As `json` gave it.
        place: Such as `faults[0].at_s`; "" = the document.
    """

    raw: Any
    place: str = ""

    def refuse(self, wanted: str) -> NoReturn:
        """Say what is wrong.

        Raises:
            LabError: Always.
        """
        shown = json.dumps(self.raw, default=repr)
        shown = shown if len(shown) <= SHOWN else shown[:SHOWN] + "..."
        raise LabError(
            f"the report is damaged: {self.place or 'it'} is {shown}, must be {wanted}; "
            "write it anew with `foreshard demo --json FILE`"
        )

    def __getitem__(self, key: str) -> Value:
        if not isinstance(self.raw, Mapping):
            self.refuse("an object")
        if key not in self.raw:
            Value(None, f"{self.place}.{key}".lstrip(".")).refuse("there")
        return Value(self.raw[key], f"{self.place}.{key}".lstrip("."))

    def get(self, key: str) -> Value | None:
        """The value of a key; None when it is not there, or null."""
        if not isinstance(self.raw, Mapping):
            self.refuse("an object")
        return None if self.raw.get(key) is None else self[key]

    def entries(self) -> dict[str, Value]:
        """The values of an object."""
        if not isinstance(self.raw, Mapping):
            self.refuse("an object")
        return {key: self[key] for key in self.raw}

    def items(self, length: int | None = None) -> list[Value]:
        """The values of a list, of so many when that is known."""
        if not isinstance(self.raw, list):
            self.refuse("a list")
        if length is not None and len(self.raw) != length:
            self.refuse(f"a list of {length}, not of {len(self.raw)}")
        return [Value(item, f"{self.place}[{i}]") for i, item in enumerate(self.raw)]

    def text(self) -> str:
        """A text."""
        if not isinstance(self.raw, str):
            self.refuse("a text")
        return self.raw

    def flag(self) -> bool:
        """True or false."""
        if not isinstance(self.raw, bool):
            self.refuse("true or false")
        return self.raw

    def number(self, low: float = -LARGEST, high: float = LARGEST) -> float:
        """A number within bounds."""
        value = self.raw
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.refuse("a number")
        if not (math.isfinite(value) and low <= value <= high):
            self.refuse(f"a number from {low:g} to {high:g}")
        return float(value)

    def maybe(self, low: float = -LARGEST, high: float = LARGEST) -> float | None:
        """A number within bounds, or null."""
        return None if self.raw is None else self.number(low, high)

    def numbers(self, low: float = -LARGEST, high: float = LARGEST) -> tuple[float, ...]:
        """A list of numbers within bounds."""
        return tuple(item.number(low, high) for item in self.items())


def document(text: str) -> Value:
    """The object that a text holds.

    Raises:
        LabError: It is no JSON, or no object.
    """
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LabError(
            f"this is no report: it is not JSON ({str(error)[:SHOWN]}); name a file that "
            "`foreshard demo --json FILE` wrote"
        ) from error
    if not isinstance(raw, Mapping):
        raise LabError(
            "this is no report: its JSON is no object; name a file that `foreshard demo --json "
            "FILE` wrote"
        )
    return Value(raw)
