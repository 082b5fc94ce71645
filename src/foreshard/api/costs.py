"""This module is the address where services say what their requests cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request

from foreshard.api import wire
from foreshard.api.door import Operator, desk_of
from foreshard.api.paper import REFUSALS

__all__ = ["cost_routes"]


def cost_routes() -> APIRouter:
    """The address `/v1/costs`."""
    router = APIRouter(prefix="/v1", tags=["costs"], responses=REFUSALS)

    @router.post("/costs", response_model=wire.Reported)
    def report(request: Request, sent: wire.CostReports, _: Operator) -> Mapping[str, Any]:
        """Say what requests cost, as ORCA's header does; all is taken, or nothing."""
        told = [each.model_dump(by_alias=True) for each in sent.reports]
        return desk_of(request).report(told)

    return router
