"""This module is a YAML file that may be broken, hostile or both, read within bounds.

Whoever can write the file should be told what is wrong with it, and must not be able to hang or
crash the reader: size, depth and what aliases blow up to are bounded before anything is built.
A tag never constructs anything but plain values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from foreshard.model.errors import ConfigError

__all__ = ["Document", "Place", "read_document"]

# A fleet of 10,000 cells takes one megabyte, 80,000 values and six levels.
MOST_CHARACTERS = 16 * 1024 * 1024
MOST_VALUES = 2_000_000
MOST_LEVELS = 32
# YAML 1.1 reads 1:59:59 as a number of base 60, and takes the square of its length for that.
LONGEST_NUMBER = 1_000
NUMBERS = frozenset({"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"})
# libyaml's parser is ten times as fast; both are safe.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something stands in a file, both counted from 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What a file says, and where it says it.

    Attributes:
        root: The tree of YAML nodes; None when the file is empty.
        values: The same as plain values.
    """

    root: yaml.Node | None
    values: Any
    _by_key: dict[int, dict[str, tuple[yaml.Node, yaml.Node]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def place(self, where: Sequence[int | str]) -> Place:
        """Where the deepest part of a path stands that the file has."""
        node, place = self.root, Place(1, 1)
        for part in where:
            if isinstance(node, yaml.MappingNode):
                found = self._pairs(node).get(str(part))
                if found is None:
                    return place
                key, node = found
                place = _start(key)
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
                if part >= len(node.value):
                    return place
                node = node.value[part]
                place = _start(node)
            else:
                return place
        return place

    def _pairs(self, node: yaml.MappingNode) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """Key and value by the key's text; made once, since very many may be looked for."""
        if id(node) not in self._by_key:
            # The last one counts where a key stands twice.
            pairs = [(k, v) for k, v in node.value if isinstance(k, yaml.ScalarNode)]
            self._by_key[id(node)] = {key.value: (key, value) for key, value in pairs}
        return self._by_key[id(node)]

    def doubled(self) -> Iterator[tuple[tuple[int | str, ...], Place, Place]]:
        """Keys that stand twice in one mapping, with both places; YAML would take the last."""
        yield from _doubled(self.root, (), set())


def read_document(text: str, *, name: str) -> Document:
    """Read a YAML text.

    Raises:
        ConfigError: It is not YAML, or exceeds a bound.
    """
    if len(text) > MOST_CHARACTERS:
        raise ConfigError(
            f"{name}: has {len(text)} characters, a configuration has at most {MOST_CHARACTERS}"
        )
    try:
        _refuse_depth(text, name)
        root = yaml.compose(text, Loader=LOADER)
        if root is None:
            return Document(root=None, values=None)
        _refuse_blow_up(root, name)
        # Looked for before merge keys are resolved, which drops what they override.
        values = yaml.constructor.SafeConstructor().construct_document(root)
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: is not YAML: {_problem(error, text)}") from error
    except (ValueError, OverflowError, TypeError) as error:
        # A date such as 2026-02-31, or a number of ten thousand digits.
        raise ConfigError(
            f"{name}: a value cannot be read ({error}); put dates and long numbers in quotes"
        ) from error
    return Document(root=root, values=values)


def _refuse_depth(text: str, name: str) -> None:
    """Building is recursive, events are not: count before anything is built."""
    levels = 0
    for event in yaml.parse(text, Loader=LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            levels += 1
            if levels > MOST_LEVELS:
                where = f"line {event.start_mark.line + 1}" if event.start_mark else "somewhere"
                raise ConfigError(
                    f"{name}: {where}: more than {MOST_LEVELS} levels deep, a configuration has 6"
                )
        elif isinstance(event, yaml.CollectionEndEvent):
            levels -= 1


def _refuse_blow_up(root: yaml.Node, name: str) -> None:
    """Aliases are shared nodes: what they expand to is counted without expanding them."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: yaml.Node) -> int:
        if id(node) in sizes:
            return sizes[id(node)]
        if id(node) in open_nodes:
            raise ConfigError(f"{name}: {_start(node)}: contains itself by an alias; write it out")
        open_nodes.add(id(node))
        total = 1
        if isinstance(node, yaml.MappingNode):
            total += sum(size(key) + size(value) for key, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            total += sum(size(each) for each in node.value)
        elif node.tag in NUMBERS and len(node.value) > LONGEST_NUMBER:
            raise ConfigError(
                f"{name}: {_start(node)}: a number of {len(node.value)} characters; at most "
                f"{LONGEST_NUMBER} are read; put dates and long numbers in quotes"
            )
        open_nodes.discard(id(node))
        sizes[id(node)] = total
        return total

    if (total := size(root)) > MOST_VALUES:
        raise ConfigError(f"{name}: holds {total} values, a configuration at most {MOST_VALUES}")


def _problem(error: yaml.YAMLError, text: str) -> str:
    """What YAML says, without its snippet of the file: that may hold a secret."""
    if isinstance(error, yaml.MarkedYAMLError):
        said = ", ".join(part for part in (error.context, error.problem) if part)
        mark = error.problem_mark or error.context_mark
        line = text.split("\n")[mark.line : mark.line + 1] if mark else []
        if line and "\t" in line[0][: len(line[0]) - len(line[0].lstrip())]:
            said += "; indent with spaces, not with tabs"
        return f"{Place(mark.line + 1, mark.column + 1)}: {said}" if mark else said
    # Its own position counts characters or bytes, by which parser it was.
    if found := yaml.reader.Reader.NON_PRINTABLE.search(text):
        before = text[: found.start()]
        place = Place(before.count("\n") + 1, found.start() - before.rfind("\n"))
        return f"{place}: a character that no text has (#x{ord(found[0]):04x})"
    return str(error)


def _start(node: yaml.Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)


def _doubled(
    node: yaml.Node | None, path: tuple[int | str, ...], seen: set[int]
) -> Iterator[tuple[tuple[int | str, ...], Place, Place]]:
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        first: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            where = (*path, key.value)
            # Several merge keys are no contradiction.
            if key.value in first and key.tag != "tag:yaml.org,2002:merge":
                yield where, _start(key), _start(first[key.value])
            first.setdefault(key.value, key)
            yield from _doubled(value, where, seen)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield from _doubled(value, (*path, number), seen)
