"""This module is a fleet, or a class, as a person types it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from foreshard.app.starting.sighting import Sighting, cell_of, named
from foreshard.config.draft import ClassDraft
from foreshard.config.plain_file import read_bytes
from foreshard.model.errors import ConfigError

__all__ = ["class_of", "sighted"]

CELL = re.compile(
    r"^(?P<name>[^=@\s]+)=(?P<nodes>[^@\s]+)(?:@(?P<region>[^/\s]+)(?:/(?P<zone>\S+))?)?$"
)
EXAMPLE = "eu-1=10.0.1.7:8080,10.0.1.8:8080@eu/eu-a"
CLASS_EXAMPLE = "checkout=POST /checkout key=x-customer objective=0.4 timeout=2 priority=critical"
LONGEST_SHOWN = 200
# 10,000 cells of three nodes.
MOST_BYTES = 1024 * 1024
NUMBERS = {"objective": "objective_s", "timeout": "timeout_s", "weight": "weight"}
WORDS = {"key": "key_header", "priority": "priority"}


def sighted(listed: Sequence[str]) -> Sighting:
    """Cells from `NAME=IP:PORT,...@REGION/ZONE`, or from a file with one such line a cell.

    Raises:
        ConfigError: One is not written like that.
    """
    cells = []
    for text in _lines(listed):
        match = CELL.match(text)
        if match is None:
            raise ConfigError(
                f"cell {text!r}: write it like {EXAMPLE}, or name a file of such lines"
            )
        nodes = match["nodes"].split(",")
        cells.append(
            cell_of(named(match["name"]), match["region"] or "", match["zone"] or "", nodes)
        )
    if not cells:
        raise ConfigError(f"--cells: names no cell; write one like {EXAMPLE}")
    return Sighting(found_at="a list", cells=tuple(cells), notes=(f"{len(cells)} cells",))


def class_of(text: str) -> ClassDraft:
    """A class from `NAME=METHOD /prefix key=... objective=... timeout=... priority=...`.

    Raises:
        ConfigError: It is not written like that.
    """
    name, _, rest = text.partition("=")
    said: dict[str, str | float | bool] = {}
    for word in rest.split():
        key, is_pair, value = word.partition("=")
        if word.startswith("/"):
            said["path_prefix"] = word
        elif word == "retriable":
            said["retriable"] = True
        elif is_pair and key in WORDS:
            said[WORDS[key]] = value
        elif is_pair and key in NUMBERS:
            said[NUMBERS[key]] = _number(text, value)
        elif word.isupper() and not is_pair:
            said["method"] = word
        else:
            raise ConfigError(f"class {text!r}: {word!r} is not understood; {CLASS_EXAMPLE!r} is")
    if not named(name):
        raise ConfigError(f"class {text!r}: has no name; write it like {CLASS_EXAMPLE!r}")
    return ClassDraft(name=named(name), **said)  # type: ignore[arg-type]  # by the tables above


def _lines(listed: Sequence[str]) -> list[str]:
    lines: list[str] = []
    for text in listed:
        if "=" in text:
            lines.append(text)
            continue
        stripped = (line.partition("#")[0].strip() for line in _written(text).splitlines())
        lines += [line for line in stripped if line]
    return lines


def _written(file: str) -> str:
    try:
        content = read_bytes(Path(file), most=MOST_BYTES + 1)
        text = content.decode("utf-8")
    except OSError as error:
        raise ConfigError(_no_list(file, str(error.strerror))) from error
    except ValueError as error:
        # No UTF-8, or a name that no file has.
        raise ConfigError(_no_list(file, str(error))) from error
    if len(content) > MOST_BYTES:
        raise ConfigError(
            f"--cells {file}: has more than {MOST_BYTES} bytes, the room of 10,000 cells; name a "
            "list of cells"
        )
    return text


def _no_list(file: str, because: str) -> str:
    return (
        f"--cells {file[:LONGEST_SHOWN]}: is neither a cell ({EXAMPLE}) nor a file that can be "
        f"read ({because})"
    )


def _number(text: str, value: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise ConfigError(f"class {text!r}: {value!r} is no number") from error
