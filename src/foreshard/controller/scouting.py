"""This module is what the engine hears of paths that match no class: endpoints nobody declared.

It changes no class: what is found is a report, from which a person may take a class, and news
for the log. Paths are folded elsewhere than in the loop, and nobody's silence holds up a tick.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from foreshard.controller.profiling import Profiling
from foreshard.controller.tidings import Reminder
from foreshard.model.category import Endpoint
from foreshard.model.errors import AdapterError, InvalidValueError, StoreError
from foreshard.model.sighting import Sightings
from foreshard.model.workload import Match, RequestClass
from foreshard.ports import Executor, SightingSource, StateStore
from foreshard.profile.catalogue import resembling
from foreshard.profile.template import Atlas, endpoints, take_sightings
from foreshard.router.path import normalised

__all__ = ["ENDPOINTS", "MOST_ENDPOINTS", "Scouting"]

log = structlog.get_logger(__name__)

ENDPOINTS = "endpoints"
"""Where the report is kept."""
MOST_ENDPOINTS = 50
"""So many are told, those that are asked for most first; of the others only how many they are."""

EVERY_S = 5.0
MOST_CHANGES = 20

Key = tuple[str, str]


class Scouting:
    """Finds endpoints among the requests that match no class.

    Args:
        source: Who hears of paths.
        profiling: Knows the categories that costs are held against.
        store: Where the report is kept.
        executor: Folds paths.
        classes: What is no news.
    """

    def __init__(
        self,
        source: SightingSource,
        profiling: Profiling,
        *,
        store: StateStore,
        executor: Executor,
        classes: Sequence[RequestClass],
    ) -> None:
        self._source, self._profiling = source, profiling
        self._store, self._executor = store, executor
        self._classes = tuple(classes)
        self._atlas = Atlas()
        self._left_out = 0.0
        self._known: dict[Key, Endpoint] = {}
        self._changes: list[Mapping[str, Any]] = []
        self._due_s = float("-inf")
        self._looking: asyncio.Task[None] | None = None
        self._trouble = Reminder()

    def take_up(self, classes: Sequence[RequestClass]) -> None:
        """Hold what is found against other classes from now on."""
        self._classes = tuple(classes)

    def look(self, now_s: float) -> None:
        """Ask if it is time to; what is found is in the store a moment later."""
        if now_s < self._due_s or (self._looking is not None and not self._looking.done()):
            return
        self._due_s = now_s + EVERY_S
        self._looking = asyncio.ensure_future(self._look(now_s))

    async def aclose(self) -> None:
        """Give up what is under way."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look(self, now_s: float) -> None:
        try:
            heard = await self._source.take_sightings()
        except AdapterError as error:
            self._complain(error, now_s, "no endpoint is found")
            return
        atlas, classes = self._atlas, self._classes
        self._atlas, found = await self._executor.run(
            lambda: _charted(atlas, heard, classes, now_s)
        )
        self._left_out += heard.left_out
        self._tell(found[:MOST_ENDPOINTS], now_s)
        try:
            self._store.put(ENDPOINTS, self._report(found, now_s))
        except StoreError as error:
            self._complain(error, now_s, "the report of endpoints is not renewed")
        else:
            self._trouble.end()

    def _complain(self, error: AdapterError, now_s: float, effect: str) -> None:
        if self._trouble.is_due(str(error), now_s):
            log.warning("profile.unsighted", error=str(error), effect=effect)

    def _tell(self, found: Sequence[Endpoint], now_s: float) -> None:
        """What has come and gone since the last look."""
        before, self._known = self._known, {(e.method, e.template): e for e in found}
        for key, each in self._known.items():
            if key not in before:
                log.info("profile.endpoint_found", **_named(each), text=each.evidence)
                self._note(now_s, f"{_title(each)} was found: {each.evidence}")
        for key, each in before.items():
            if key not in self._known:
                why = (
                    "a class takes it"
                    if _is_taken(each, self._classes)
                    else "its requests have ceased, or others have more, or it is part of one"
                )
                log.info("profile.endpoint_gone", **_named(each), text=why)
                self._note(now_s, f"{_title(each)} is none of its own any more: {why}")

    def _note(self, now_s: float, text: str) -> None:
        self._changes = [*self._changes, {"at_s": now_s, "text": text}][-MOST_CHANGES:]

    def _report(self, found: Sequence[Endpoint], now_s: float) -> Mapping[str, Any]:
        catalogue = self._profiling.catalogue
        return {
            "at_s": now_s,
            "endpoints": [
                {
                    **_named(each),
                    "requests": round(each.requests, 1),
                    "confidence": round(each.confidence, 3),
                    "first_s": each.first_s,
                    "evidence": each.evidence,
                    "costs": {r: float(f"{c:.6g}") for r, c in each.per_request.items()},
                    "resembles": resembling(catalogue, each.per_request),
                }
                for each in found[:MOST_ENDPOINTS]
            ],
            "more_endpoints": max(len(found) - MOST_ENDPOINTS, 0),
            "left_out_requests": round(self._left_out + self._atlas.left_out, 1),
            "changes": self._changes,
        }


def _charted(
    atlas: Atlas, heard: Sightings, classes: Sequence[RequestClass], now_s: float
) -> tuple[Atlas, list[Endpoint]]:
    """What is known now, and what of it is an endpoint that no class takes."""
    matches = [c.match for c in classes if not _is_any(c.match)]
    new = [
        each
        for each in heard.seen
        if not any(m.takes(each.method, normalised(each.path), {}) for m in matches)
    ]
    atlas = take_sightings(atlas, new, now_s=now_s)
    return atlas, [e for e in endpoints(atlas, now_s=now_s) if not _is_taken(e, classes)]


def _is_taken(endpoint: Endpoint, classes: Sequence[RequestClass]) -> bool:
    """Whether a class takes all of it, or none could."""
    try:
        own = Match(method=endpoint.method, path_template=endpoint.template)
    except InvalidValueError:
        return True
    return any(not _is_any(c.match) and c.match.covers(own) for c in classes)


def _is_any(match: Match) -> bool:
    """Whether it is what is left over by the others, rather than an endpoint of theirs."""
    return match in (Match(), Match(path_prefix="/"))


def _named(endpoint: Endpoint) -> Mapping[str, str]:
    return {"method": endpoint.method, "template": endpoint.template}


def _title(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.template}"
