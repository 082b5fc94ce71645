"""This module is the reference of the command line, read from the command line itself."""

from __future__ import annotations

from collections.abc import Iterator

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from foreshard.cli.main import app
from foreshard.model.errors import InvalidValueError

__all__ = ["commands", "commands_page"]


def commands() -> dict[str, TyperCommand]:
    """Every command that is shown, by its words after `foreshard`, sorted."""
    group = typer.main.get_command(app)
    if not isinstance(group, TyperGroup):
        raise InvalidValueError(f"the command line is a {type(group).__name__}, not a group")
    return dict(sorted(_flat(group)))


def commands_page() -> str:
    """Every command with its arguments and options, as Markdown."""
    found = commands()
    lines = ["| command | |", "|---|---|"]
    for name, command in found.items():
        first = _help(command).split("\n\n", maxsplit=1)[0]
        lines.append(f"| [`foreshard {name}`](#{_anchor(name)}) | {_cell(first)} |")
    for name, command in found.items():
        lines += ["", f"({_anchor(name)})=", f"## foreshard {name}", "", _help(command), ""]
        lines += ["```text", _usage(name, command), "```", "", *_table(command)]
    return "\n".join(lines)


def _flat(group: TyperGroup, prefix: str = "") -> Iterator[tuple[str, TyperCommand]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from _flat(command, f"{prefix}{name} ")
        elif isinstance(command, TyperCommand) and not command.hidden:
            yield f"{prefix}{name}", command


def _anchor(name: str) -> str:
    return "command-" + name.replace(" ", "-")


def _help(command: TyperCommand) -> str:
    return (command.help or "").strip()


def _usage(name: str, command: TyperCommand) -> str:
    words = ["foreshard", name]
    for param in command.params:
        if isinstance(param, TyperArgument):
            shown = _argument(param)
            words.append(shown if param.required else f"[{shown}]")
    return " ".join([*words, "[OPTIONS]"] if _options(command) else words)


def _argument(param: TyperArgument) -> str:
    return param.metavar or str(param.name).upper()


def _options(command: TyperCommand) -> list[TyperOption]:
    return [p for p in command.params if isinstance(p, TyperOption) and not p.hidden]


def _table(command: TyperCommand) -> list[str]:
    rows = [
        f"| `{_argument(p)}` | {_cell(p.help or '')} | {'required' if p.required else ''} |"
        for p in command.params
        if isinstance(p, TyperArgument) and not p.hidden
    ]
    for option in _options(command):
        names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
        text = " ".join([option.help or "", *_bounds(option)])
        rows.append(f"| {names} | {_cell(text)} | {_default(option)} |")
    return ["| argument or option | | default |", "|---|---|---|", *rows, ""] if rows else []


def _bounds(option: TyperOption) -> list[str]:
    told = []
    if option.min is not None:
        told.append(f"At least {option.min:g}.")
    if option.max is not None:
        told.append(f"At most {option.max:g}.")
    return told


def _default(option: TyperOption) -> str:
    if option.required:
        return "required"
    default = option.default
    shown = isinstance(default, (str, int, float)) and not isinstance(default, bool)
    return f"`{default}`" if shown and default != "" else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").strip()
