"""This module is values as canonical JSON: equal text for equal values, on every machine."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum

__all__ = ["text_of"]


def text_of(value: object) -> str:
    """A tree of dataclasses, mappings and sequences as JSON text.

    Sets are sorted, for their order is chance; infinity is a word, for JSON has none.
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"))


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return {
            each.name: _plain(getattr(value, each.name)) for each in fields(value) if each.init
        }
    if isinstance(value, Mapping):
        return {_key(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    return _leaf(value)


def _leaf(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _key(key: object) -> str:
    return ">".join(map(str, key)) if isinstance(key, tuple) else str(key)
