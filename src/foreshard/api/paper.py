"""This module is what OpenAPI says of bodies that are read as text, and of refusals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from foreshard.api.desk import Json
from foreshard.api.problem import KIND

__all__ = ["JSON", "REFUSALS", "YAML", "made_known", "sent"]

JSON = "application/json"
YAML = "application/yaml"

_WHY: Mapping[int, str] = {
    400: "It is not text, or nothing.",
    401: "No good token was sent.",
    403: "The token's role does not reach so far.",
    404: "There is no such thing.",
    405: "There is no such method here.",
    408: "The body came too slowly.",
    409: "Only a living engine could tell, and none answers.",
    412: "Somebody else has changed it; read it again.",
    413: "It is too long.",
    422: "Something in it is wrong; all of it is told.",
    428: "If-Match is missing.",
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": why,
        "content": {KIND: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, why in _WHY.items()
}
"""What every address may answer."""


def made_known(response: Response, made: Json) -> Json:
    """What became of a change, with its tag where the next one looks for it."""
    if "etag" in made:
        response.headers["ETag"] = str(made["etag"])
    return made


def sent(schema: Json) -> dict[str, Any]:
    """What OpenAPI says of a body that is YAML or JSON."""
    return {
        "requestBody": {
            "required": True,
            "content": {JSON: {"schema": schema}, YAML: {"schema": schema}},
        }
    }
