"""This module is what never leaves the machine in a log or a bundle: secrets, told by their look.

Text is masked by shape (credentials in a URL, `Bearer ...`, private keys, `password=...`) and
values by the name of their key. It errs on the side of leaving out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from foreshard.config.secrecy import TELLING_WORDS, is_secret_name, is_secret_whatever

__all__ = ["LEFT_OUT", "LEFT_OUT_WORD", "mask", "mask_lines", "mask_text", "tokens_of"]

LEFT_OUT = "(left out)"
# Where there is room for a word only: in a URL, in a path.
LEFT_OUT_WORD = "left-out"

_WORDS = rf"(?:{TELLING_WORDS}|\w{{0,64}}passw(?:or)?d)"
_QUOTED = r"\"(?:[^\"\\]|\\.)*\"|'[^']*'"
# A header's value goes to the end of the line: `Token abc`, `Digest username="x", response=...`.
_HEADERS = r"(?:proxy-)?authori[sz]ation|(?:set-)?cookie"

_SHAPES: Sequence[tuple[re.Pattern[str], str]] = (
    # Whatever stands before the last @: a password may hold an @ or a slash itself.
    (re.compile(r"(?<=://)[^\s'\"<>]{1,512}@"), f"{LEFT_OUT}@"),
    # Webhooks of chats: the path is the secret.
    (re.compile(r"(?i)(?<=://)(hooks?\.[^\s/'\"<>]{1,255})/[^\s'\"<>]*"), rf"\1/{LEFT_OUT}"),
    (
        re.compile(
            r"-----BEGIN [A-Z0-9 ]*(?:PRIVATE KEY|CERTIFICATE)[A-Z0-9 ]*-----"
            r"(?s:.*?)(?:-----END [A-Z0-9 ]+-----|\Z)"
        ),
        LEFT_OUT,
    ),
    (re.compile(rf"(?i)\b({_HEADERS})\s*[:=]\s*(?![\s\"'])[^\r\n]*"), rf"\1: {LEFT_OUT}"),
    (re.compile(r"(?i)\b(bearer|basic|digest|negotiate)\s+[\w.~+/=-]{6,}"), rf"\1 {LEFT_OUT}"),
    (re.compile(r"\beyJ[\w-]{6,}\.[\w-]+(?:\.[\w-]*)?"), LEFT_OUT),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}"), LEFT_OUT),
    (re.compile(r"\b(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-|sk-|hvs\.)[\w-]{10,}"), LEFT_OUT),
    # The name in quotes, a comma, the value in quotes: Envoy's headers as text, calls in Lua.
    (
        re.compile(
            rf"(?i)([\"'](?:[\w.-]{{0,64}}[-_.])?{_WORDS}(?:[-_.]\w{{1,16}})?[\"']\s*,\s*"
            rf"(?:[\"']\w{{1,64}}[\"']\s*:\s*)?)(?:{_QUOTED})"
        ),
        rf"\1{LEFT_OUT}",
    ),
    # The name, then "=" or ":", then the value, each in quotes or bare.
    (
        re.compile(
            rf"(?i)((?<![a-z0-9]){_WORDS}(?:[-_.]\w{{1,16}})?[\"']?\s*[=:]\s*)"
            rf"({_QUOTED}|(?!\(left out)[^\s&;,\"'}}\]]+)"
        ),
        rf"\1{LEFT_OUT}",
    ),
    # --password value, "password is value"
    (re.compile(rf"(?i)(--?[\w-]{{0,64}}?{_WORDS}\s+)[^\s\"']+"), rf"\1{LEFT_OUT}"),
    (re.compile(rf"(?i)(\b{_WORDS}\s+(?:is|was)\s+)[^\s\"',;]+"), rf"\1{LEFT_OUT}"),
)
# Under such a name the whole path of a URL is a secret.
_HOOK = re.compile(r"(?i)(?:^|[-_.])(?:web)?hooks?(?:[-_.]?ur[il]s?)?$")
_HOOK_URL = re.compile(
    r"^(?P<scheme>\w+://)(?P<proof>[^/\s@]*@)?"
    r"(?P<host>(?:\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::\d+)?)(?P<path>[/?#].*)?$",
    re.DOTALL,
)
# A part of a URL that is a key rather than a word.
_TOKEN = re.compile(r"(?=[^/?&=]*\d)(?=[^/?&=]*[A-Za-z])[\w.~+-]{10,}|[\w.~+-]{20,}")
# Names under which what is named beside them stands: Envoy's headers, Kubernetes' variables.
_NAMING = ("key", "name")


def mask_text(text: str) -> str:
    """Text without what looks like a secret.

    >>> mask_text("cannot reach https://bob:s3c@r3t@hooks/x?token=abc123&a=1")
    'cannot reach https://(left out)@hooks/x?token=(left out)&a=1'
    """
    for shape, instead in _SHAPES:
        text = shape.sub(instead, text)
    return text


def mask_lines(text: str) -> str:
    """As `mask_text`; a line that is a JSON object is masked value by value."""
    return "".join(_line(line) for line in text.splitlines(keepends=True))


def mask(value: object, *, names: AbstractSet[str] = frozenset()) -> object:
    """JSON values without secrets: under telling names whole, in texts by their shape.

    A number stays a number, so that what is masked can still be read as what it was; only under
    names such as `password` it is left out.

    Args:
        value: Of which a copy is made.
        names: Those of the service, which are no secrets and name none, whatever they look like:
            a class may be called `auth`.
    """
    if isinstance(value, str):
        return value if value in names else mask_text(value)
    if isinstance(value, Mapping):
        named = any(
            isinstance(value.get(key), str)
            and value[key] not in names
            and is_secret_name(value[key])
            for key in _NAMING
        )
        return {
            key: mask(item, names=names)
            if str(key) in names
            else _masked(str(key), item, named=named, names=names)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [mask(item, names=names) for item in value]
    return value


def tokens_of(url: str) -> Iterator[str]:
    """Parts of a URL's path and query that look like keys, not like words."""
    _, _, rest = url.partition("://")
    _, _, path = rest.partition("/")
    yield from _TOKEN.findall(path)


def _line(line: str) -> str:
    if line.lstrip().startswith("{"):
        try:
            value = json.loads(line)
        except ValueError:
            return mask_text(line)
        return json.dumps(mask(value), ensure_ascii=False, separators=(",", ":")) + "\n"
    return mask_text(line)


def _masked(name: str, item: object, *, named: bool, names: AbstractSet[str]) -> object:
    if is_secret_whatever(name):
        return item if item in (None, "") or isinstance(item, bool) else LEFT_OUT
    if is_secret_name(name) or (named and name not in _NAMING):
        return _without_text(item)
    if isinstance(item, str) and _HOOK.search(name):
        return _hook(item)
    return mask(item, names=names)


def _hook(url: str) -> str:
    """A URL still, or the configuration in a bundle could not be read again."""
    parts = _HOOK_URL.match(url)
    if parts is None:
        return LEFT_OUT if "://" in url else mask_text(url)
    proof = f"{LEFT_OUT_WORD}@" if parts["proof"] else ""
    path = f"/{LEFT_OUT_WORD}" if parts["path"] else ""
    return f"{parts['scheme']}{proof}{parts['host']}{path}"


def _without_text(value: object) -> object:
    """The same with every text that is not empty left out."""
    if isinstance(value, str):
        return LEFT_OUT if value else value
    if isinstance(value, Mapping):
        return {key: _without_text(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_text(item) for item in value]
    return value
