"""This module is the application: its addresses, and one manner of refusing for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from foreshard import __version__
from foreshard.api.catalogues import catalogue_routes
from foreshard.api.classes import class_routes
from foreshard.api.costs import cost_routes
from foreshard.api.desk import Desk, Schemas
from foreshard.api.door import RefusedError, refuse_strange_query
from foreshard.api.endpoints import endpoint_routes
from foreshard.api.limit import BodyLimit
from foreshard.api.problem import answer_of, problem
from foreshard.api.tokens import token_routes
from foreshard.api.wire import Problem
from foreshard.model.errors import ForeshardError

__all__ = ["application"]

LONGEST_VALUE = 60


def application(desk: Desk, schemas: Schemas) -> FastAPI:
    """The API over a desk.

    Args:
        desk: Reads and changes.
        schemas: Of what is sent; their references stand under `$defs`.
    """
    app = FastAPI(
        title="Foreshard request classes",
        version=__version__,
        summary="Read, define, tag and version the classes that requests are told apart by.",
        # Pages that fetch scripts from elsewhere are none of ours.
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(refuse_strange_query)],
    )
    app.state.desk = desk
    app.add_middleware(BodyLimit)
    lifted = {name: _lifted(schema) for name, schema in schemas.items()}
    app.include_router(class_routes({name: each for name, (each, _) in lifted.items()}))
    app.include_router(catalogue_routes({name: each for name, (each, _) in lifted.items()}))
    app.include_router(cost_routes())
    app.include_router(endpoint_routes())
    app.include_router(token_routes())
    parts = {name: part for _, defs in lifted.values() for name, part in defs.items()}

    @app.get("/healthz", include_in_schema=False)
    def health() -> Response:
        return Response("answers\n", media_type="text/plain")

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(
                title=app.title, version=app.version, summary=app.summary, routes=app.routes
            )
            made["components"]["schemas"] |= {**parts, "Problem": Problem.model_json_schema()}
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]
    _refuse_alike(app)
    return app


def _refuse_alike(app: FastAPI) -> None:
    @app.exception_handler(ForeshardError)
    async def refused(_: Request, error: ForeshardError) -> JSONResponse:
        if isinstance(error, RefusedError):
            is_unknown = error.status == HTTPStatus.UNAUTHORIZED
            headers = {"WWW-Authenticate": "Bearer"} if is_unknown else None
            return problem(error.status, str(error), headers=headers)
        return answer_of(error)

    @app.exception_handler(HTTPException)
    async def unrouted(request: Request, error: HTTPException) -> JSONResponse:
        status = HTTPStatus(error.status_code)
        detail = f"{request.method} {request.url.path}: {status.phrase.lower()}; see /openapi.json"
        return problem(status, detail, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def unreadable(_: Request, error: RequestValidationError) -> JSONResponse:
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(map(_wrong, error.errors())))


def _wrong(error: Mapping[str, Any]) -> str:
    """Where, what and what would be right, of one error of pydantic."""
    where = ".".join(str(part) for part in error["loc"])
    text = repr(error.get("input"))
    shown = text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."
    said = str(error["msg"]).replace("Input should", "must")
    return f"{where}: is {shown}, {said}" if error["type"] != "missing" else f"{where}: is missing"


def _lifted(schema: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A schema whose parts stand among OpenAPI's components, and those parts."""

    def moved(part: object) -> Any:  # noqa: ANN401 - JSON
        if isinstance(part, list):
            return [moved(each) for each in part]
        if not isinstance(part, dict):
            return part
        return {
            key: value.replace("#/$defs/", "#/components/schemas/")
            if key == "$ref" and isinstance(value, str)
            else moved(value)
            for key, value in part.items()
            if key not in {"$defs", "$schema"}
        }

    return moved(schema), {name: moved(part) for name, part in schema.get("$defs", {}).items()}
