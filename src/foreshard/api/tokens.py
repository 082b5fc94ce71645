"""This module is the addresses of keys to the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request

from foreshard.api import wire
from foreshard.api.door import Keeper, desk_of
from foreshard.api.paper import REFUSALS
from foreshard.model.catalogue import Actor

__all__ = ["token_routes"]

Id = Annotated[str, Path(max_length=32, pattern=r"^[0-9a-f]+$")]


def token_routes() -> APIRouter:
    """The addresses under `/v1/tokens`."""
    router = APIRouter(prefix="/v1", tags=["tokens"], responses=REFUSALS)

    @router.get("/tokens", response_model=wire.TokenList)
    def tokens(request: Request, _: Keeper) -> Mapping[str, Any]:
        """Every key that was ever made, without its secret."""
        return desk_of(request).tokens()

    @router.post("/tokens", response_model=wire.TokenMade, status_code=201)
    def make(request: Request, wish: wire.TokenWish, by: Keeper) -> Mapping[str, Any]:
        """Make a key; its secret is told this once."""
        holder = Actor(name=wish.name, role=wish.role)
        return desk_of(request).make_token(holder, by=by, days=wish.days)

    @router.delete("/tokens/{token_id}", response_model=wire.Revoked)
    def revoke(request: Request, token_id: Id, by: Keeper) -> Mapping[str, Any]:
        """Take a key back, from the next request on."""
        return desk_of(request).revoke_token(token_id, by=by)

    return router
