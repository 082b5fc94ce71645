"""This module is frozen values as JSON and back, driven by their type hints.

A dataclass is an object of its fields; where a field may hold one of several classes, `kind`
says which (`Act` -> `"kind": "act"`). Keys of mappings are text: a `Flow` is `origin/class`, a
number is written as Python writes it. JSON has no NaN and no infinity: they are the strings
`NaN`, `Infinity` and `-Infinity`, so that "unknown" never comes back as 0 or null.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import Enum
from functools import cache, partial
from math import isfinite
from operator import index
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from foreshard.model.errors import InvalidValueError
from foreshard.model.workload import Flow

__all__ = ["JsonValue", "decode", "encode", "text_of"]

# What `json` writes and reads; mypy follows the recursion.
JsonValue = None | bool | int | float | str | Sequence["JsonValue"] | Mapping[str, "JsonValue"]

T = TypeVar("T")

_NAMED = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_UNIONS = (Union, UnionType)
_Coder = Callable[[Any], Any]


def encode(value: object) -> JsonValue:
    """JSON of a value: dataclasses, mappings, sequences, sets (sorted), enums and scalars.

    >>> encode({Flow("eu", "search"): (1.0, float("inf"))})
    {'eu/search': [1.0, 'Infinity']}

    Raises:
        InvalidValueError: Something in it has no JSON form.
    """
    encoded: JsonValue
    cls: Any = type(value)
    if _is_record(cls):
        encoded = _encoder(cls)(value)
    elif isinstance(value, Enum):
        encoded = encode(value.value)
    elif isinstance(value, float):
        encoded = _float_out(value)
    elif value is None or isinstance(value, str | int):
        encoded = value
    elif isinstance(value, Mapping):
        encoded = {
            key if type(key) is str else _key_out(key): item if _is_plain(item) else encode(item)
            for key, item in value.items()
        }
    elif isinstance(value, AbstractSet):
        encoded = [encode(item) for item in sorted(value)]
    elif isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        encoded = [encode(item) for item in value]
    else:
        raise InvalidValueError(f"{value!r} is a {type(value).__name__}, which has no JSON form")
    return encoded


def text_of(value: object) -> str:
    """What `encode` makes of a value, as text without spaces.

    Most of what is kept of a large fleet is JSON as it stands, and `json` writes that faster than
    anybody can look at each number. Only where it cannot, all is looked at. Keys that are True
    or None, which `encode` refuses, pass.

    Raises:
        InvalidValueError: Something in it has no JSON form.
    """
    try:
        return _dumped(value, default=_layer)
    except (TypeError, ValueError):
        # A flow as a key, a number that is none; or something that `encode` refuses in words.
        return _dumped(encode(value))


def decode(cls: type[T], value: JsonValue) -> T:
    """The value of a class from what `encode` made of it.

    Args:
        cls: A dataclass.
        value: Parsed JSON. Unknown keys are ignored, absent ones take the field's default.

    Raises:
        InvalidValueError: It does not fit, or the class refuses it.
    """
    of: Any = cls
    try:
        decoded: T = _decoder(of)(value)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise InvalidValueError(f"this is no {cls.__name__}: {error!r}") from error
    return decoded


_dumped = partial(json.dumps, separators=(",", ":"), allow_nan=False)


def _layer(value: object) -> object:
    """What `json` does not know, in part: it asks again for what lies within."""
    return dict(value) if isinstance(value, Mapping) else encode(value)


@cache
def _encoder(hint: Any) -> _Coder:  # noqa: ANN401 - a type hint may be anything
    """How values of a declared type are encoded; made once a type, as tables are large."""
    origin, of = get_origin(hint), get_args(hint)
    if _is_record(hint):
        coder = _record_out(hint)
    elif origin in _UNIONS:
        coder = _union_out(of)
    elif origin is tuple and of == (str, ...):
        # Of the backups of every cell, for every class, there are as many as of nothing else.
        coder = list
    elif origin is tuple and of[1:] == (...,):
        out = _encoder(of[0])
        coder = lambda value: [out(item) for item in value]  # noqa: E731 - one of several
    elif _is_mapping(origin):
        coder = _mapping_out(*of)
    else:
        coder = _SCALARS_OUT.get(hint, encode)
    return coder


def _record_out(cls: Any) -> _Coder:  # noqa: ANN401 - a dataclass
    fields = [(name, _encoder(of)) for name, of in _fields(cls)]
    return lambda value: {name: out(getattr(value, name)) for name, out in fields}


def _union_out(of: tuple[Any, ...]) -> _Coder:
    outs = {kind: (_tag(kind), _encoder(kind)) for kind in of if _is_record(kind)}

    def coder(value: object) -> JsonValue:
        if type(value) not in outs:
            return encode(value)
        tag, out = outs[type(value)]
        return {"kind": tag, **out(value)}

    return coder


def _mapping_out(key: Any, item: Any) -> _Coder:  # noqa: ANN401 - type hints
    if key is str and item in {str, int, bool}:
        return dict
    if key is str and item is float:
        return _floats_out
    out = _encoder(item)
    return lambda value: {_key_out(key): out(item) for key, item in value.items()}


@cache
def _decoder(hint: Any) -> _Coder:  # noqa: ANN401 - a type hint may be anything
    origin, of = get_origin(hint), get_args(hint)
    if _is_record(hint):
        coder = _record_in(hint)
    elif origin in _UNIONS:
        coder = _union_in(of)
    elif origin in {tuple, frozenset}:
        coder = _series_in(origin, of)
    elif _is_mapping(origin):
        key_in, back = _KEYS_IN[of[0]], _decoder(of[1])
        coder = lambda value: {key_in(key): back(item) for key, item in value.items()}  # noqa: E731 - one of several
    elif isinstance(hint, type) and issubclass(hint, Enum):
        coder = hint
    else:
        coder = _float_in if hint is float else partial(_plain_in, hint)
    return coder


def _record_in(cls: Any) -> _Coder:  # noqa: ANN401 - a dataclass
    fields = {name: _decoder(of) for name, of in _fields(cls)}
    return lambda value: cls(
        **{name: back(value[name]) for name, back in fields.items() if name in value}
    )


def _union_in(of: tuple[Any, ...]) -> _Coder:
    kinds = {_tag(kind): _decoder(kind) for kind in of if _is_record(kind)}
    plain = [_decoder(kind) for kind in of if kind is not NoneType and not _is_record(kind)]

    def coder(value: Any) -> object:  # noqa: ANN401 - parsed JSON
        if value is None and NoneType in of:
            return None
        return kinds[value["kind"]](value) if kinds else plain[0](value)

    return coder


def _series_in(series: Any, of: tuple[Any, ...]) -> _Coder:  # noqa: ANN401 - tuple or frozenset
    if series is tuple and of[1:] != (...,):
        backs = [_decoder(part) for part in of]
        return lambda value: tuple(back(item) for back, item in zip(backs, value, strict=True))
    back = _decoder(of[0])
    return lambda value: series(back(item) for item in value)


def _is_record(hint: Any) -> bool:  # noqa: ANN401 - a type hint
    return isinstance(hint, type) and dataclasses.is_dataclass(hint)


def _is_plain(value: object) -> bool:
    """Whether it is JSON as it stands: most of what is kept of a large fleet is."""
    return type(value) in _PLAIN or (isinstance(value, float) and isfinite(value))


def _is_mapping(origin: Any) -> bool:  # noqa: ANN401 - a type hint
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _fields(cls: Any) -> list[tuple[str, Any]]:  # noqa: ANN401 - a dataclass and its hints
    hints = get_type_hints(cls)
    # What a class works out by itself is no part of the record.
    return [(f.name, hints[f.name]) for f in dataclasses.fields(cls) if f.init]


def _tag(cls: Any) -> str:  # noqa: ANN401 - a dataclass
    return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


def _float_out(value: float) -> float | str:
    if isfinite(value):
        return value
    return "NaN" if value != value else "Infinity" if value > 0.0 else "-Infinity"  # noqa: PLR0124 - only NaN differs from itself


def _floats_out(value: Mapping[str, float]) -> Mapping[str, float | str]:
    if all(map(isfinite, value.values())):
        return dict(value)
    return {key: _float_out(item) for key, item in value.items()}


def _float_in(value: float | str) -> float:
    return _NAMED[value] if isinstance(value, str) else float(value)


def _plain_in(hint: Any, value: JsonValue) -> JsonValue:  # noqa: ANN401 - a type hint
    if hint in {str, int, bool} and type(value) is not hint:
        raise TypeError(f"{value!r} is no {hint.__name__}")
    return value


def _key_out(key: object) -> str:
    if isinstance(key, Flow):
        if "/" in key.request_class:
            raise InvalidValueError(f"flow {key}: a class name must not hold '/'")
        return f"{key.origin}/{key.request_class}"
    if isinstance(key, str):
        return key
    if isinstance(key, float | int) and not isinstance(key, bool):
        return repr(key)
    raise InvalidValueError(f"{key!r} is a {type(key).__name__}, which is no key in JSON")


def _flow_in(key: str) -> Flow:
    origin, _, request_class = key.rpartition("/")
    return Flow(origin, request_class)


# Without the questions that `encode` asks: a table holds thousands of these.
_SCALARS_OUT: Mapping[type, _Coder] = {str: str, int: index, float: _float_out}

_PLAIN = frozenset({str, int, bool, NoneType})

_KEYS_IN: Mapping[type, Callable[[str], object]] = {
    str: str,
    float: float,
    int: int,
    Flow: _flow_in,
}
