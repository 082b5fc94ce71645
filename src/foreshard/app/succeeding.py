"""This module is the engine's eye on the request classes: new editions, and questions of what-if.

It looks once a turn and works in a thread of its own; the loop waits for none of it. What became
of the newest edition stands in the engine's store, for the API to tell.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import structlog

from foreshard.adapters.clock import ThreadExecutor
from foreshard.adapters.store.catalogue_file import CatalogueFile
from foreshard.adapters.store.editions import Editions
from foreshard.adapters.store.questions import Questions
from foreshard.app.cataloguing import Held, held, tags_of
from foreshard.app.knowing import FLOWN
from foreshard.app.places import catalogue_dir
from foreshard.app.rehearsing import answered
from foreshard.app.steering import engine_of
from foreshard.config import Settings
from foreshard.config.catalogue import Catalogue, Footing
from foreshard.controller.succession import Heir, Sight
from foreshard.controller.tidings import Reminder
from foreshard.model.category import Tag
from foreshard.model.errors import ForeshardError, StoreError
from foreshard.ports import StateStore

__all__ = ["EditionWatch"]

log = structlog.get_logger(__name__)

# Whoever asked waits no longer.
ANSWER_S = 15.0
# Another process writes for milliseconds; the loop does not wait for more.
PATIENCE_S = 0.05


class EditionWatch:
    """A `Succession` on the file of editions.

    Args:
        settings: The configuration, as its file says it.
        flown: What flies.
        store: The engine's.
        executor: Where heirs are made and questions answered.
        tagged: Told what persons say of classes.
    """

    def __init__(
        self,
        settings: Settings,
        flown: Held,
        *,
        store: StateStore,
        executor: ThreadExecutor,
        tagged: Callable[[Mapping[str, Tag]], None] = lambda _: None,
    ) -> None:
        self._footing = Footing(settings)
        self._directory = catalogue_dir(settings)
        self._flown = flown
        # The newest edition that was looked at, whether it flies or was passed over.
        self._seen = max((flown.version, *(version for version, _ in flown.passed_over)))
        self._store = store
        self._tagged = tagged
        self._executor = executor
        self._file: CatalogueFile | None = None
        self._work: asyncio.Task[tuple[Held, Heir | None]] | None = None
        self._answering: asyncio.Task[None] | None = None
        self._trouble = Reminder()
        because = "; ".join(f"version {n}: {why}" for n, why in flown.passed_over)
        self._tell(passed_over=because)

    def due(self) -> Heir | None:
        """See `Succession.due`; a failure is said, and what flies flies on."""
        try:
            return self._due()
        except StoreError as error:
            if self._trouble.is_due(str(error), time.time()):
                log.warning("classes.unreadable", error=str(error), effect="they stay as they are")
            return None

    def see(self, sight: Sight) -> None:
        """Answer the next question, if one waits and none is being answered."""
        if self._file is None or not (self._answering is None or self._answering.done()):
            return
        try:
            questions = Questions(self._file)
            found = questions.open(since_s=time.time() - ANSWER_S)
        except StoreError as error:
            log.debug("question.unreadable", error=str(error))
            return
        if found is not None:
            number, body = found
            work = partial(self._answer, number, body, sight)
            self._answering = asyncio.ensure_future(self._executor.run(work))

    async def aclose(self) -> None:
        """Wait for what is being worked on, and close the file."""
        for task in (self._work, self._answering):
            if task is not None:
                await asyncio.gather(task, return_exceptions=True)
        if self._file is not None:
            self._file.close()

    def _due(self) -> Heir | None:
        if self._file is None:
            if not CatalogueFile.is_in(self._directory):
                return None
            self._file = CatalogueFile(self._directory, patience_s=PATIENCE_S)
        if self._work is not None:
            return self._taken_up(self._work) if self._work.done() else None
        newest = Editions(self._file).newest_version()
        self._trouble.end()
        if newest != self._seen:
            self._seen = newest
            work = partial(self._made, newest, self._flown.catalogue)
            self._work = asyncio.ensure_future(self._executor.run(work))
        return None

    def _taken_up(self, work: asyncio.Task[tuple[Held, Heir | None]]) -> Heir | None:
        self._work = None
        try:
            made, heir = work.result()
        except StoreError:
            # It is looked at again.
            self._seen = self._flown.version
            raise
        except ForeshardError as error:
            log.error("classes.passed_over", version=self._seen, because=str(error))  # noqa: TRY400 - said whole
            self._tell(passed_over=f"version {self._seen}: {error}")
            return None
        self._flown = made
        self._tell()
        return heir

    def _made(self, version: int, flown: Catalogue) -> tuple[Held, Heir | None]:
        """What an edition holds, and an engine for it where its classes are others."""
        with CatalogueFile(self._directory) as file:
            found = held(Editions(file).edition(version), self._footing)
        if found.catalogue.digest == flown.digest:
            return found, None
        settings = self._footing.fitted(found.catalogue)
        return found, Heir(
            version=found.version,
            engine=engine_of(settings),
            classes=settings.request_classes(),
            default_class=settings.default_class,
        )

    def _answer(self, number: int, body: Mapping[str, Any], sight: Sight) -> None:
        try:
            answer = answered(body, sight, self._flown.catalogue, self._footing)
        except ForeshardError as error:
            answer = {"refused": str(error)}
        try:
            # By a door of its own: the loop waits for no disk that this one waits for.
            with CatalogueFile(self._directory) as file:
                Questions(file).answer(number, answer)
        except StoreError as error:
            log.warning("question.unanswered", error=str(error))

    def _tell(self, *, passed_over: str = "") -> None:
        note = {
            "version": self._flown.version,
            "at_s": time.time(),
            "passed_over": passed_over,
        }
        self._tagged(tags_of(self._flown.catalogue))
        try:
            self._store.put(FLOWN, note)
        except StoreError as error:
            log.warning("classes.untold", error=str(error))
