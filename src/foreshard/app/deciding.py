"""This module is the `engine` process, put together from a configuration."""

from __future__ import annotations

import asyncio
import errno
import math
import sqlite3
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import structlog

from foreshard.adapters.cells.handover import WebhookSlotMover
from foreshard.adapters.clock import SystemClock, ThreadExecutor
from foreshard.adapters.federation.cells import PeerCells
from foreshard.adapters.federation.peers import HttpPeers
from foreshard.adapters.page import Answer, Ask, pages
from foreshard.adapters.routing.bill import ReportedCosts
from foreshard.adapters.store.late import LateStore
from foreshard.adapters.store.reading import unpack
from foreshard.adapters.store.schema import FILE_NAME, newer_state
from foreshard.adapters.store.segments import Keep, SegmentFiles
from foreshard.adapters.store.sqlite import SqliteStore
from foreshard.adapters.store.turns import TurnFiles
from foreshard.app.advising import FileAdviser
from foreshard.app.cataloguing import Held, newest_held
from foreshard.app.companions import beside
from foreshard.app.heartbeat import beater, patience_s
from foreshard.app.places import alone, history_dir, private, state_dir, turns_dir
from foreshard.app.reaching import reach
from foreshard.app.signals import stop_on_signals
from foreshard.app.steering import loop_of
from foreshard.app.succeeding import EditionWatch
from foreshard.config import Settings
from foreshard.config.catalogue import Footing
from foreshard.controller.billing import Billing
from foreshard.controller.chronicle import Chronicle
from foreshard.controller.loop import Loop
from foreshard.controller.page import engine_page
from foreshard.controller.peering import Peering
from foreshard.controller.profiling import Profiling
from foreshard.controller.recording import Recording
from foreshard.controller.scouting import Scouting
from foreshard.controller.sweep import Sweep
from foreshard.controller.vitals import Vitals
from foreshard.controller.world import World
from foreshard.forecast.step import Gathering
from foreshard.model.errors import StoreError
from foreshard.ports import CellSource

__all__ = ["run_engine_process"]

log = structlog.get_logger(__name__)

# SQLite's names for a disk that is full, read-only or failing.
NO_ROOM = ("SQLITE_FULL", "SQLITE_READONLY", "SQLITE_IOERR", "SQLITE_CANTOPEN")


def run_engine_process(settings: Settings, config: Path) -> None:
    """Decide until a signal ends it.

    Args:
        settings: How.
        config: Their file, for the processes beside it.
    """

    async def work(stop: asyncio.Event) -> None:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(alone(settings.data_dir, "engine"))
            flown = newest_held(settings)
            serving = Footing(settings).fitted(flown.catalogue)
            vitals = Vitals(
                priorities={c.name: c.priority.name.lower() for c in serving.classes},
                beat=beater(settings),
            )
            await stack.enter_async_context(
                pages(settings.metrics.engine, _pages_of(vitals, patience_s(settings)))
            )
            loop = await _loop_of(settings, stack, vitals, flown)
            for task in beside(settings, config):
                stack.push_async_callback(_ended, asyncio.create_task(task))
            await loop.run(stop)

    with private():
        stop_on_signals(work)


def _pages_of(vitals: Vitals, limit_s: float) -> Mapping[str, Ask]:
    async def metrics() -> Answer:
        return Answer(text=engine_page(vitals))

    def within(moment_s: float | None, what: str) -> Answer:
        age_s = math.inf if moment_s is None else time.time() - moment_s
        return Answer(text=f"{what} ended {age_s:.1f} s ago\n", is_well=age_s <= limit_s)

    async def health() -> Answer:
        return within(vitals.turn_at_s, "the last turn")

    async def ready() -> Answer:
        return within(vitals.heartbeat_s, "the last turn that went well")

    return {"/metrics": metrics, "/healthz": health, "/readyz": ready}


async def _loop_of(
    from_file: Settings, stack: AsyncExitStack, vitals: Vitals, flown: Held
) -> Loop:
    settings = Footing(from_file).fitted(flown.catalogue)
    clock = SystemClock()
    executor = ThreadExecutor()
    stack.callback(executor.close)
    around = await reach(settings, clock, stack)
    store = _store_or_later(state_dir(settings))
    stack.callback(store.close)
    thinker = ThreadExecutor(name="foreshard-classes")
    stack.callback(thinker.close)
    classes = settings.request_classes()
    profiling = Profiling(settings.fleet(), classes, store)
    watch = EditionWatch(from_file, flown, store=store, executor=thinker, tagged=profiling.tag)
    stack.push_async_callback(watch.aclose)
    recording = Recording(TurnFiles(turns_dir(settings)))
    if flown.version:
        recording.served = {
            "classes": classes,
            "default_class": settings.default_class,
        }
    peers = await _peers(settings, clock, stack)
    world = World(
        clock=clock,
        cells=_cells(settings, around.cells, clock, peers),
        traffic=around.traffic,
        events=around.events,
        sink=around.sink,
        driver=around.driver,
        store=store,
        mover=await _mover(settings, clock, stack),
        vitals=vitals,
        recording=recording,
        chronicle=_chronicle(settings, stack),
        succession=watch,
        profiling=profiling,
        billing=Billing(ReportedCosts(around.sink), profiling),
        scouting=Scouting(around.sink, profiling, store=store, executor=thinker, classes=classes),
        peering=_peering(settings, peers),
        sweep=stack.enter_context(Sweep().in_charge()),
    )
    return loop_of(settings, world, executor, adviser=FileAdviser(settings))


async def _peers(
    settings: Settings, clock: SystemClock, stack: AsyncExitStack
) -> HttpPeers | None:
    """The other regions; None = there are none."""
    told = settings.federation
    if told is None:
        return None
    peers = HttpPeers(
        {peer.region: peer.aggregate for peer in told.peers},
        now_s=clock.now_s,
        every_s=told.every_s,
    )

    async def aggregate() -> Answer:
        return Answer(text=peers.text or "nothing is known yet", is_well=peers.text is not None)

    await stack.enter_async_context(pages(told.listen, {"/aggregate": aggregate}))
    return await stack.enter_async_context(peers)


def _cells(
    settings: Settings, own: CellSource, clock: SystemClock, peers: HttpPeers | None
) -> CellSource:
    if settings.federation is None or peers is None:
        return own
    return PeerCells(own, peers, region=settings.federation.region, now_s=clock.now_s)


def _peering(settings: Settings, peers: HttpPeers | None) -> Peering | None:
    if settings.federation is None or peers is None:
        return None
    return Peering(
        exchange=peers,
        membership=settings.federation.membership(),
        ceiling=settings.budget.rest_ceiling,
    )


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _chronicle(settings: Settings, stack: AsyncExitStack) -> Chronicle | None:
    """What keeps the metric history; None = none is kept."""
    history = settings.history
    if not history.most_mb:
        return None
    # Not the thread that makes forecasts: a slow disk must not hold them up.
    files = ThreadExecutor(name="foreshard-files")
    stack.callback(files.close)
    keep = Keep(for_s=history.keep_s, most_bytes=round(history.most_mb * 1e6))
    gathering = Gathering(
        settings.request_classes(), step_s=history.step_s, cells=settings.fleet().names
    )
    return Chronicle(gathering, SegmentFiles(history_dir(settings), keep), files)


async def _mover(
    settings: Settings, clock: SystemClock, stack: AsyncExitStack
) -> WebhookSlotMover | None:
    urls = {c.name: c.handover.webhook for c in settings.classes if c.handover is not None}
    if not urls:
        return None
    return await stack.enter_async_context(WebhookSlotMover(urls, clock=clock))


def _store_or_later(directory: Path) -> SqliteStore | LateStore:
    """The store, or one that keeps nothing until there is room.

    Raises:
        StoreError: It is not ours, or in use.
    """
    try:
        return _store(directory)
    except StoreError as error:
        if not _has_no_room(error):
            raise
        log.error(  # noqa: TRY400 - said whole
            "store.unavailable",
            error=str(error),
            effect="nothing is kept, steering goes on",
        )
        return LateStore(lambda: _store(directory), error)


def _has_no_room(error: StoreError) -> bool:
    """Whether the disk refuses, rather than somebody who holds the file or wrote another one."""
    cause = error.__cause__
    if isinstance(cause, sqlite3.OperationalError):
        return cause.sqlite_errorname.startswith(NO_ROOM)
    return isinstance(cause, OSError) and cause.errno in {errno.ENOSPC, errno.EROFS, errno.EDQUOT}


def _store(directory: Path) -> SqliteStore:
    """The store; one that cannot be used is put aside, for a record must not stop the steering.

    After a roll-back the file may be a newer Foreshard's: it is put aside too, and what must
    survive a restart is taken over from it.

    Raises:
        StoreError: It is not ours, in use, or cannot be written.
    """
    try:
        newer = newer_state(directory / FILE_NAME)
        if newer is None:
            return SqliteStore(directory)
        reason, taken = "newer", newer.get("memory")
    except StoreError as error:
        # SQLite's name for "this is no database, or a broken one", none of its subclasses.
        is_broken = type(error.__cause__) is sqlite3.DatabaseError
        if not is_broken and not directory.is_file():
            raise
        log.error("store.unusable", error=str(error))  # noqa: TRY400 - said whole
        reason, taken = "damaged", None
    aside = directory.with_name(f"{directory.name}.{reason}-{time.time():.0f}")
    log.error("store.put_aside", because=reason, aside=str(aside), memory=taken is not None)
    directory.rename(aside)
    store = SqliteStore(directory)
    if taken is not None:
        store.put("memory", unpack(taken))
    return store
