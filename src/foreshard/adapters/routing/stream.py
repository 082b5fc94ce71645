"""This module is an ear at the control plane: a stream of what is committed, held open for ever.

It asks again and again, several times a second, because everything that depends on it waits for
the moment in which the control plane answers. A heartbeat comes every second: what is silent for
three of them is gone, whatever its socket says.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import grpc

from foreshard.model.errors import SinkError

__all__ = ["HEARTBEAT_S", "NOTHING", "Say", "Stream"]

NOTHING = b""
"""Sent while no plan was ever committed: a sign of life without a plan."""

HEARTBEAT_S = 1.0
"""Who hears nothing for three of them takes the control plane for gone."""

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

Say = Callable[[str, str], None]
"""Told how it goes, "heard", "unheard", "planless" or "refused", and why; not at every try."""


class Stream:
    """Listens to one stream of the control plane.

    Args:
        target: Its host and port.
        method: `/service/method` of the stream.
        ask: Gives the request; asked before each try.
        hear: Takes one frame that is not `NOTHING`; raises SinkError for one that does not verify.
        say: See there.
    """

    def __init__(
        self,
        target: str,
        method: str,
        *,
        ask: Callable[[], bytes],
        hear: Callable[[bytes], Awaitable[None]],
        say: Say,
    ) -> None:
        self._target, self._method = target, method
        self._ask, self._hear, self._tell = ask, hear, say
        self._said, self._said_at_s = "", 0.0
        self.is_answering = False
        """Whether the control plane answers now, with a plan, be it one that is refused here."""
        self.is_refused = False
        """Whether the last frame did not verify."""

    async def run(self) -> None:
        """Listen until cancelled."""
        async with grpc.aio.insecure_channel(self._target, options=GRPC_OPTIONS) as channel:
            while True:
                pause_s = AGAIN_S
                try:
                    await self._listen(channel)
                except grpc.aio.AioRpcError as error:
                    self.is_answering = False
                    self._say("unheard", error.details() or error.code().name)
                except TimeoutError:
                    self.is_answering = False
                    self._say("unheard", f"silent for {SILENCE_S:g} s")
                except SinkError as error:
                    self.is_refused, pause_s = True, REFUSED_AGAIN_S
                    self._say("refused", f"{self._target}: refused: {error}")
                else:
                    self.is_answering = False
                await asyncio.sleep(pause_s)

    async def _listen(self, channel: grpc.aio.Channel) -> None:
        watch = channel.unary_stream(
            self._method, request_serializer=bytes, response_deserializer=bytes
        )
        call = watch(self._ask())
        frames = aiter(call)
        try:
            while True:
                async with asyncio.timeout(SILENCE_S):
                    frame = await anext(frames, None)
                if frame is None:
                    return
                if frame == NOTHING:
                    self.is_answering = False
                    self._say("planless", "the control plane answers, but has no plan yet")
                    continue
                self.is_answering = True
                await self._hear(frame)
                self.is_refused = False
                self._say("heard", "")
        finally:
            call.cancel()

    def _say(self, what: str, because: str) -> None:
        """Once for each change and then now and again, not four times a second."""
        now_s = time.monotonic()
        is_news = self._said != what or (because and now_s - self._said_at_s >= REMIND_S)
        if not is_news:
            return
        self._said, self._said_at_s = what, now_s
        self._tell(what, because)
