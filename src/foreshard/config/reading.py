"""This module is the configuration file: parsed, checked and refused once, at the edge.

Every error is reported at once, each with its line, key, value and what would be right.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from foreshard.config.settings import Settings
from foreshard.model.errors import ConfigError, InvalidValueError

__all__ = ["load", "parse"]


def load(path: Path) -> Settings:
    """The configuration in a YAML file; relative paths in it start at its folder.

    Raises:
        ConfigError: It cannot be read, or something in it is wrong; all errors are listed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); name a YAML file"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not text; name a YAML file") from error
    settings = parse(text, name=str(path))
    base = path.resolve().parent
    return settings.model_copy(
        update={
            "data_dir": base / settings.data_dir,
            "events_file": base / settings.events_file if settings.events_file else None,
        }
    )


def parse(text: str, *, name: str = "configuration") -> Settings:
    """The configuration in a YAML text.

    Raises:
        ConfigError: As `load`.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: is not YAML: {error}") from error
    if doubled := _doubled(root):
        raise ConfigError(f"{name}: {len(doubled)} to mend\n" + "\n".join(doubled))
    if not isinstance(values, dict):
        raise ConfigError(f"{name}: must be a mapping of keys, is {type(values).__name__}")
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        lines = [_sentence(root, dict(e)) for e in error.errors()]
        raise ConfigError(f"{name}: {len(lines)} to mend\n" + "\n".join(lines)) from error
    except InvalidValueError as error:
        raise ConfigError(f"{name}: {error}") from error


def _sentence(root: yaml.Node | None, error: dict[str, Any]) -> str:
    where = error["loc"]
    key = ".".join(str(part) for part in where) or "(whole file)"
    value = error.get("input")
    shown = (
        "" if isinstance(value, (dict, list)) or error["type"] == "missing" else f" is {value!r}:"
    )
    return f"  line {_line(root, where)}: {key}{shown} {error['msg']}"


def _line(node: yaml.Node | None, where: tuple[int | str, ...]) -> int:
    """The line (from 1) of the deepest part of `where` that the file has."""
    line = 1
    for part in where:
        if node is not None:
            line = node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode):
            keys = {k.value: (k, v) for k, v in node.value}
            if str(part) not in keys:
                return line
            found, node = keys[str(part)]
            line = found.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            if part >= len(node.value):
                return line
            node = node.value[part]
        else:
            return line
    is_item = bool(where) and isinstance(where[-1], int)
    if node is not None and (is_item or isinstance(node, yaml.SequenceNode)):
        return node.start_mark.line + 1
    return line


def _doubled(node: yaml.Node | None) -> list[str]:
    """Keys that stand twice in one mapping: YAML would silently take the last."""
    found: list[str] = []
    if isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in first:
                also = first[key.value]
                found.append(f"  line {line}: {key.value} stands in line {also} already, keep one")
            first.setdefault(key.value, line)
            found += _doubled(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            found += _doubled(value)
    return found
