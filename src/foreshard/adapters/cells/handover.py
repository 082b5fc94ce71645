"""This module is the hand-over of slots by CloudEvents 1.0 over HTTP, in structured mode.

One address takes three types of event. An event is repeated with its id until it is answered,
and to ask again *is* to poll: the service needs no address to call back, and Foreshard none to
be called at. What is answered to a `prepare`:

- 200 with `{"state": "ready"}`: the data is there, and stays there until `moved` or `failed`;
- 200 with `{"state": "failed", "because": "..."}`, or any 4xx: it will not be;
- 202, or 200 with `{"state": "preparing"}`: not yet; it is asked again.

To `moved` and `failed` any 2xx is enough. What is no answer (5xx, a broken connection, silence)
counts as not yet; how long that may go on is decided elsewhere.
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
from foreshard.model.handover import Answer, Notice, Reply, Step
from foreshard.ports import Clock

__all__ = ["WebhookSlotMover"]

EVENT_TYPE = "foreshard.slots.{step}.v1"
SHOWN = 200
STATES: Mapping[object, Answer] = {
    "ready": Answer.READY,
    "failed": Answer.FAILED,
    "preparing": Answer.PENDING,
}


class WebhookSlotMover(Teller):
    """`SlotMover` that posts events; call `close` (or use it as a context manager) when done."""

    def __init__(
        self,
        urls: Mapping[str, str],
        *,
        clock: Clock,
        source: str = "foreshard",
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 5.0,
    ) -> None:
        """Name the receivers; none is called before the first notice.

        Args:
            urls: Where to post, http or https, by request class.
            clock: Dates the events.
            source: The event's source; which Foreshard tells.
            headers: Sent along, for instance an Authorization.
            timeout_s: For one event.

        Raises:
            InvalidValueError: One is no http(s) address.
        """
        for name, url in urls.items():
            parts = urlsplit(url)
            if parts.scheme not in {"http", "https"} or not parts.hostname:
                raise InvalidValueError(
                    f"class {name}: handover.webhook is {url!r}, must start with http:// or "
                    "https://"
                )
        self._urls = dict(urls)
        self._clock = clock
        self._source = source
        super().__init__(headers, timeout_s)

    async def tell(self, notice: Notice) -> Reply:
        """See `SlotMover.tell`.

        Raises:
            DriverError: Nobody answered, or what was said is no answer.
        """
        url = self._urls.get(notice.request_class)
        if url is None:
            raise DriverError(f"class {notice.request_class}: has no handover.webhook")
        what = f"{notice.step} of {notice.handover}"
        post = self._session.post(url, data=json.dumps(self._event(notice)), allow_redirects=False)
        try:
            async with post as answer:
                status, body = answer.status, await body_of(answer)
        except (aiohttp.ClientError, TimeoutError) as error:
            said = str(error) or type(error).__name__
            raise DriverError(f"{what}: nobody answered at {_where(url)}: {said}") from error
        answered, because = _answer(status, body, notice.step)
        if answered is None:
            raise DriverError(f"{what}: {_where(url)} answered {status} {because}".rstrip())
        return Reply(handover=notice.handover, step=notice.step, answer=answered, because=because)

    def _event(self, notice: Notice) -> Mapping[str, object]:
        kind = EVENT_TYPE.format(step=notice.step)
        name = f"{self._source}/{kind}/{notice.handover}"
        data = {
            "handover": notice.handover,
            "class": notice.request_class,
            "slots": {"first": notice.first, "length": notice.length},
            "slot_count": notice.slot_count,
            "from": notice.source,
            "to": notice.target,
        }
        if notice.step is Step.PREPARE:
            data["deadline"] = _date(notice.deadline_s)
        if notice.because:
            data["because"] = notice.because
        return {
            "specversion": "1.0",
            "id": str(uuid5(NAMESPACE_URL, name)),
            "source": self._source,
            "type": kind,
            "subject": notice.handover,
            "time": _date(self._clock.now_s()),
            "datacontenttype": "application/json",
            "data": data,
        }


def _answer(status: int, body: bytes, step: Step) -> tuple[Answer | None, str]:
    """What a response means, with its words; None = nothing."""
    said = _document(body)
    words = said.get("because")
    because = words if isinstance(words, str) else body.decode(errors="replace").strip()
    because = because[:SHOWN]
    if step is not Step.PREPARE:
        return (Answer.DONE if 200 <= status < 300 else None), because
    if 400 <= status < 500:
        return Answer.FAILED, because or f"answered {status}"
    if status == 202:
        return Answer.PENDING, ""
    if status == 200:
        return STATES.get(said.get("state")), because
    return None, because


def _document(body: bytes) -> Mapping[str, object]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _date(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, tz=UTC).isoformat().replace("+00:00", "Z")


def _where(url: str) -> str:
    """For messages: without user, password and query, which may be secrets."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"
