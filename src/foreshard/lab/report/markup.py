"""This module is HTML and SVG built from parts: every text is escaped, once, here.

Names of cells and reasons come from configurations and from others' services. Besides what HTML
needs escaped, control characters and those that turn the direction of writing are made visible.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

__all__ = ["Html", "join", "raw", "tag"]

_UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_VOID = frozenset({"br", "circle", "line", "link", "meta", "path", "polyline", "rect"})


class Html(str):
    """Markup that needs no escaping: only this module makes it."""

    __slots__ = ()


def raw(text: str) -> Html:
    """Our own style sheets and scripts, as they are."""
    return Html(text)


def join(parts: Iterable[str]) -> Html:
    """Parts one after the other; what is no markup is escaped."""
    return Html("".join(p if isinstance(p, Html) else _escaped(p) for p in parts))


def tag(name: str, /, *children: str, **attributes: str | float | None) -> Html:
    """An element.

    Args:
        name: Of the element.
        children: Markup, or texts that are escaped.
        attributes: `class_` is `class`, `_` becomes `-`; None leaves an attribute out, numbers
            are written short.

    >>> print(tag("p", "a < b", class_="note"))
    <p class="note">a &lt; b</p>
    """
    written = "".join(
        f' {_name(key)}="{_escaped(value if isinstance(value, str) else f"{value:g}")}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Html(
            f"<{name}{written}>" if name in {"br", "link", "meta"} else f"<{name}{written}/>"
        )
    return Html(f"<{name}{written}>{join(children)}</{name}>")


def _name(key: str) -> str:
    # SVG alone has attributes in mixed case.
    special = {"viewBox": "viewBox", "preserveAspectRatio": "preserveAspectRatio"}
    return special.get(key, key.rstrip("_").replace("_", "-"))


def _escaped(text: str) -> str:
    return escape(_UNSEEN.sub("\ufffd", text), quote=True)
