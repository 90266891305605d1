"""Failures in the form that OpenAI's clients read, for everything below `/v1`."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.types import Scope

from app.schemas.common import ErrorBody
from app.schemas.openai_common import OpenAIError, OpenAIErrorResponse

PREFIX: Final = "/v1"
NOT_VALID: Final = 422  # theirs is 400, like everything else that is wrong with a request
CODES: Final = {
    "NOT_AUTHENTICATED": "invalid_api_key",
    "INVALID_CREDENTIALS": "invalid_api_key",
    "TOKEN_EXPIRED": "invalid_api_key",
    "RATE_LIMITED": "rate_limit_exceeded",
    "VALIDATION_ERROR": "invalid_value",
    "INTERNAL_ERROR": "server_error",
}
"""Of ours, to those that clients know; all others are the same in small letters."""
TYPES: Final = {403: "permission_error", 429: "rate_limit_error"}


def speaks_openai(scope: Scope) -> bool:
    """Whether the path is one of those that OpenAI's clients call, or might be."""
    path = str(scope.get("path", ""))
    return path == PREFIX or path.startswith(f"{PREFIX}/")


def openai_status(status: int) -> int:
    return 400 if status == NOT_VALID else status


def openai_error(status: int, error: ErrorBody) -> OpenAIErrorResponse:
    """`param` is the first value that is not acceptable, such as `messages.0.content`."""
    problem = next(iter(error.details.get("errors", ())), None)
    message, param = error.message, error.details.get("param")
    if problem is not None:
        param = _param(problem)
        message = f"{param}: {problem['msg']}" if param else str(problem["msg"])
    kind = TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return OpenAIErrorResponse(
        error=OpenAIError(message=message, type=kind, param=param, code=CODES.get(error.code, error.code.lower()))
    )


def _param(problem: Mapping[str, Any]) -> str | None:
    _, *rest = problem["loc"] or ("body",)
    return ".".join(map(str, rest)) or None
