"""This module is a relay: beside Envoys, it gives them the last plan when Foreshard is gone.

While the control plane answers, proxies talk with it and nobody talks with the relay, which
only listens and keeps. A proxy that starts and gets no answer there comes here (a second
priority in its bootstrap), and is sent back as soon as there is one. Nothing that a proxy holds
is changed meanwhile: it may be newer than what is kept here. Killed, it harms nobody.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from foreshard.adapters.routing.envoy.discovery import Discovery, DiscoverySettings
from foreshard.adapters.routing.envoy.edition import Edition
from foreshard.adapters.routing.envoy.follower import Follower
from foreshard.adapters.routing.envoy.health import health_handler
from foreshard.adapters.routing.envoy.resources import Resources
from foreshard.adapters.routing.envoy.snapshot import Views
from foreshard.adapters.routing.last_good import LastGood
from foreshard.adapters.routing.seal import Seal
from foreshard.model.errors import SinkError
from foreshard.model.routing import RoutingTable

__all__ = ["Relay", "RelaySettings", "run_relay"]

log = structlog.get_logger()

# How often is looked whether proxies can go back; each look costs nothing.
LOOK_S = 0.1
# A proxy that is sent back and returns cannot reach the control plane, though we can.
FIRST_STAY_S = 0.3
LONGEST_STAY_S = 5.0
# Whether the plan is still the live one is noted on the disk this often.
CONFIRM_S = 10.0
# An operator who looks at the log sees without scrolling that nothing is steering.
REMIND_S = 60.0
FIRST_WORD_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaySettings:
    """Where a relay listens, whom it follows and where it keeps.

    Attributes:
        directory: Gets one file for each origin, and the one before.
        origins: Regions of the proxies beside it.
        upstream: Host and port of the control plane.
        host: Address to listen on; loopback, because it has no authentication.
        port: See above; 0 = any free one.
        seal: What editions must carry.
    """

    directory: Path
    origins: tuple[str, ...]
    upstream: tuple[str, int]
    host: str = "127.0.0.1"
    port: int = 0
    seal: Seal


async def run_relay(
    settings: RelaySettings, *, started: Callable[[int], None] | None = None
) -> None:
    """Relay until cancelled.

    Args:
        settings: See there.
        started: Called with the port once it is open.

    Raises:
        SinkError: The port is taken.
    """
    await Relay(settings).run(started=started)


class Relay:
    """One relay; `run_relay` for those who ask it nothing.

    Args:
        settings: See there.
    """

    def __init__(self, settings: RelaySettings) -> None:
        self._settings = settings
        self._discovery = Discovery(_render_nothing, DiscoverySettings(), takes_load_reports=False)
        self._discovery.is_sparing = True
        self._stores = {
            origin: LastGood(settings.directory, origin, settings.seal)
            for origin in settings.origins
        }
        self._editions: dict[str, Edition] = {}
        self._confirmed_at_s: dict[str, float] = {}
        self._unsaved = {origin: asyncio.Event() for origin in settings.origins}
        self._saved: dict[str, str] = {}
        target = f"{settings.upstream[0]}:{settings.upstream[1]}"
        self._followers = {
            origin: Follower(target, origin, settings.seal, heard=self._hear)
            for origin in settings.origins
        }

    async def run(self, *, started: Callable[[int], None] | None = None) -> None:
        """Relay until cancelled; see `run_relay`.

        Raises:
            SinkError: The port is taken.
        """
        await self.load()
        port = await self.open()
        if started is not None:
            started(port)
        try:
            async with asyncio.TaskGroup() as tasks:
                for origin in self._settings.origins:
                    tasks.create_task(self.follow(origin))
                    tasks.create_task(self.keep(origin))
                tasks.create_task(self.send_back())
        finally:
            await self.close()

    def status(self) -> Mapping[str, Mapping[str, object]]:
        """How it fares, by origin, as JSON values.

        `version` and `unconfirmed_s` (None = there is no plan), `is_kept`: whether that plan is
        on the disk, `is_answering`: whether the control plane answers, `is_refused`: whether
        what it last said did not verify.
        """
        now_s = time.time()
        found: dict[str, Mapping[str, object]] = {}
        for origin, follower in self._followers.items():
            one = self._editions.get(origin)
            found[origin] = {
                "version": None if one is None else one.version,
                "unconfirmed_s": None if one is None else now_s - self._confirmed_at_s[origin],
                "is_kept": one is not None and self._saved.get(origin) == _mark(one),
                "is_answering": follower.is_answering,
                "is_refused": follower.is_refused,
            }
        return found

    async def load(self) -> None:
        """Serve what was kept, at once."""
        for origin, store in self._stores.items():
            kept = await asyncio.to_thread(store.load)
            for problem in kept.problems:
                log.error("relay.file_refused", problem=problem)
            if kept.edition is None:
                continue
            self._editions[origin] = kept.edition
            self._confirmed_at_s[origin] = kept.confirmed_at_s
            if kept.is_newest:
                self._saved[origin] = _mark(kept.edition)
            log.info("relay.loaded", **self._facts(origin))
        self._serve()

    async def open(self) -> int:
        """Open the port; gives it."""
        settings, discovery = self._settings, self._discovery
        health = health_handler(lambda: discovery.committed is not None)
        port = await discovery.start(settings.host, settings.port, handlers=[health])
        log.info("relay.started", port=port, upstream="{}:{}".format(*settings.upstream))
        return port

    async def close(self) -> None:
        """Close the port."""
        await self._discovery.stop()

    async def follow(self, origin: str) -> None:
        """Listen to the control plane."""
        await self._followers[origin].run(self._editions.get(origin))

    async def keep(self, origin: str) -> None:
        """Write what is new to the disk; while one is written the newest waits, not all.

        What could not be written is tried again, and until it is nothing is confirmed: the file
        is of an older plan.
        """
        store, unsaved = self._stores[origin], self._unsaved[origin]
        noted_s = 0.0
        while True:
            await _is_set(unsaved, CONFIRM_S)
            unsaved.clear()
            one = self._editions.get(origin)
            if one is None:
                continue
            try:
                if self._saved.get(origin) != _mark(one):
                    await asyncio.to_thread(store.save, one)
                    self._saved[origin] = _mark(one)
                    log.info("relay.kept", origin=origin, version=one.version)
                elif self._confirmed_at_s[origin] > noted_s:
                    await asyncio.to_thread(store.confirm)
                noted_s = time.time()
            except SinkError as error:
                log.error("relay.unwritable", problem=str(error))  # noqa: TRY400 - said whole

    async def send_back(self) -> None:
        """Send proxies back to the control plane once it answers."""
        # At the start the control plane has a moment to answer before it is missed.
        stay_s, reminded_s = FIRST_STAY_S, time.monotonic() - REMIND_S + FIRST_WORD_S
        while True:
            await asyncio.sleep(LOOK_S)
            is_heard = self._is_heard()
            self._discovery.is_sparing = not is_heard
            if not is_heard:
                stay_s = FIRST_STAY_S
                if time.monotonic() - reminded_s >= REMIND_S:
                    reminded_s = time.monotonic()
                    self._remind()
                continue
            reminded_s = time.monotonic() - REMIND_S
            if not self._discovery.dismiss():
                stay_s = FIRST_STAY_S
                continue
            log.info("relay.sent_back", pause_s=stay_s)
            await asyncio.sleep(stay_s)
            stay_s = min(2.0 * stay_s, LONGEST_STAY_S)

    def _hear(self, one: Edition) -> None:
        old = self._editions.get(one.origin)
        self._editions[one.origin] = one
        self._confirmed_at_s[one.origin] = time.time()
        if old is not None and old.version == one.version and old.digest == one.digest:
            return
        if old is not None and one.version < old.version:
            log.warning("relay.older", origin=one.origin, was=old.version, version=one.version)
        self._unsaved[one.origin].set()
        self._serve()

    def _serve(self) -> None:
        if not self._editions:
            return
        newest = max(self._editions.values(), key=lambda one: one.version)
        self._discovery.adopt(
            Views(
                version=newest.version,
                committed_at_s=newest.committed_at_s,
                by_origin={origin: one.snapshot for origin, one in self._editions.items()},
            )
        )
        self._sign()

    def _is_heard(self) -> bool:
        return all(follower.is_answering for follower in self._followers.values())

    def _remind(self) -> None:
        """Say in the log, and to every proxy that asks, how old the plan is."""
        for origin in self._settings.origins:
            if origin in self._editions:
                log.warning("relay.stands_in", **self._facts(origin))
            else:
                log.warning(
                    "relay.nothing_kept",
                    origin=origin,
                    directory=str(self._settings.directory),
                    so="an Envoy that starts before Foreshard answers has no configuration",
                )
        self._sign()

    def _sign(self) -> None:
        newest = self._discovery.committed
        if newest is not None:
            self._discovery.identifier = (
                f"foreshard relay: plan {newest.version}, committed {_at(newest.committed_at_s)}, "
                f"confirmed {_at(max(self._confirmed_at_s.values()))}"
            )

    def _facts(self, origin: str) -> dict[str, object]:
        one, now_s = self._editions[origin], time.time()
        return {
            "origin": origin,
            "version": one.version,
            "committed": _at(one.committed_at_s),
            "unconfirmed_s": round(now_s - self._confirmed_at_s[origin], 1),
        }


def _render_nothing(table: RoutingTable, origin: str) -> Resources:
    raise SinkError(f"a relay renders nothing, not even table {table.version} for {origin}")


def _mark(one: Edition) -> str:
    return f"{one.version} {one.digest}"


async def _is_set(event: asyncio.Event, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await event.wait()
    except TimeoutError:
        return False
    return True


def _at(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
