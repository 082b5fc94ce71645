"""This module is the configuration file: parsed, checked and refused once, at the edge.

Every error is reported at once, each with its line, key, value and what would be right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from foreshard.config.consistency import Contradiction, contradictions
from foreshard.config.document import MOST_CHARACTERS, Document, read_document
from foreshard.config.plain_file import read_bytes
from foreshard.config.refusal import Refusal, where_of, words_of
from foreshard.config.settings import Settings
from foreshard.model.errors import ConfigError, InvalidValueError

__all__ = ["load", "parse", "read_as", "read_text"]

T = TypeVar("T", bound=BaseModel)
Rules = Callable[[Mapping[str, Any]], tuple[Contradiction, ...]]

# More are one mistake made many times.
MOST_TOLD = 200
MOST_KEYS = 1_000


def load(path: Path) -> Settings:
    """The configuration in a YAML file; relative paths in it start at its folder.

    Raises:
        ConfigError: It cannot be read, or something in it is wrong; all errors are listed.
    """
    settings = parse(read_text(path), name=str(path))
    base = path.resolve().parent
    key_file = settings.envoy.relay_key_file
    api = {
        key: base / given
        for key in ("certificate_file", "private_key_file")
        if (given := getattr(settings.api, key)) is not None
    }
    return settings.model_copy(
        update={
            "api": settings.api.model_copy(update=api),
            "envoy": settings.envoy.model_copy(
                update={"relay_key_file": base / key_file if key_file else None}
            ),
            "data_dir": base / settings.data_dir,
            "events_file": base / settings.events_file if settings.events_file else None,
        }
    )


def read_text(path: Path) -> str:
    """What a file says, no more of it than a configuration may have.

    Raises:
        ConfigError: It cannot be read, or is no text.
    """
    try:
        return read_bytes(path, most=4 * MOST_CHARACTERS + 1).decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); name a YAML file"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: is not text in UTF-8 (byte {error.start}); name a YAML file"
        ) from error


def parse(text: str, *, name: str = "configuration") -> Settings:
    """The configuration in a YAML text.

    Raises:
        ConfigError: As `load`.
    """
    return read_as(text, name=name, root=Settings, rules=contradictions, hint="`foreshard init`")


def read_as(text: str, *, name: str, root: type[T], rules: Rules, hint: str) -> T:
    """A YAML text as settings, or everything that is wrong with it.

    Args:
        text: Of the file.
        name: Of the file, for messages.
        root: The settings that it should hold.
        rules: What they must agree on; told the plain values.
        hint: What to try when there is nothing in it.

    Raises:
        ConfigError: Something in it is wrong; all errors are listed.
    """
    document = read_document(text, name=name)
    values = document.values
    if not isinstance(values, dict):
        what = "is empty" if values is None else f"is of type {type(values).__name__}"
        raise ConfigError(f"{name}: must be a mapping of keys, {what}; try {hint}")
    if len(values) > MOST_KEYS:
        raise ConfigError(
            f"{name}: has {len(values)} keys at the top, there are {len(root.model_fields)}; "
            "is this another file?"
        )
    found = list(_doubled(document))
    try:
        settings = root.model_validate(values)
    except (ValidationError, InvalidValueError) as error:
        found += _wrong(document, error, root, rules)
        raise ConfigError(_told(found, name)) from error
    if found:
        raise ConfigError(_told(found, name))
    return settings


def _told(found: list[Refusal], name: str) -> str:
    ordered = sorted(found, key=lambda one: (one.place, one.key))
    lines = [str(one) for one in ordered[:MOST_TOLD]]
    if len(ordered) > MOST_TOLD:
        lines.append(f"  and {len(ordered) - MOST_TOLD} more")
    return "\n".join([f"{name}: {len(ordered)} to mend", *lines])


def _doubled(document: Document) -> Iterator[Refusal]:
    for where, place, first in document.doubled():
        says = f"stands in line {first.line} already, keep one"
        yield Refusal(place=place, where=where, words=partial(str, says))


def _wrong(
    document: Document,
    error: ValidationError | InvalidValueError,
    root: type[BaseModel],
    rules: Rules,
) -> Iterator[Refusal]:
    """Errors of single values, then what does not fit together and is not among them."""
    errors: list[dict[str, Any]] = []
    if isinstance(error, ValidationError):
        errors = [dict(one) for one in error.errors(include_url=False)]
    of_values = [one for one in errors if not _is_of_a_whole(one)]
    told = {where_of(one) for one in of_values}
    yield from (_refusal(document, one, root) for one in of_values)
    fit = [each for each in rules(document.values) if each.where not in told]
    for each in fit:
        told.add(each.where)
        place = document.place(each.where)
        yield Refusal(place=place, where=each.where, words=partial(str, each.says))
    if told:
        return
    # A rule that only the core knows: told as the core says it.
    yield from (_refusal(document, one, root) for one in errors)
    if not errors:
        says = f"is wrong: {error}"
        yield Refusal(place=document.place(()), where=(), words=partial(str, says))


def _refusal(document: Document, error: dict[str, Any], root: type[BaseModel]) -> Refusal:
    where = where_of(error)
    words = partial(words_of, error, root=root)
    return Refusal(place=document.place(where), where=where, words=words)


def _is_of_a_whole(error: dict[str, Any]) -> bool:
    """Whether a rule over several settings failed, which `contradictions` tells better."""
    return error["type"] == "value_error" and isinstance(error.get("input"), dict)
