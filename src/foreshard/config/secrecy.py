"""This module is which names stand for secrets: one list for messages, logs and bundles."""

from __future__ import annotations

import re

__all__ = ["TELLING_WORDS", "is_secret_name", "is_secret_whatever"]

# As a whole part of a name, wherever it stands: `db_password`, `x-api-key-1`, `userToken`.
TELLING_WORDS = (
    r"pass(?:phrase|code)?|pwd|secrets?|tokens?|credentials?|auth|authori[sz]ation|bearer|"
    r"cookies?|session[-_]?id|signature|dsn|"
    r"(?:api|access|account|private|secret|signing|encryption|shared|ssh|hmac|master)[-_]?keys?|"
    r"connection[-_]?string|inline[-_]?(?:string|bytes|code)|source[-_]?codes?"
)
# Also inside a longer word: PGPASSWORD.
_INSIDE = r"passw(?:or)?d|passwort"
_NAME = re.compile(rf"(?i)(?:^|[-_. ])(?:{TELLING_WORDS})(?:$|[-_. ])|{_INSIDE}")
# Under these a number is a secret too; under `tokens` it is an amount.
_WHATEVER = re.compile(rf"(?i)(?:^|[-_. ])(?:pass(?:phrase|code)?|pwd|pin|secrets?)$|{_INSIDE}")
# A shell's own names for where it is and was.
_FOLDERS = frozenset({"PWD", "OLDPWD"})
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def is_secret_name(name: str) -> bool:
    """Whether text that stands under a name is to be left out.

    >>> [is_secret_name(n) for n in ("PGPASSWORD", "apiKey", "x-api-key-1", "client_secret_v2")]
    [True, True, True, True]
    >>> [is_secret_name(n) for n in ("key_header", "path_prefix", "authority", "keys", "PWD")]
    [False, False, False, False, False]
    """
    return name not in _FOLDERS and _NAME.search(_CAMEL.sub("_", name)) is not None


def is_secret_whatever(name: str) -> bool:
    """Whether also a number that stands under a name is to be left out.

    >>> [is_secret_whatever(n) for n in ("password", "tokens")]
    [True, False]
    """
    return _WHATEVER.search(_CAMEL.sub("_", name)) is not None
