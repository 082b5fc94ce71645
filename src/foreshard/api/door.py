"""This module is who may come in, and to what state of things a change is made."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Header, Query, Request, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool

from foreshard.api.desk import Desk
from foreshard.model.catalogue import Actor, Edit, Role
from foreshard.model.errors import ForeshardError

__all__ = [
    "Body",
    "Change",
    "Keeper",
    "Operator",
    "Reader",
    "RefusedError",
    "Wish",
    "desk_of",
    "refuse_strange_query",
]

TAG = re.compile(r'(?:W/)?"[^"]*"')
LONGEST_SECRET = 200
LONGEST_NAME = 60

bearer = HTTPBearer(
    auto_error=False, scheme_name="token", description="Made by `foreshard token create`."
)


class RefusedError(ForeshardError):
    """A request is refused before the desk hears of it.

    Args:
        status: Of the answer.
        detail: For people.
    """

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def desk_of(request: Request) -> Desk:
    """The desk of an application."""
    desk: Desk = request.app.state.desk
    return desk


async def refuse_strange_query(request: Request) -> None:
    """Refuse parameters that an address does not know, and those that are given twice.

    Else `?dry-run=true`, a slip for `dry_run`, would change for good what it should only weigh.

    Raises:
        RefusedError: There is one.
    """
    route = request.scope.get("route")
    if not isinstance(route, APIRoute) or not route.include_in_schema:
        return
    said = request.app.openapi()["paths"][route.path_format][request.method.lower()]
    known = sorted(each["name"] for each in said.get("parameters", ()) if each["in"] == "query")
    given = [name for name, _ in request.query_params.multi_items()]
    for name in given:
        if name not in known:
            there = ", ".join(known) or "none"
            detail = f"query: {name[:LONGEST_NAME]!r} is unknown here; known: {there}"
            raise RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
        if given.count(name) > 1:
            detail = f"query: {name} is given {given.count(name)} times, must be given once"
            raise RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, detail)


async def _body(request: Request) -> str:
    try:
        text = (await request.body()).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RefusedError(
            HTTPStatus.BAD_REQUEST, f"body: is not text in UTF-8 (byte {error.start})"
        ) from error
    if not text.strip():
        raise RefusedError(HTTPStatus.BAD_REQUEST, "body: is empty; send YAML or JSON")
    return text


def _who(needed: Role) -> Callable[..., Awaitable[Actor]]:
    async def who(
        request: Request,
        key: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)],
    ) -> Actor:
        found = None
        if key is not None and len(key.credentials) <= LONGEST_SECRET:
            found = await run_in_threadpool(desk_of(request).find, key.credentials)
        if found is None:
            detail = "token: none that is good was sent; send `Authorization: Bearer TOKEN`"
            raise RefusedError(HTTPStatus.UNAUTHORIZED, detail)
        if not found.role.may(needed):
            detail = f"token: {found.name} is {found.role}, must be {needed} to do this"
            raise RefusedError(HTTPStatus.FORBIDDEN, detail)
        return found

    return who


Reader = Annotated[Actor, Depends(_who(Role.VIEWER))]
"""Somebody who may look."""
Keeper = Annotated[Actor, Depends(_who(Role.ADMIN))]
"""Somebody who may make keys."""
Operator = Annotated[Actor, Depends(_who(Role.OPERATOR))]
"""Somebody who may change things."""

Taken = Annotated[
    float,
    Query(
        ge=0.0,
        le=1.0,
        description="In a dry run: part of the traffic of the class that has its requests now, "
        "that a new class is reckoned to take.",
    ),
]
IsDry = Annotated[bool, Query(description="Say what the change would move, and change nothing.")]
IfMatch = Annotated[
    str | None,
    Header(description="`ETag` of the classes that the change is made to; `*` = any."),
]


def _wish(by: Reader, taken_ratio: Taken = 0.0) -> Edit:
    return Edit(by=by, tags=None, taken_ratio=taken_ratio, is_dry_run=True)


def _change(
    by: Operator,
    if_match: IfMatch = None,
    dry_run: IsDry = False,  # noqa: FBT002 - a query is told by name
    taken_ratio: Taken = 0.0,
) -> Edit:
    if if_match is None:
        detail = "If-Match: is missing; send the ETag that GET gave, so that nobody's work is lost"
        raise RefusedError(HTTPStatus.PRECONDITION_REQUIRED, detail)
    tags = None if if_match.strip() == "*" else tuple(TAG.findall(if_match)) or (if_match,)
    return Edit(by=by, tags=tags, taken_ratio=taken_ratio, is_dry_run=dry_run)


Body = Annotated[str, Depends(_body)]
"""What was sent, as text."""
Wish = Annotated[Edit, Depends(_wish)]
"""A question that changes nothing."""
Change = Annotated[Edit, Depends(_change)]
"""A change by somebody who may, with the tag of what it is made to."""
