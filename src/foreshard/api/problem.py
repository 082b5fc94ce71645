"""This module is what is answered when something is refused (RFC 9457): a sentence for people."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from starlette.responses import JSONResponse

from foreshard.model.errors import (
    ConfigError,
    EditError,
    ForeshardError,
    NotThereError,
    StaleEditError,
    StoreError,
    UnheardError,
)

__all__ = ["KIND", "answer_of", "problem"]

KIND = "application/problem+json"

STATUS: Mapping[type[ForeshardError], HTTPStatus] = {
    NotThereError: HTTPStatus.NOT_FOUND,
    StaleEditError: HTTPStatus.PRECONDITION_FAILED,
    UnheardError: HTTPStatus.CONFLICT,
    EditError: HTTPStatus.UNPROCESSABLE_ENTITY,
    ConfigError: HTTPStatus.UNPROCESSABLE_ENTITY,
    StoreError: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""By error; a kind stands before the one it is a kind of."""


def problem(
    status: HTTPStatus, detail: str, *, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """A refusal.

    Args:
        status: Of the answer.
        detail: Names the thing, the value and the way out.
        headers: Of the answer.
    """
    body = {"type": "about:blank", "title": status.phrase, "status": status, "detail": detail}
    return JSONResponse(
        body, status_code=status, media_type=KIND, headers=dict(headers) if headers else None
    )


def answer_of(error: ForeshardError) -> JSONResponse:
    """What an error of the desk is answered with."""
    found = (status for kind, status in STATUS.items() if isinstance(error, kind))
    return problem(next(found, HTTPStatus.INTERNAL_SERVER_ERROR), str(error))
