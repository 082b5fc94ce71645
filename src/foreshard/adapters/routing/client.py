"""This module is the engine's hand: the route sink that speaks with the `serve` process."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

from foreshard.adapters.routing.json_document import Document
from foreshard.adapters.routing.report_json import (
    Costs,
    decode_costs,
    decode_sightings,
    encode_costs,
    encode_sightings,
)
from foreshard.adapters.routing.table_json import decode_table, encode_table
from foreshard.model.errors import InvalidValueError, SinkError
from foreshard.model.routing import RoutingTable
from foreshard.model.sighting import Sighting, Sightings
from foreshard.ports import Applied, Rejected

__all__ = ["SOCKET", "ServeSink"]

SOCKET = "serve.sock"
"""Name of the control socket in the data directory of a `serve` process."""


class ServeSink:
    """A `ports.RouteSink` over the control socket of a `serve` process.

    Args:
        data_dir: The data directory of that process.
        timeout_s: For one exchange; more than twice the `ack_timeout_s` of the process, which
            may wait once for a table and once more for its way back.
    """

    def __init__(self, data_dir: Path, *, timeout_s: float = 15.0) -> None:
        self._socket = data_dir / SOCKET
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection; the live table stays live."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def apply(self, table: RoutingTable) -> Applied | Rejected:
        """Make the table live, or leave the live one untouched.

        Raises:
            SinkError: The process cannot be reached, or does not understand the table.
        """
        answer = await self._ask("PUT", "/table", encode_table(table))
        if answer.has("applied"):
            applied = answer.child("applied")
            return Applied(
                version=applied.whole("version"),
                acks=applied.whole("acks"),
                push_to_ack_s=applied.number("push_to_ack_s"),
            )
        rejected = answer.child("rejected")
        return Rejected(version=rejected.whole("version"), because=rejected.text("because"))

    async def live(self) -> RoutingTable | None:
        """The table that is live now; None when none was ever committed.

        Raises:
            SinkError: The process cannot be reached, or answers with something damaged.
        """
        table = (await self._ask("GET", "/table")).value("table")
        return None if table is None else decode_table(table)

    async def status(self) -> Mapping[str, object]:
        """How the process fares, as JSON values: see `PlanControl.status`.

        Raises:
            SinkError: The process cannot be reached.
        """
        return (await self._ask("GET", "/status")).as_mapping()

    async def load(self) -> Mapping[str, object]:
        """What the proxies report, as JSON values: see `LoadReports.as_json`.

        Raises:
            SinkError: The process cannot be reached.
        """
        return (await self._ask("GET", "/load")).as_mapping()

    async def costs(self) -> Costs:
        """What requests said that they cost: see `LoadReports.costs`.

        Raises:
            SinkError: The process cannot be reached, or answers with something damaged.
        """
        return decode_costs(await self._ask("GET", "/costs"))

    async def report(self, costs: Costs, seen: Iterable[Sighting]) -> None:
        """Tell what requests cost and where they went, beside what proxies tell.

        Raises:
            SinkError: The process cannot be reached: nothing is counted.
        """
        body = {"classes": encode_costs(costs), "sightings": encode_sightings(seen)}
        await self._ask("POST", "/reports", body)

    async def take_sightings(self) -> Sightings:
        """Paths that match no class, since somebody last took them: see `Tally.take`.

        Raises:
            SinkError: The process cannot be reached, or answers with something damaged.
        """
        answer = await self._ask("POST", "/sightings")
        try:
            return Sightings(seen=decode_sightings(answer), left_out=answer.number("left_out"))
        except InvalidValueError as error:
            raise SinkError(f"serve process at {self._socket}: {error}") from error

    async def freeze(self, reason: str) -> str:
        """Refuse every table from now on, over restarts too.

        Returns:
            What is wrong with it although it holds, for people; "" = nothing.

        Raises:
            SinkError: The process cannot be reached: nothing is frozen.
        """
        answer = await self._ask("POST", "/freeze", {"reason": reason})
        return answer.text("warning") if answer.has("warning") else ""

    async def thaw(self) -> None:
        """Accept tables again.

        Raises:
            SinkError: The process cannot be reached, or cannot end the freeze.
        """
        await self._ask("POST", "/thaw")

    async def _ask(
        self, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> Document:
        if self._session is None:
            connector = aiohttp.UnixConnector(path=str(self._socket))
            self._session = aiohttp.ClientSession(
                "http://serve", connector=connector, timeout=self._timeout
            )
        try:
            async with self._session.request(method, path, json=body) as response:
                status, content = response.status, await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            way_out = "is `foreshard serve` running?"
            if isinstance(error, PermissionError):
                way_out = "ask as the user that it runs as (sudo -u)"
            raise SinkError(
                f"serve process at {self._socket} cannot be reached ({_reason(error)}); {way_out}"
            ) from error
        try:
            answer = Document(json.loads(content), at="answer")
        except ValueError as error:
            raise SinkError(f"serve process at {self._socket}: answer is not JSON") from error
        if status != 200:
            raise SinkError(f"serve process at {self._socket}: {answer.text('error')}")
        return answer


def _reason(error: Exception) -> str:
    """In the system's words where it has some."""
    said = error.strerror if isinstance(error, OSError) else None
    return said or f"{type(error).__name__}: {error}"
