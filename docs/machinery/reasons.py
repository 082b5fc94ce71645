"""This module is every reason and every guard, found in the code, explained by `reasons.yaml`."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import yaml

from docs.machinery.source import events, sayings
from foreshard.planning.objections import GUARDS, Guard

__all__ = ["documented", "events_table", "guards_table", "reasons_table"]

SOURCE = Path(__file__).parents[1] / "reference" / "reasons.yaml"
NOUNS: Mapping[str, str] = {
    "cell": "About a cell",
    "class": "About one class in a cell",
    "maintenance": "About maintenance",
    "handover": "About data that moves",
    "plan": "About the plan",
    "guard": "Guards: why something was not done",
    "telemetry": "What was not seen",
    "forecast": "What was not foreseen",
    "traffic": "What did not follow",
}


@cache
def documented() -> Mapping[str, Mapping[str, str]]:
    """What `reasons.yaml` says, by code."""
    found: dict[str, dict[str, str]] = yaml.safe_load(SOURCE.read_text(encoding="utf-8"))
    return found


def reasons_table() -> str:
    """Every reason code with its meaning and what to do, by what it is about."""
    modules: dict[str, list[str]] = {}
    for saying in sayings():
        modules.setdefault(saying.code, []).append(saying.module.removeprefix("foreshard."))
    nouns = dict.fromkeys([*NOUNS, *sorted({code.partition(".")[0] for code in modules})])
    lines: list[str] = []
    for noun in nouns:
        rows = [_row(code, modules[code]) for code in sorted(modules) if _noun(code) == noun]
        if rows:
            lines += [f"## {NOUNS.get(noun, noun.capitalize())}", ""]
            lines += ["| code | what it means | what to do | said by |", "|---|---|---|---|"]
            lines += [*rows, ""]
    return "\n".join(lines)


def guards_table() -> str:
    """Every guard that a plan must pass, in the order in which they are asked."""
    codes = ["guard.sum", *(_code_of(guard) for guard in GUARDS)]
    rows = [f"| `{code}` | {documented().get(code, {}).get('means', '')} |" for code in codes]
    return "\n".join(["| guard | what it refuses |", "|---|---|", *rows])


def events_table() -> str:
    """Every log event of what runs in production."""
    lines = ["| event | level | facts | logged by |", "|---|---|---|---|"]
    for event in events():
        layer = event.module.split(".")[1]
        if layer not in ("lab", "testing"):
            facts = ", ".join(f"`{fact}`" for fact in event.facts)
            place = event.module.removeprefix("foreshard.")
            lines.append(f"| `{event.name}` | {event.level} | {facts} | `{place}` |")
    return "\n".join(lines)


def _noun(code: str) -> str:
    return code.partition(".")[0]


def _row(code: str, modules: list[str]) -> str:
    told = documented().get(code, {})
    said = ", ".join(f"`{module}`" for module in modules)
    return f"| `{code}` | {told.get('means', '')} | {told.get('do', '')} | {said} |"


def _code_of(guard: Guard) -> str:
    """The reason that a guard gives, read from its source."""
    tree = ast.parse(inspect.getsource(guard))
    texts = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)]
    codes = [t for t in texts if isinstance(t, str) and re.fullmatch(r"guard\.[a-z_]+", t)]
    return codes[0]
