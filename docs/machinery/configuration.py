"""This module is the reference of the configuration, read from the settings and the nouns.

A key's meaning is its description in the settings, or what the core says of the same name in the
docstring of `Thresholds`, `Policy`, `Budget`, `RequestClass` ..., whichever says more.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cache

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from foreshard.config.patience import BudgetSettings, ThresholdSettings
from foreshard.config.settings import CellSettings, GaugeSettings, Settings
from foreshard.config.workload import ClassSettings, MatchSettings
from foreshard.model.telemetry import Gauge
from foreshard.model.topology import Cell
from foreshard.model.workload import Match, RequestClass
from foreshard.planning.budget import Budget
from foreshard.planning.policy import Policy
from foreshard.planning.thresholds import Thresholds

__all__ = ["Key", "configuration_page", "every_key"]

NOUNS: dict[type[BaseModel], tuple[type, ...]] = {
    ThresholdSettings: (Thresholds, Policy),
    BudgetSettings: (Budget,),
    ClassSettings: (RequestClass,),
    CellSettings: (Cell,),
    GaugeSettings: (Gauge,),
    MatchSettings: (Match,),
}

UNITS = {"_s": "seconds", "_ms": "milliseconds", "_rps": "requests/s", "_ratio": "fraction"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key of the configuration, in words."""

    path: str
    kind: str
    default: str
    meaning: str


@cache
def every_key() -> tuple[Key, ...]:
    """Every key, parents before children, in the order of the settings."""
    return tuple(_walk(Settings, ""))


def configuration_page() -> str:
    """Every key with type, unit, bounds, default and meaning, as Markdown."""
    sections: dict[str, list[Key]] = {"": []}
    for key in every_key():
        top = key.path.partition(".")[0].removesuffix("[]")
        nested = any(k.path.startswith((f"{top}.", f"{top}[].")) for k in every_key())
        sections.setdefault(top if nested else "", []).append(key)
    lines: list[str] = []
    for top, listed in sections.items():
        title = f"`{top}`" if top else "At the top"
        lines += ["", f"(config-{top or 'top'})=", f"## {title}", ""]
        lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
        for key in listed:
            row = (f"`{key.path}`", key.kind, key.default, key.meaning)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    return "\n".join(lines)


def _walk(model: type[BaseModel], prefix: str) -> Iterator[Key]:
    for name, field in model.model_fields.items():
        path = f"{prefix}{name}"
        inner, many = _inner(field.annotation)
        yield Key(
            path=path + ("[]" if many else ""),
            kind=_kind(field, name),
            default=_default(field),
            meaning=_meaning(model, field, name, inner),
        )
        if inner is not None:
            yield from _walk(inner, f"{path}{'[]' if many else ''}.")


def _inner(annotation: object) -> tuple[type[BaseModel] | None, bool]:
    """The settings inside an annotation, and whether there is a list of them."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return annotation, False
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    for argument in arguments:
        found, many = _inner(argument)
        if found is not None:
            return found, many or origin is list
    return None, False


def _kind(field: FieldInfo, name: str) -> str:
    words = _type(field.annotation)
    bounds = [*_bounds(field.metadata), *_inner_bounds(field.annotation)]
    unit = next((u for suffix, u in UNITS.items() if name.endswith(suffix)), "")
    if unit:
        words = f"{words}, {unit}"
    return ", ".join([words, *bounds])


def _type(annotation: object) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type(a) for a in arguments if a is not type(None))
    if origin in (list, tuple, frozenset, set):
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"mapping of {_type(arguments[0])} to {_type(arguments[1])}"
    if inspect.isclass(annotation):
        return _class(annotation)
    return str(annotation)


def _class(annotation: type) -> str:
    if issubclass(annotation, BaseModel):
        return "mapping"
    if issubclass(annotation, Enum):
        return "one of " + ", ".join(f"`{_word(member)}`" for member in annotation)
    names = {"str": "text", "float": "number", "int": "whole number", "bool": "true or false"}
    return names.get(annotation.__name__, annotation.__name__.lower())


def _word(member: Enum) -> str:
    return member.value if isinstance(member.value, str) else member.name.lower()


def _bounds(metadata: list[typing.Any] | tuple[typing.Any, ...]) -> list[str]:
    told = []
    for item in metadata:
        match item:
            case Gt(gt=bound):
                told.append(f"above {bound:g}")
            case Ge(ge=bound):
                told.append(f"at least {bound:g}")
            case Lt(lt=bound):
                told.append(f"below {bound:g}")
            case Le(le=bound):
                told.append(f"at most {bound:g}")
            case MinLen(min_length=count):
                told.append(f"at least {count} of them")
            case FieldInfo():
                told += _bounds(item.metadata)
            case _:
                continue
    return told


def _inner_bounds(annotation: object) -> list[str]:
    if typing.get_origin(annotation) is typing.Annotated:
        return _bounds(typing.get_args(annotation)[1:])
    return [b for a in typing.get_args(annotation) for b in _inner_bounds(a)]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "as below"
    if value is None or value == "" or value in ({}, [], frozenset()):
        return "none"
    shown = _word(value) if isinstance(value, Enum) else value
    return f"`{shown:g}`" if isinstance(shown, float) else f"`{shown}`"


def _meaning(
    model: type[BaseModel], field: FieldInfo, name: str, inner: type[BaseModel] | None
) -> str:
    # What the core says is the contract; a description that says more has been thought about.
    told = [_attributes(noun).get(name, "") for noun in NOUNS.get(model, ())]
    said = max([field.description or "", *told], key=len)
    if not said and inner is not None:
        said = inspect.getdoc(inner) or ""
    return re.sub(r"\s+", " ", said).strip()


@cache
def _attributes(noun: type) -> dict[str, str]:
    """What the `Attributes:` of a docstring say, by name."""
    text = inspect.getdoc(noun) or ""
    _, _, listed = text.partition("Attributes:\n")
    found: dict[str, str] = {}
    for entry in re.split(r"\n(?= {4}\S)", "\n" + listed):
        match = re.match(r"\s*(\w+): (.*)", entry, re.DOTALL)
        if match:
            found[match.group(1)] = match.group(2).partition("\n\n")[0]
    return found
