"""This module is what is wrong with a configuration, in words a person can act on.

One line an error: place, key, value, what would be right. What a key calls a secret is never
shown, nor is what a URL carries to prove who one is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from foreshard.config.document import Place
from foreshard.config.field import TAGS, WORDS
from foreshard.config.secrecy import is_secret_name

__all__ = ["Refusal", "shown", "where_of", "words_of"]

LONGEST_VALUE = 60
URL_PROOF = re.compile(r"(?<=://)[^/@\s]+(?=@)|(?<=[?&])([^=&\s]*)=[^&\s]+")
# What would be right, by pydantic's name of the error; the rest says so itself.
RIGHT = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping of keys",
    "enum": "must be {expected}",
    "finite_number": "must be a finite number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "frozen_set_type": "must be a list",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "list_type": "must be a list",
    "model_attributes_type": "must be a mapping of keys",
    "model_type": "must be a mapping of keys",
    "path_type": "must be a path",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must not be empty",
    "string_type": "must be text",
    "too_short": "must hold at least {min_length}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One error.

    Attributes:
        place: Where it stands in the file.
        where: Path of the key.
        words: Makes value and what would be right, as the rest of a sentence. Looking for a
            near key takes a moment, and of very many errors few are told.
    """

    place: Place
    where: tuple[int | str, ...]
    words: Callable[[], str]

    @property
    def key(self) -> str:
        """The path as people write it."""
        return ".".join(str(part) for part in self.where) or "the file"

    def __str__(self) -> str:
        return f"  {self.place}: {self.key} {self.words()}"


def where_of(error: Mapping[str, Any]) -> tuple[int | str, ...]:
    """Path of one error of pydantic, one of `ValidationError.errors()`."""
    where = tuple(part for part in error["loc"] if part not in TAGS)
    return where[:-1] if where[-1:] == ("[key]",) else where


def words_of(error: Mapping[str, Any], *, root: type[BaseModel]) -> str:
    """Words of one error of pydantic.

    Args:
        error: One of `ValidationError.errors()`.
        root: The settings that were read.
    """
    where = where_of(error)
    match error["type"]:
        case "missing":
            model = _model_at(root, where[:-1])
            field = model.model_fields.get(str(where[-1])) if model else None
            return f"is missing: {_first(field.description if field else '')}"
        case "extra_forbidden":
            return _unknown(str(where[-1]), _model_at(root, where[:-1]))
    if error["type"] == "invalid_key" or error["loc"][-1:] == ("[key]",):
        return "is a key that is no text; put it in quotes"
    value = error.get("input")
    is_part = isinstance(value, dict | list)
    said = "is wrong:" if is_part else f"is {shown(where, value)},"
    return f"{said} {_right(error, value)}"


def shown(where: Sequence[int | str], value: object) -> str:
    """A value as it may be shown: short, and no secret."""
    if any(is_secret_name(str(part)) for part in where) and value not in (None, ""):
        return "(hidden)"
    try:
        text = repr(value)
    except ValueError:
        # More digits than Python is willing to write.
        text = "a number too long to write"
    text = URL_PROOF.sub(lambda found: f"{found[1]}=..." if found[1] else "...", text)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."


def _right(error: Mapping[str, Any], value: object) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "string_pattern_mismatch":
        return WORDS.get(context["pattern"], f"must match {context['pattern']}")
    if kind == "string_type" and value is not None and not isinstance(value, dict | list):
        return "must be text; put it in quotes"
    if kind in RIGHT:
        return RIGHT[kind].format_map(context)
    said = str(error["msg"]).removeprefix("Value error, ")
    return said.replace("Input should", "must")


def _unknown(key: str, model: type[BaseModel] | None) -> str:
    known = list(model.model_fields) if model else []
    near = get_close_matches(key, known, n=1, cutoff=0.6)
    if near:
        return f"is unknown, did you mean {near[0]}?"
    return f"is unknown, there are {', '.join(known)}"


def _first(description: str | None) -> str:
    text = (description or "give it").strip()
    return text[0].lower() + text[1:] if text[1:2].islower() or text[1:2] == " " else text


def _model_at(root: type[BaseModel], where: Sequence[int | str]) -> type[BaseModel] | None:
    """The settings that stand at a path."""
    model: type[BaseModel] | None = root
    is_name = False
    for part in where:
        if isinstance(part, int) or is_name:
            is_name = False
            continue
        field = model.model_fields.get(part) if model else None
        if field is None:
            return None
        model = _model_in(field.annotation)
        # In a mapping by name, the next part of the path is a name and no key.
        is_name = get_origin(field.annotation) is dict
    return model


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in get_args(annotation):
        if found := _model_in(part):
            return found
    return None
