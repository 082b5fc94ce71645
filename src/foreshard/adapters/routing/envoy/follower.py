"""This module is a relay's ear: it holds one origin's edition in step with the control plane."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import structlog

from foreshard.adapters.routing.envoy.edition import Edition, unpack
from foreshard.adapters.routing.envoy.editions import METHOD, SERVICE
from foreshard.adapters.routing.seal import Seal
from foreshard.adapters.routing.stream import Stream
from foreshard.model.errors import SinkError

__all__ = ["Follower"]

log = structlog.get_logger()


class Follower:
    """Follows the control plane.

    Args:
        target: Its host and port.
        origin: Whose editions.
        seal: What they must carry.
        heard: Called with the edition that is live, again at every heartbeat.
    """

    def __init__(
        self, target: str, origin: str, seal: Seal, *, heard: Callable[[Edition], None]
    ) -> None:
        self._target = target
        self._origin = origin
        self._seal = seal
        self._heard = heard
        self._held: Edition | None = None
        self._stream = Stream(
            target, f"/{SERVICE}/{METHOD}", ask=self._ask, hear=self._hear, say=self._say
        )

    @property
    def is_answering(self) -> bool:
        """Whether the control plane answers now, with a plan.

        Be it one that is refused here: a proxy is better off there.
        """
        return self._stream.is_answering

    @property
    def is_refused(self) -> bool:
        """Whether the last edition did not verify."""
        return self._stream.is_refused

    async def run(self, held: Edition | None) -> None:
        """Follow until cancelled.

        Args:
            held: What is at hand already.
        """
        self._held = held
        await self._stream.run()

    def _ask(self) -> bytes:
        held = "" if self._held is None else self._held.digest
        return json.dumps({"origin": self._origin, "held": held}).encode()

    async def _hear(self, frame: bytes) -> None:
        try:
            one = await asyncio.to_thread(
                unpack, frame, self._seal, origin=self._origin, on=self._held
            )
        except SinkError:
            # Next time all of it, rather than a difference.
            self._held = None
            raise
        self._held = one
        self._heard(one)

    def _say(self, what: str, because: str) -> None:
        facts = {"because": because} if because else {}
        tell = log.info if what == "heard" else log.warning
        tell(f"relay.{what}", control_plane=self._target, origin=self._origin, **facts)
