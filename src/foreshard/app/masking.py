"""This module is what never leaves the machine in a log or a bundle: secrets, told by their look.

Text is masked by shape (credentials in a URL, `Bearer ...`, private keys, `password=...`) and
values by the name of their key. It errs on the side of leaving out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

__all__ = ["LEFT_OUT", "is_secret_name", "mask", "mask_text"]

LEFT_OUT = "(left out)"

_NAMES = (
    r"pass(?:word|wd|phrase|code)?|pwd|secrets?|tokens?|credentials?|auth|authorization|bearer|"
    r"cookies?|session[-_]?id|signature|dsn|"
    r"(?:api|access|account|private|secret|signing|encryption|shared|ssh|hmac|master)[-_]?keys?|"
    r"connection[-_]?string|inline[-_]?(?:string|bytes)"
)
# Whole, or as the last part of a longer name: `db_password`, `x-api-key`, `userToken`.
_SECRET_NAME = re.compile(rf"(?i)(?:^|[-_. ])(?:{_NAMES})$")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_SHAPES: Sequence[tuple[re.Pattern[str], str]] = (
    # Whatever stands before the last @ of an authority: a password may hold an @ itself.
    (re.compile(r"(?<=://)[^/\s'\"<>]*@"), f"{LEFT_OUT}@"),
    (
        re.compile(
            r"-----BEGIN [A-Z0-9 ]*(?:PRIVATE KEY|CERTIFICATE)[A-Z0-9 ]*-----"
            r"(?s:.*?)(?:-----END [A-Z0-9 ]+-----|\Z)"
        ),
        LEFT_OUT,
    ),
    (re.compile(r"(?i)\b(bearer|basic|digest|negotiate)\s+[\w.~+/=-]{6,}"), rf"\1 {LEFT_OUT}"),
    (re.compile(r"\beyJ[\w-]{6,}\.[\w-]+(?:\.[\w-]*)?"), LEFT_OUT),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}"), LEFT_OUT),
    (re.compile(r"\b(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-|sk-|hvs\.)[\w-]{10,}"), LEFT_OUT),
    # name = value, "name": "value", ?name=value, name: value
    (
        re.compile(
            rf"(?i)((?<![a-z0-9])(?:[\w.-]*[-_.])?(?:{_NAMES})[\"']?\s*[=:]\s*)"
            r"(\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^\s&;,\"'}\]]+)"
        ),
        rf"\1{LEFT_OUT}",
    ),
)


def is_secret_name(name: str) -> bool:
    """Whether what stands under a name is to be left out.

    >>> [is_secret_name(n) for n in ("db_password", "apiKey", "key_header", "path_prefix")]
    [True, True, False, False]
    """
    return _SECRET_NAME.search(_CAMEL.sub("_", name)) is not None


def mask_text(text: str) -> str:
    """Text without what looks like a secret.

    >>> mask_text("cannot reach https://bob:s3c@r3t@hooks/x?token=abc123&a=1")
    'cannot reach https://(left out)@hooks/x?token=(left out)&a=1'
    """
    for shape, instead in _SHAPES:
        text = shape.sub(instead, text)
    return text


def mask(value: object) -> object:
    """JSON values without secrets: under telling names whole, in texts by their shape."""
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, Mapping):
        return {
            key: LEFT_OUT if _hides(str(key), item) else mask(item) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [mask(item) for item in value]
    return value


def _hides(name: str, item: object) -> bool:
    return item not in (None, "", [], {}) and not isinstance(item, bool) and is_secret_name(name)
