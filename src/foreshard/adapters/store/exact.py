"""This module is frozen values as JSON and back, exactly: same types, same bits, same order.

Unlike the record for people it describes itself, so that a new field of the engine's state needs
no word here. What comes back is built by calling dataclasses and enumerations of the core, by
name, and nothing else: a file is data, never code.
"""

from __future__ import annotations

import base64
import dataclasses
import re
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from enum import Enum
from importlib import import_module
from math import isfinite
from typing import Any

import numpy as np

from foreshard.model.errors import InvalidValueError

__all__ = ["WORDS", "exact", "restored", "reworded"]

WORDS = frozenset({"because", "evidence", "note", "text"})
"""Fields whose texts are for people; by all others the engine decides."""

# Whose classes may be named in a file.
_CORE = re.compile(r"foreshard\.(?:model|forecast|profile|planning|engine)(?:\.[a-z_]+)*:[A-Z]\w*")
_DTYPES = frozenset({"<f8", "<f4", "<i8", "<i4", "<u8", "<u4", "<u2", "|u1", "|i1", "<i2", "|b1"})


def exact(value: object) -> Any:  # noqa: ANN401 - JSON
    """JSON from which `restored` makes an equal value.

    >>> restored(exact((1.0, {"a": float("inf")})))
    (1.0, {'a': inf})

    Raises:
        InvalidValueError: Something in it is of a class that is not the core's.
    """
    if isinstance(value, Enum):
        return {"enum": _name(type(value)), "of": exact(value.value)}
    if isinstance(value, np.ndarray | np.generic):
        return _array(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else {"float": repr(value)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [f.name for f in dataclasses.fields(value) if f.init]
        return {
            "class": _name(type(value)),
            "of": {name: exact(getattr(value, name)) for name in fields},
        }
    return _many(value)


def _many(value: object) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {"named": _name(type(value)), "of": [exact(item) for item in value]}
    if isinstance(value, tuple):
        return {"tuple": [exact(item) for item in value]}
    if isinstance(value, list):
        return [exact(item) for item in value]
    if isinstance(value, AbstractSet):
        return {"set": [exact(item) for item in sorted(value)]}
    if isinstance(value, Mapping):
        return {"map": [[exact(key), exact(item)] for key, item in value.items()]}
    raise InvalidValueError(f"{value!r} is a {type(value).__name__}, which has no exact form")


def restored(document: Any) -> Any:  # noqa: ANN401 - JSON, and whatever it stood for
    """The value that `exact` was given.

    Raises:
        InvalidValueError: It is damaged, or names something that is no value of the core.
    """
    try:
        return _restored(document)
    except (TypeError, ValueError, KeyError, AttributeError, ImportError) as error:
        raise InvalidValueError(f"this is no value of the core: {error!r}") from error


def reworded(document: Any, change: Callable[[str], str]) -> Any:  # noqa: ANN401 - JSON
    """The same with other words for people, from which the same is decided.

    >>> reworded({"class": "...", "of": {"note": "at noon", "id": "at noon"}}, str.upper)
    {'class': '...', 'of': {'note': 'AT NOON', 'id': 'at noon'}}
    """
    if isinstance(document, list):
        return [reworded(item, change) for item in document]
    if not isinstance(document, dict):
        return document
    return {
        key: change(item) if key in WORDS and isinstance(item, str) else reworded(item, change)
        for key, item in document.items()
    }


def _restored(document: Any) -> Any:  # noqa: ANN401 - JSON, and whatever it stood for
    if isinstance(document, list):
        return [_restored(item) for item in document]
    if not isinstance(document, dict):
        return document
    for form, build in _FORMS.items():
        if form in document:
            return build(document)
    raise ValueError(f"{str(document)[:80]} has no known form")


def _array_in(document: Mapping[str, Any]) -> Any:  # noqa: ANN401 - an array or a scalar of NumPy
    dtype, shape = document["array"], document["shape"]
    if dtype not in _DTYPES:
        raise ValueError(f"an array of {dtype} has no exact form")
    flat = np.frombuffer(base64.b64decode(document["bytes"]), dtype=dtype)
    return flat[0] if shape is None else flat.reshape(shape).copy()


_FORMS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "class": lambda d: _class(d["class"])(**{k: _restored(v) for k, v in d["of"].items()}),
    "enum": lambda d: _class(d["enum"])(_restored(d["of"])),
    "named": lambda d: _class(d["named"])(*map(_restored, d["of"])),
    "tuple": lambda d: tuple(map(_restored, d["tuple"])),
    "set": lambda d: frozenset(map(_restored, d["set"])),
    "map": lambda d: {_restored(key): _restored(item) for key, item in d["map"]},
    "float": lambda d: float(d["float"]),
    "array": _array_in,
}


def _array(value: Any) -> dict[str, Any]:  # noqa: ANN401 - an array or a scalar of NumPy
    dtype = value.dtype.str
    if dtype not in _DTYPES:
        raise InvalidValueError(f"an array of {dtype} has no exact form")
    text = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
    shape = list(value.shape) if isinstance(value, np.ndarray) else None
    return {"array": dtype, "shape": shape, "bytes": text}


def _name(cls: type) -> str:
    name = f"{cls.__module__}:{cls.__qualname__}"
    if not _CORE.fullmatch(name):
        raise InvalidValueError(f"{name} is no class of the core, so it has no exact form")
    return name


def _class(name: str) -> Any:  # noqa: ANN401 - a class
    if not _CORE.fullmatch(name):
        raise ValueError(f"{name} is no class of the core")
    module, _, attribute = name.partition(":")
    found = getattr(import_module(module), attribute)
    is_value = isinstance(found, type) and (
        dataclasses.is_dataclass(found) or issubclass(found, Enum | tuple)
    )
    if not is_value or found.__module__ != module:
        raise ValueError(f"{name} is no value")
    return found
