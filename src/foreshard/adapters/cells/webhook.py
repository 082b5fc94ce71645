"""This module is a restart asked for by CloudEvents 1.0 over HTTP, in structured mode.

Whoever receives the event does the work: a job runner, an operator, a script. An answer of
2xx means "accepted", not "done". The event of one request keeps its id when it is sent again,
so a receiver that saw the first copy can drop the second (CloudEvents 1.0, section 3.1.1).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5

import aiohttp

from foreshard.adapters.cells.answer import body_of
from foreshard.adapters.cells.teller import Teller
from foreshard.model.errors import DriverError, InvalidValueError
from foreshard.ports import Clock

__all__ = ["WebhookCellDriver"]

EVENT_TYPE = "foreshard.cell.recycle.v1"

# A receiver that restarts is back within this; longer, and the engine asks again itself.
BACK_OFF_S = (0.2, 1.0)
# So much of what a receiver says is passed on.
SHOWN = 200


class WebhookCellDriver(Teller):
    """`CellDriver` that posts an event; call `close` (or use it as a context manager) when done.

    Transport errors are tried again twice. An answer that is not 2xx is final, a redirect too:
    the request may carry credentials that belong to one host.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        source: str = "foreshard",
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 5.0,
    ) -> None:
        """Name the receiver; it is not called before the first request.

        Args:
            url: Where to post, http or https.
            clock: Dates the events and waits between attempts.
            source: The event's source; which Foreshard asks.
            headers: Sent along, for instance an Authorization.
            timeout_s: For one attempt.

        Raises:
            InvalidValueError: `url` is no http(s) address.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InvalidValueError(
                f"webhook: url is {url!r}, must start with http:// or https://"
            )
        self._url = url
        # For messages: without user, password and query, which may be secrets.
        port = f":{parts.port}" if parts.port else ""
        self._where = f"{parts.scheme}://{parts.hostname}{port}{parts.path}"
        self._clock = clock
        self._source = source
        self._asked = 0
        super().__init__(headers, timeout_s)

    async def recycle(self, cell: str) -> None:
        """See `CellDriver.recycle`.

        Raises:
            DriverError: The receiver refused, or could not be reached in three attempts.
        """
        event = json.dumps(self._event(cell))
        failures: list[str] = []
        for wait_s in (*BACK_OFF_S, None):
            try:
                return await self._post(cell, event)
            except (aiohttp.ClientError, TimeoutError) as error:
                failures.append(str(error) or type(error).__name__)
            if wait_s is not None:
                await self._clock.sleep(wait_s)
        raise DriverError(
            f"cell {cell}: nobody took the restart request at {self._where} in "
            f"{len(failures)} attempts: {failures[-1]}"
        )

    async def _post(self, cell: str, event: str) -> None:
        post = self._session.post(self._url, data=event, allow_redirects=False)
        async with post as answer:
            if not 200 <= answer.status < 300:
                said = (await body_of(answer, most=SHOWN)).decode(errors="replace").strip()
                raise DriverError(
                    f"cell {cell}: {self._where} refused the restart: {answer.status} "
                    f"{answer.reason} {said}".rstrip()
                )

    def _event(self, cell: str) -> Mapping[str, object]:
        now_s = self._clock.now_s()
        self._asked += 1
        name = f"{self._source}/{EVENT_TYPE}/{cell}/{now_s!r}/{self._asked}"
        return {
            "specversion": "1.0",
            "id": str(uuid5(NAMESPACE_URL, name)),
            "source": self._source,
            "type": EVENT_TYPE,
            "subject": cell,
            "time": datetime.fromtimestamp(now_s, tz=UTC).isoformat().replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            "data": {"cell": cell, "action": "recycle"},
        }
