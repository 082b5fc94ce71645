"""This module is a relay's ear: it holds one origin's edition in step with the control plane.

It asks again and again, several times a second, because everything that depends on it waits
for the moment in which the control plane answers.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable

import grpc
import structlog

from foreshard.adapters.routing.envoy.edition import Edition, Seal, unpack
from foreshard.adapters.routing.envoy.editions import HEARTBEAT_S, METHOD, NOTHING, SERVICE
from foreshard.model.errors import SinkError

__all__ = ["Follower"]

log = structlog.get_logger()

AGAIN_S = 0.2
SILENCE_S = 3.0 * HEARTBEAT_S
# What does not verify does not verify any better a moment later.
REFUSED_AGAIN_S = 5.0
# A fault that lasts is said again, so that it stands in the part of a log that is looked at.
REMIND_S = 60.0

GRPC_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    # Also bounds one attempt to connect, which gRPC would otherwise let take 20 s.
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 250),
    ("grpc.max_receive_message_length", -1),
)


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
        self._said, self._said_at_s = "", 0.0
        self.is_answering = False
        """Whether the control plane answers now, with a plan, be it one that is refused here: a
        proxy is better off there."""
        self.is_refused = False
        """Whether the last edition did not verify."""

    async def run(self, held: Edition | None) -> None:
        """Follow until cancelled.

        Args:
            held: What is at hand already.
        """
        self._held = held
        async with grpc.aio.insecure_channel(self._target, options=GRPC_OPTIONS) as channel:
            while True:
                pause_s = AGAIN_S
                try:
                    await self._listen(channel)
                except grpc.aio.AioRpcError as error:
                    self.is_answering = False
                    self._say("relay.unheard", error.details() or error.code().name)
                except TimeoutError:
                    self.is_answering = False
                    self._say("relay.unheard", f"silent for {SILENCE_S:g} s")
                except SinkError as error:
                    # Next time all of it, rather than a difference.
                    self._held = None
                    self.is_refused, pause_s = True, REFUSED_AGAIN_S
                    self._say("relay.refused", f"{self._target}: edition refused: {error}")
                else:
                    self.is_answering = False
                await asyncio.sleep(pause_s)

    async def _listen(self, channel: grpc.aio.Channel) -> None:
        watch = channel.unary_stream(
            f"/{SERVICE}/{METHOD}", request_serializer=bytes, response_deserializer=bytes
        )
        held = "" if self._held is None else self._held.digest
        call = watch(json.dumps({"origin": self._origin, "held": held}).encode())
        frames = aiter(call)
        try:
            while True:
                async with asyncio.timeout(SILENCE_S):
                    frame = await anext(frames, None)
                if frame is None:
                    return
                if frame == NOTHING:
                    self.is_answering = False
                    self._say("relay.planless", "the control plane answers, but has no plan yet")
                    continue
                self.is_answering = True
                one = await asyncio.to_thread(
                    unpack, frame, self._seal, origin=self._origin, on=self._held
                )
                self._held, self.is_refused = one, False
                self._say("relay.heard", "")
                self._heard(one)
        finally:
            call.cancel()

    def _say(self, event: str, because: str) -> None:
        """Once for each change and then now and again, not four times a second."""
        now_s = time.monotonic()
        is_news = self._said != event or (because and now_s - self._said_at_s >= REMIND_S)
        if not is_news:
            return
        self._said, self._said_at_s = event, now_s
        facts = {"because": because} if because else {}
        tell = log.info if event == "relay.heard" else log.warning
        tell(event, control_plane=self._target, origin=self._origin, **facts)
