"""This module is a connection on which a request must come in time, or it is closed.

The places of the API are few, and a connection takes one before anybody knows who it is. Uvicorn
waits without end for the head of a request: as many silent connections as there are places, of
clients that died or of one that means it, would shut everybody out.
"""

from __future__ import annotations

import asyncio
from typing import cast

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

__all__ = ["PromptProtocol"]

# As long as a body may take.
HEAD_S = 10.0


class PromptProtocol(H11Protocol):
    """Closes what is open and asks nothing for `head_s`."""

    head_s = HEAD_S
    _ends: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        if self._ends is not None:
            self._ends.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Wait for the next request, as long again."""
        self._wait()
        super().on_response_complete()

    def _wait(self) -> None:
        if self._ends is not None:
            self._ends.cancel()
        self._ends = self.loop.call_later(self.head_s, self._end)

    def _end(self) -> None:
        # A request that is being answered ends by itself, and waiting begins anew.
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is None or cycle.response_complete:
            self.transport.close()
