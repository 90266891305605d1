"""One adapter that turns every failure into the contract's error response; framework errors included."""

import math
from collections.abc import Mapping
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from redis.exceptions import ClusterError, RedisClusterException
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from app.api.conditional import NotModified
from app.api.openai_errors import openai_error, openai_status, speaks_openai
from app.errors import AppError, RateLimited, ServiceUnavailable
from app.events import utc_now
from app.observability import request_id
from app.schemas.common import ErrorBody, ErrorResponse

log = structlog.get_logger(__name__)

CODES = {
    400: "BAD_REQUEST",
    401: "NOT_AUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    409: "CONFLICT",
    412: "PRECONDITION_FAILED",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    422: "VALIDATION_ERROR",
    429: "RATE_LIMITED",
    503: "SERVICE_UNAVAILABLE",
}
NOT_VALID = "The request is not valid."
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
RETRY_AFTER = "5"  # seconds after which a dependency is worth another try
DEPENDENCY_DOWN = (
    RedisConnectionError,
    RedisTimeoutError,
    RedisClusterException,
    ClusterError,
    InterfaceError,
    OperationalError,
    PoolTimeout,
    ConnectionError,
    TimeoutError,
)


class ErrorAnswer(JSONResponse):
    """A failure in the form of the door that it goes out of: the contract's, or OpenAI's below `/v1`."""

    def __init__(self, status: int, body: ErrorResponse, headers: Mapping[str, str] | None) -> None:
        self._body = body
        self._given = headers
        super().__init__(body.model_dump(mode="json"), status, headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not speaks_openai(scope):
            return await super().__call__(scope, receive, send)
        status = openai_status(self.status_code)
        told = openai_error(status, self._body.error).model_dump(mode="json")
        return await JSONResponse(told, status, self._given)(scope, receive, send)


def error_response(
    status: int, code: str, message: str, details: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> JSONResponse:
    body = ErrorResponse(
        error=ErrorBody(code=code, message=message, details=dict(details)),
        request_id=request_id.get(),
        timestamp=utc_now(),
    )
    return ErrorAnswer(status, body, headers)


def is_dependency_down(error: Exception) -> bool:
    """Whether `error` says that PostgreSQL or Redis is away, and not that we asked something wrong."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    if isinstance(error, DEPENDENCY_DOWN):
        return True
    # asyncpg's own errors arrive wrapped: no connection, shutdown, out of resources, and transactions that block
    # each other, of which one has to be tried again
    code = str(getattr(getattr(error, "orig", None), "sqlstate", None) or "")
    return code.startswith(("08", "57P0", "53", "40"))


def _printable(part: int | str) -> int | str:
    """A name that a caller gave may hold half a character, which no answer can hold."""
    return part.encode(errors="replace").decode() if isinstance(part, str) else part


async def _app_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, AppError)
    headers: dict[str, str] = {}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, ServiceUnavailable):
        headers["Retry-After"] = RETRY_AFTER
    if isinstance(error, RateLimited):
        headers |= _limit_headers(error)
    return error_response(error.status, error.code, error.message, error.details, headers)


def _limit_headers(error: RateLimited) -> Mapping[str, str]:
    seconds = str(max(1, math.ceil(error.retry_after.total_seconds())))
    if error.most is None:
        return {"Retry-After": seconds}
    standing = {"RateLimit-Limit": str(error.most), "RateLimit-Remaining": "0", "RateLimit-Reset": seconds}
    return {"Retry-After": seconds, **standing}


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    """Errors of the framework itself: no such route, wrong method, body too large."""
    assert isinstance(error, HTTPException)
    if error.status_code == 400 and isinstance(error.__cause__, (ValueError, RecursionError)):
        # not UTF-8, nested a thousand levels deep, a number with thousands of digits
        problem = {"loc": ["body"], "msg": "This JSON cannot be read", "type": "json_invalid"}
        return error_response(422, "VALIDATION_ERROR", NOT_VALID, {"errors": [problem]})
    code = CODES.get(error.status_code, "BAD_REQUEST" if error.status_code < 500 else "INTERNAL_ERROR")
    headers = {"Allow": ", ".join(_methods_at(request))} if error.status_code == 405 else error.headers
    return error_response(error.status_code, code, str(error.detail), {}, headers)


def _methods_at(request: Request) -> list[str]:
    """What can be done here: the framework names the methods of the first route alone."""
    asked = {"type": "http", "path": request.url.path, "root_path": "", "headers": []}
    routes: list[BaseRoute] = request.app.routes
    return [
        method
        for method in METHODS
        if any(route.matches({**asked, "method": method})[0] is Match.FULL for route in routes)
    ]


async def _validation_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors = [
        {"loc": [_printable(part) for part in e["loc"]], "msg": e["msg"], "type": e["type"]} for e in error.errors()
    ]
    return error_response(422, "VALIDATION_ERROR", NOT_VALID, {"errors": errors})


def unexpected_error_response(error: Exception) -> JSONResponse:
    """503 when a dependency is down; else 500 that names nothing internal."""
    if is_unstorable(error):
        log.warning("request.unstorable", exc_info=error)  # a schema should have refused it, and said where
        return error_response(422, "VALIDATION_ERROR", "The request holds a value that cannot be stored.", {})
    if is_dependency_down(error):
        log.warning("request.dependency_down", error=repr(error))
        message = "A part of the service is not available at the moment. Please try again."
        return error_response(503, "SERVICE_UNAVAILABLE", message, {}, {"Retry-After": RETRY_AFTER})
    log.error("request.failed", exc_info=error)
    return error_response(500, "INTERNAL_ERROR", "Something went wrong on our side.", {})


def is_unstorable(error: Exception) -> bool:
    """Whether PostgreSQL, or its driver, refused a value: NUL in a text, a number that is too large."""
    if not isinstance(error, DBAPIError) or error.connection_invalidated:
        return False
    code = str(getattr(error.orig, "sqlstate", None) or "")
    return code.startswith("22") or isinstance(getattr(error.orig, "__cause__", None), ValueError)


async def _not_modified(_: Request, error: Exception) -> Response:
    assert isinstance(error, NotModified)
    return Response(status_code=304, headers={"ETag": error.etag})


def add_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(NotModified, _not_modified)
    app.add_exception_handler(AppError, _app_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
