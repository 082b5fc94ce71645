"""This module is secrets that are known by their value, and how a file of a bundle loses them.

What the configuration says in the open (names, keys, addresses) stays, also where a secret has
the same value or a part of it: without it a bundle could not be replayed, and such a secret is
told by the configuration already. Documents are cleaned text by text, so that no key of ours, no
number and no truth value ever becomes something else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote

import yaml

from foreshard.app.masking import LEFT_OUT

__all__ = ["Known"]

# What others wrote: there a key or a number may be a secret too.
OTHERS = ("envoy/", "events")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Secrets by value.

    Attributes:
        forms: How they may stand in a text, longest secret first.
        left: Names of those that are left as they are, for the person who makes the bundle.
    """

    forms: tuple[str, ...]
    left: tuple[str, ...]

    @classmethod
    def of(cls, secrets: Mapping[str, str], told: object) -> Self:
        """What is to be left out, and what cannot be.

        Args:
            secrets: Where each stands (a variable, a key of the configuration), by value.
            told: The configuration as it will stand in the bundle.
        """
        words = "\n".join(dict.fromkeys(_words(told)))
        left = {value for value in secrets if any(form in words for form in _forms(value))}
        ordered = sorted(secrets.keys() - left, key=lambda value: (-len(value), value))
        return cls(
            forms=tuple(dict.fromkeys(form for value in ordered for form in _forms(value))),
            left=tuple(sorted({secrets[value] for value in left})),
        )

    def text(self, text: str) -> str:
        """A text without them."""
        for form in self.forms:
            text = text.replace(form, LEFT_OUT)
        return text

    def file(self, name: str, content: bytes) -> bytes:
        """A file of a bundle without them, in the form it has."""
        text = content.decode(errors="replace")
        if not any(form in text for form in self.forms):
            return content
        is_ours = not name.startswith(OTHERS)
        try:
            if name.endswith((".yaml", ".yml")) and is_ours:
                document = self._document(yaml.safe_load(text), is_ours=True)
                text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
            else:
                document = self._document(json.loads(text), is_ours=is_ours)
                text = json.dumps(document, indent=1)
        except (ValueError, RecursionError, yaml.YAMLError):
            lines = text.splitlines(keepends=True)
            text = "".join(self._line(line, is_ours=is_ours) for line in lines)
        return text.encode(errors="backslashreplace")

    def _line(self, line: str, *, is_ours: bool) -> str:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            return self.text(line)
        if not isinstance(value, dict):
            return self.text(line)
        document = self._document(value, is_ours=is_ours)
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n"

    def _document(
        self,
        value: Any,  # noqa: ANN401 - JSON
        *,
        is_ours: bool,
    ) -> Any:  # noqa: ANN401 - JSON
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self._document(item, is_ours=is_ours) for item in value]
        if isinstance(value, dict):
            return {
                (key if is_ours else self.text(str(key))): self._document(item, is_ours=is_ours)
                for key, item in value.items()
            }
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return LEFT_OUT if is_number and not is_ours and str(value) in self.forms else value


def _words(value: object) -> Iterator[str]:
    """Keys and texts."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from _words(item)
    elif isinstance(value, list):
        for item in value:
            yield from _words(item)
    elif isinstance(value, str):
        yield value


def _forms(secret: str) -> Iterator[str]:
    """A secret as it may stand in a text, in JSON and in a URL."""
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield quote(secret, safe="", errors="surrogateescape")
