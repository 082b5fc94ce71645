"""This module is which paths are one endpoint: what varies in them is folded into a parameter.

What looks like an identifier (digits, a UUID, a digest, a date, an address, a long mixed token) is
one at first sight. A word is one when too many different words stand in its place: many in all,
or several that are each rare, or several with the same paths below. What gets a large part of
the requests there (`/users/me`) stays a word. (In the manner of Drain, He et al. 2017, whose tree
is bounded in the same way.)
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import expm1

from foreshard.model.category import Endpoint
from foreshard.model.sighting import Sighting

__all__ = ["BEYOND", "Atlas", "endpoints", "take_sightings", "template_of"]

BEYOND = "..."
"""Last part of what has more parts than are looked at; no template."""

Key = tuple[str, tuple[str, ...]]

KINDS = (
    ("{uuid}", re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)),
    ("{date}", re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ][\d:.]+(?:Z|[+-]\d{2}:?\d{2})?)?")),
    ("{id}", re.compile(r"-?\d+(?:[.,_-]\d+)*")),
    ("{hash}", re.compile(r"(?=.*\d)(?:0x)?[0-9a-f]{12,}", re.IGNORECASE)),
    ("{address}", re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")),
    ("{token}", re.compile(r"(?=.*\d)(?=.*[A-Za-z])[A-Za-z0-9_.~=-]{20,}")),
    # One or two letters before a number: `u123`, `ord-17`.
    ("{id}", re.compile(r"(?!v\d{1,2}$)[A-Za-z]{1,5}[-_]?\d+")),
)
NAME = "{name}"
# So many words in one place are values; so many suffice if most are seldom seen; so many if the
# same paths stand below them all (collections of one API often have the same below, but are few).
MANY, SEVERAL, ALIKE = 50, 10, 20
SELDOM = 3.0
# What gets this part of the requests of its place, and so many times the mean, is a word.
WORD_PART, WORD_TIMES = 0.1, 4.0
# Shapes that are kept; beyond, those that were asked for least are let go.
MOST_SHAPES, MOST_SEGMENTS = 5_000, 16
# An endpoint is believed after about so many requests over so long.
SURE_REQUESTS, SURE_S = 30.0, 60.0
# What nobody has asked for in so long is gone.
GONE_S = 3_600.0


@dataclass(frozen=True, slots=True)
class _Seen:
    requests: float
    first_s: float
    last_s: float
    values: int = 1
    told: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __add__(self, other: _Seen) -> _Seen:
        """Both as one."""
        return _Seen(
            self.requests + other.requests,
            min(self.first_s, other.first_s),
            max(self.last_s, other.last_s),
            self.values + other.values,
            _summed(self.told, other.told),
        )


def _summed(
    one: Mapping[str, tuple[float, float]], other: Mapping[str, tuple[float, float]]
) -> Mapping[str, tuple[float, float]]:
    if not one or not other:
        return one or other
    summed = dict(one)
    for resource, (count, total) in other.items():
        before = summed.get(resource, (0.0, 0.0))
        summed[resource] = before[0] + count, before[1] + total
    return summed


@dataclass(frozen=True, slots=True, kw_only=True)
class Atlas:
    """What was seen so far.

    Attributes:
        shapes: By method and segments.
        folded: Places (method, segments before) whose words are values.
        words: Those that stay words in a folded place, as a whole path to it.
        left_out: Requests of what was let go because there was no room for it.
    """

    shapes: Mapping[Key, _Seen] = field(default_factory=dict)
    folded: frozenset[Key] = frozenset()
    words: frozenset[Key] = frozenset()
    left_out: float = 0.0


def template_of(atlas: Atlas, method: str, path: str) -> str:
    """The template that a path is of, by what is known so far.

    >>> template_of(Atlas(), "GET", "/users/123/orders?page=2")
    '/users/{id}/orders'
    """
    return "/" + "/".join(_shape(atlas, method.upper(), path))


def take_sightings(atlas: Atlas, seen: Iterable[Sighting], *, now_s: float) -> Atlas:
    """Take in what was asked for."""
    shapes = {k: kept for k, kept in atlas.shapes.items() if now_s - kept.last_s <= GONE_S}
    for each in seen:
        key = each.method.upper(), _shape(atlas, each.method.upper(), each.path)
        before, new = shapes.get(key), _Seen(each.requests, now_s, now_s, told=each.told)
        shapes[key] = new if before is None else replace(before + new, values=before.values)
    return _bounded(_fold(replace(atlas, shapes=shapes)))


def endpoints(
    atlas: Atlas, *, now_s: float, least_confidence: float = 0.5
) -> tuple[Endpoint, ...]:
    """What is believed to be an endpoint of its own, most asked for first.

    Args:
        atlas: What was seen.
        now_s: The moment.
        least_confidence: Of those returned.
    """
    found = []
    for (method, segments), seen in atlas.shapes.items():
        age_s = max(now_s - seen.first_s, 0.0)
        confidence = expm1(-seen.requests / SURE_REQUESTS) * expm1(-age_s / SURE_S)
        if confidence < least_confidence or segments[-1] == BEYOND:
            continue
        values = f", {seen.values} values folded" if seen.values > 1 else ""
        found.append(
            Endpoint(
                method=method,
                template="/" + "/".join(segments),
                requests=seen.requests,
                confidence=min(confidence, 1.0),
                first_s=seen.first_s,
                per_request={r: total / count for r, (count, total) in seen.told.items()},
                evidence=f"{seen.requests:g} requests in {age_s:.0f} s{values}",
            )
        )
    return tuple(sorted(found, key=lambda e: (-e.requests, e.method, e.template)))


def _shape(atlas: Atlas, method: str, path: str) -> tuple[str, ...]:
    raw = re.split("[?#]", path, maxsplit=1)[0].split("/")[1:]
    shape: tuple[str, ...] = ()
    for segment in raw[:MOST_SEGMENTS]:
        own = _kind(segment)
        if (method, shape) in atlas.folded and (method, (*shape, own)) not in atlas.words:
            own = own if own.startswith("{") else NAME
        shape = (*shape, own)
    return (*shape, BEYOND) if len(raw) > MOST_SEGMENTS else shape


def _kind(segment: str) -> str:
    # What a client sends in braces is no template of ours.
    if segment.startswith("{"):
        return "{token}"
    return next((name for name, form in KINDS if form.fullmatch(segment)), segment)


@dataclass(slots=True)
class _Place:
    """A node of the tree of shapes."""

    requests: float = 0.0
    below: dict[str, _Place] = field(default_factory=lambda: defaultdict(_Place))


def _fold(atlas: Atlas) -> Atlas:
    """Fold until no place has too many words; from the root down, as values hide what is below."""
    while True:
        news = _crowded(atlas)
        if not news:
            return atlas
        folded = atlas.folded | {place for place, _ in news}
        words = atlas.words | {word for _, kept in news for word in kept}
        atlas = replace(atlas, folded=folded, words=words)
        shapes: dict[Key, _Seen] = {}
        for (method, segments), seen in atlas.shapes.items():
            key = method, _refolded(atlas, method, segments)
            old = shapes.get(key)
            shapes[key] = seen if old is None else old + seen
        atlas = replace(atlas, shapes=shapes)


def _refolded(atlas: Atlas, method: str, segments: tuple[str, ...]) -> tuple[str, ...]:
    shape: tuple[str, ...] = ()
    for own in segments:
        is_value = (method, shape) in atlas.folded and (method, (*shape, own)) not in atlas.words
        shape = (*shape, NAME if is_value and not own.startswith("{") else own)
    return shape


def _crowded(atlas: Atlas) -> list[tuple[Key, list[Key]]]:
    """Places of the highest crowded level, each with its words that stay."""
    roots: dict[str, _Place] = defaultdict(_Place)
    for (method, segments), seen in atlas.shapes.items():
        place = roots[method]
        for segment in segments:
            place = place.below[segment]
            place.requests += seen.requests
    level: list[tuple[Key, _Place]] = [
        ((method, ()), place) for method, place in sorted(roots.items())
    ]
    while level:
        found: list[tuple[Key, list[Key]]] = []
        for key, place in level:
            if key not in atlas.folded and (kept := _values_of(place)) is not None:
                found.append((key, [(key[0], (*key[1], word)) for word in kept]))
        if found:
            return found
        level = [
            ((method, (*shape, segment)), below)
            for (method, shape), place in level
            for segment, below in sorted(place.below.items())
        ]
    return []


def _values_of(place: _Place) -> list[str] | None:
    """Words that stay where the others are values; None where all are words."""
    words = {name: p for name, p in place.below.items() if not name.startswith("{")}
    whole = sum(p.requests for p in words.values())
    stands_out = max(WORD_PART * whole, WORD_TIMES * whole / max(len(words), 1))
    kept = [name for name, p in sorted(words.items()) if p.requests > stands_out]
    rest = [p for name, p in words.items() if name not in kept]
    seldom = sum(p.requests <= SELDOM for p in rest)
    below = {frozenset(p.below) for p in rest}
    is_alike = len(rest) >= ALIKE and len(below) == 1 and frozenset() not in below
    is_rare = len(rest) >= SEVERAL and 2 * seldom > len(rest)
    return kept if len(rest) > MANY or is_rare or is_alike else None


def _bounded(atlas: Atlas) -> Atlas:
    """Without what was asked for least, and what is remembered of it, where there is no room."""
    shapes, left_out = atlas.shapes, atlas.left_out
    if len(shapes) > MOST_SHAPES:
        most = sorted(shapes.items(), key=lambda item: (-item[1].requests, item[0]))
        left_out += sum(seen.requests for _, seen in most[MOST_SHAPES // 2 :])
        shapes = dict(most[: MOST_SHAPES // 2])
    folded, words = atlas.folded, atlas.words
    if len(folded) + len(words) > MOST_SHAPES:
        alive = {(m, s[:n]) for m, s in shapes for n in range(len(s) + 1)}
        folded, words = folded & alive, words & alive
    return replace(atlas, shapes=shapes, folded=folded, words=words, left_out=left_out)
