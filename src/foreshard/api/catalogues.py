"""This module is the addresses of all classes together: import, export, versions, the record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from foreshard.api import wire
from foreshard.api.desk import Schemas
from foreshard.api.door import Body, Change, Reader, Wish, desk_of
from foreshard.api.paper import REFUSALS, YAML, made_known, sent

__all__ = ["catalogue_routes"]

LARGEST = 2**53
Number = Annotated[int, Path(ge=0, le=LARGEST)]
Older = Annotated[int | None, Query(alias="before", ge=1, le=LARGEST, description="Only older.")]
Most = Annotated[int, Query(ge=1, le=1_000)]
One = Annotated[int, Query(alias="from", ge=0, le=LARGEST)]
Other = Annotated[int, Query(alias="to", ge=0, le=LARGEST)]


def catalogue_routes(schemas: Schemas) -> APIRouter:
    """The addresses under `/v1/catalogue`, `/v1/versions` and their like."""
    router = APIRouter(prefix="/v1", tags=["catalogue"], responses=REFUSALS)
    made = wire.Made | wire.Proposal
    whole = sent(schemas["catalogue"])

    @router.get("/status", response_model=wire.Standing)
    def standing(request: Request, _: Reader) -> Mapping[str, Any]:
        """Which version holds, which one the engine flies, and whether it lives."""
        return desk_of(request).standing()

    @router.get(
        "/catalogue",
        response_class=Response,
        responses={200: {"content": {YAML: {"schema": schemas["catalogue"]}}}},
    )
    def export(request: Request, _: Reader) -> Response:
        """All classes, tags and the service map as YAML, as PUT takes them."""
        desk = desk_of(request)
        tag = desk.tag()
        return Response(desk.text(), media_type=YAML, headers={"ETag": tag})

    @router.put("/catalogue", response_model=made, openapi_extra=whole)
    def replace(
        request: Request, response: Response, body: Body, change: Change
    ) -> Mapping[str, Any]:
        """Put another catalogue in place of this one; YAML or JSON."""
        return made_known(response, desk_of(request).replace(body, change))

    @router.post("/propose", response_model=wire.Proposal, openapi_extra=whole)
    def propose(request: Request, body: Body, wish: Wish) -> Mapping[str, Any]:
        """What another catalogue would move, planned with what the engine sees now."""
        return desk_of(request).propose(body, wish)

    @router.get("/versions", response_model=wire.VersionList)
    def editions(
        request: Request, _: Reader, before: Older = None, most: Most = 100
    ) -> Mapping[str, Any]:
        """Versions, the newest first; version 0 is the configuration file."""
        return desk_of(request).editions(before=before, most=most)

    @router.get("/versions/{version}", response_model=wire.VersionRead)
    def edition(request: Request, version: Number, _: Reader) -> Mapping[str, Any]:
        """One version with its classes."""
        return desk_of(request).edition(version)

    @router.get("/diff", response_model=wire.Difference)
    def compare(request: Request, one: One, other: Other, _: Reader) -> Mapping[str, Any]:
        """What has changed from one version to another."""
        return desk_of(request).compare(one, other)

    @router.post("/versions/{version}/rollback", response_model=made)
    def roll_back(
        request: Request, response: Response, version: Number, change: Change
    ) -> Mapping[str, Any]:
        """Make a version that is as an older one; 0 = follow the configuration file again."""
        return made_known(response, desk_of(request).roll_back(version, change))

    @router.get("/audit", response_model=wire.DeedList)
    def deeds(
        request: Request, _: Reader, before: Older = None, most: Most = 100
    ) -> Mapping[str, Any]:
        """Who did what and when, the newest first."""
        return desk_of(request).deeds(before=before, most=most)

    return router
