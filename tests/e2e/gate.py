"""This module is a gate before a server: open it passes all, shut it swallows all."""

from __future__ import annotations

import asyncio

from foreshard.lab import service

__all__ = ["Gate"]


class Gate:
    """A gate before an admin page that can be shut: then it takes questions and answers none."""

    def __init__(self, target_port: int) -> None:
        self.is_shut = False
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> int:
        """Start; gives the port."""
        self._server = await asyncio.start_server(self._visit, service.HOST, 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def close(self) -> None:
        """Stop, and break off every visit."""
        if self._server is not None:
            self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            inner = await asyncio.open_connection(service.HOST, self._target_port)
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        self._writers.add(inner[1])
        try:
            await asyncio.gather(self._pass(reader, inner[1]), self._pass(inner[0], writer))
        finally:
            for end in (writer, inner[1]):
                end.transport.abort()
                self._writers.discard(end)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while content := await reader.read(65_536):
                if not self.is_shut:
                    writer.write(content)
        except ConnectionError:
            pass
        writer.close()
