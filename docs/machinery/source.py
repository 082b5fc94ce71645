"""This module is what the source says unasked: its reasons, log events and modules."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import foreshard

__all__ = ["Event", "Saying", "events", "modules", "sayings"]

PACKAGE = Path(foreshard.__file__).parent
CODE = re.compile(r"[a-z][a-z_]*\.[a-z][a-z_]*")
# Layers in which reasons are made.
REASONING = ("planning", "engine", "controller", "forecast", "profile")
LEVELS = ("debug", "info", "warning", "error", "exception", "critical")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Saying:
    """A reason code, and the module that gives it."""

    code: str
    module: str


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Event:
    """A log event, the module that logs it, and how loudly."""

    name: str
    level: str
    module: str
    facts: tuple[str, ...]


@cache
def modules() -> tuple[tuple[str, ast.Module], ...]:
    """Every module by dotted name, sorted."""
    found = []
    for path in PACKAGE.rglob("*.py"):
        parts = ("foreshard", *path.relative_to(PACKAGE).with_suffix("").parts)
        name = ".".join(parts).removesuffix(".__init__")
        found.append((name, ast.parse(path.read_text(encoding="utf-8"))))
    return tuple(sorted(found, key=lambda pair: pair[0]))


@cache
def sayings() -> tuple[Saying, ...]:
    """Every reason code: a `noun.verb` that is handed to a call which does not log it."""
    found = set()
    for name, tree in modules():
        if name.split(".")[1:2] and name.split(".")[1] in REASONING:
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and not _is_log(node):
                    found |= {Saying(code=code, module=name) for code in _codes(node)}
    return tuple(sorted(found))


@cache
def events() -> tuple[Event, ...]:
    """Every log event of the shell."""
    found = {}
    for name, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _is_log(node) and (said := _codes(node)):
                level = ast.unparse(node.func).rpartition(".")[2]
                facts = tuple(k.arg for k in node.keywords if k.arg)
                level = "error" if level == "exception" else level
                event = Event(name=said[0], level=level, module=name, facts=facts)
                found[event.name, event.module, event.level] = event
    return tuple(sorted(found.values()))


def _is_log(call: ast.Call) -> bool:
    func = call.func
    return (
        isinstance(func, ast.Attribute)
        and func.attr in LEVELS
        and ast.unparse(func.value).removeprefix("self._") == "log"
    )


def _codes(call: ast.Call) -> list[str]:
    return [text for text in _texts(call) if CODE.fullmatch(text)]


def _texts(call: ast.Call) -> Iterator[str]:
    for node in (*call.args, *(k.value for k in call.keywords)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
