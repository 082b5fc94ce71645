"""This module is a request's path as the Envoys see it when they look for its class.

They normalise it first (RFC 3986, section 6, as browsers do it), then merge slashes: otherwise
`//checkout` or `/x/../checkout` would be another class than `/checkout`. A test sends odd paths
through a real Envoy and compares.
"""

from __future__ import annotations

import re

__all__ = ["normalised"]

# Only such paths are not yet what they become.
_IS_ODD = re.compile(r"//|/\.|[%\\|^\"<>`{} ?]")
_ESCAPED = re.compile(r"%([2-7][0-9A-Fa-f])")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_UNSAFE = re.compile(r"[|^\"<>`{} ]")


def normalised(path: str) -> str:
    """A path without its query.

    >>> normalised("//x/../search/./%61?q=/../1")
    '/search/a'
    """
    if not _IS_ODD.search(path):
        return path
    path = path.partition("?")[0].replace("\\", "/")
    path = _ESCAPED.sub(_unescaped, path)
    path = _UNSAFE.sub(lambda found: f"%{ord(found.group()):02X}", path)
    kept: list[str] = []
    segments = path.removeprefix("/").split("/")
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    merged = "/".join(segment for segment in kept if segment)
    # What ends in a slash keeps one, even if nothing is left before it: Envoy's way.
    return f"/{merged}/" if len(kept) > 1 and not kept[-1] else f"/{merged}"


def _unescaped(found: re.Match[str]) -> str:
    character = chr(int(found.group(1), 16))
    return character if character in _UNRESERVED else found.group()
