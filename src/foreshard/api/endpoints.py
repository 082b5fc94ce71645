"""This module is the addresses of endpoints that no class takes: read, accept, decline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response

from foreshard.api import wire
from foreshard.api.door import Change, Reader, desk_of
from foreshard.api.paper import REFUSALS, made_known

__all__ = ["endpoint_routes"]


def endpoint_routes() -> APIRouter:
    """The addresses under `/v1/endpoints`."""
    router = APIRouter(prefix="/v1", tags=["endpoints"], responses=REFUSALS)
    made = wire.Made | wire.Proposal

    @router.get("/endpoints", response_model=wire.EndpointList)
    def endpoints(request: Request, response: Response, _: Reader) -> Mapping[str, Any]:
        """What was found among requests of no class, and the class proposed for each."""
        desk = desk_of(request)
        response.headers["ETag"] = desk.tag()
        return desk.endpoints()

    @router.post("/endpoints/accept", response_model=made)
    def accept(
        request: Request, response: Response, choice: wire.EndpointAcceptance, change: Change
    ) -> Mapping[str, Any]:
        """Give an endpoint the class that is proposed for it; to have another one, define it."""
        desk, method, template = desk_of(request), choice.method, choice.template
        return made_known(response, desk.accept(method, template, change, name=choice.name))

    @router.post("/endpoints/decline", response_model=made)
    def decline(
        request: Request, response: Response, choice: wire.EndpointChoice, change: Change
    ) -> Mapping[str, Any]:
        """Leave an endpoint to the default class, for good; accepting it takes that back."""
        desk = desk_of(request)
        return made_known(response, desk.decline(choice.method, choice.template, change))

    return router
