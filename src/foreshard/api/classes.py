"""This module is the addresses of classes: read, define, delete, tag, ask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from foreshard.api import wire
from foreshard.api.desk import Schemas
from foreshard.api.door import Body, Change, Reader, desk_of
from foreshard.api.paper import REFUSALS, made_known, sent

__all__ = ["class_routes"]

Name = Annotated[str, Path(max_length=63, pattern=r"^[A-Za-z0-9_-]+$")]
Before = Annotated[
    str,
    Query(
        max_length=63,
        description="Class that it comes before; a new one else stands before the first that "
        "would take all of its requests.",
    ),
]


def class_routes(schemas: Schemas) -> APIRouter:
    """The addresses under `/v1/classes`, and `/v1/match`."""
    router = APIRouter(prefix="/v1", tags=["classes"], responses=REFUSALS)
    made = wire.Made | wire.Proposal

    @router.get("/classes", response_model=wire.ClassList)
    def classes(request: Request, response: Response, _: Reader) -> Mapping[str, Any]:
        """All classes in order of match, with what they cost and of which category they are."""
        desk = desk_of(request)
        # Taken first: who sends back an older tag is told, a newer one would hide a change.
        response.headers["ETag"] = desk.tag()
        return desk.classes()

    @router.get("/classes/{name}", response_model=wire.ClassRead)
    def one(request: Request, response: Response, name: Name, _: Reader) -> Mapping[str, Any]:
        """One class."""
        desk = desk_of(request)
        response.headers["ETag"] = desk.tag()
        return desk.one(name)

    @router.put("/classes/{name}", response_model=made, openapi_extra=sent(schemas["class"]))
    def define(
        request: Request,
        response: Response,
        name: Name,
        body: Body,
        change: Change,
        before: Before = "",
    ) -> Mapping[str, Any]:
        """Define a class, or replace it; YAML or JSON."""
        return made_known(response, desk_of(request).define(name, body, change, before=before))

    @router.delete("/classes/{name}", response_model=made)
    def remove(
        request: Request, response: Response, name: Name, change: Change
    ) -> Mapping[str, Any]:
        """Delete a class; its requests go to the next that matches, or to the default."""
        return made_known(response, desk_of(request).remove(name, change))

    @router.put("/classes/{name}/tag", response_model=made, openapi_extra=sent(schemas["tag"]))
    def set_tag(
        request: Request, response: Response, name: Name, body: Body, change: Change
    ) -> Mapping[str, Any]:
        """Say of which category a class is; that wins over what its costs say."""
        return made_known(response, desk_of(request).set_tag(name, body, change))

    @router.delete("/classes/{name}/tag", response_model=made)
    def clear_tag(
        request: Request, response: Response, name: Name, change: Change
    ) -> Mapping[str, Any]:
        """Take it back."""
        return made_known(response, desk_of(request).clear_tag(name, change))

    @router.post("/match", response_model=wire.Matched)
    def match(request: Request, question: wire.MatchQuestion, _: Reader) -> Mapping[str, Any]:
        """Of which class a request would be, as balancers decide it."""
        return desk_of(request).match(question.method, question.path, question.headers)

    return router
