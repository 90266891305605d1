"""Failures the caller can act on. Anything else is a bug and becomes a 500.

Every class carries the contract's code and the HTTP status; one adapter per door turns it into words (`api/errors.py`
for HTTP, `api/sockets.py` for WebSockets).
"""

from datetime import timedelta
from typing import ClassVar


class AppError(Exception):
    """A failure with a `code` of the contract, a `message` for people and `details` for programs (JSON values)."""

    status: ClassVar[int] = 400
    code: str = "BAD_REQUEST"

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class BadRequest(AppError):
    pass


class NotAuthenticated(AppError):
    status, code = 401, "NOT_AUTHENTICATED"


class InvalidCredentials(AppError):
    status, code = 401, "INVALID_CREDENTIALS"


class TokenExpired(AppError):
    status, code = 401, "TOKEN_EXPIRED"


class PermissionDenied(AppError):
    status, code = 403, "PERMISSION_DENIED"


class CSRFFailed(AppError):
    status, code = 403, "CSRF_FAILED"


class NotFound(AppError):
    """Not there, or not visible to the caller: one answer for both."""

    status, code = 404, "RESOURCE_NOT_FOUND"


class ModelNotFound(NotFound):
    """Nothing answers by this name, or it is a project that the caller may not see."""

    code = "MODEL_NOT_FOUND"

    def __init__(self, model: str) -> None:
        super().__init__(f"There is no model `{model}` here: GET /v1/models lists them.", param="model")


class Conflict(AppError):
    status, code = 409, "CONFLICT"


class ProjectArchived(Conflict):
    """What is in the project can be read, and not changed."""

    code = "PROJECT_ARCHIVED"

    def __init__(self, project_id: object) -> None:
        super().__init__("The project is archived, and so read-only: unarchive it first.", project_id=str(project_id))


class SessionFull(AppError):
    status, code = 409, "SESSION_FULL"


class PreconditionFailed(AppError):
    status, code = 412, "PRECONDITION_FAILED"


class PayloadTooLarge(AppError):
    status, code = 413, "PAYLOAD_TOO_LARGE"


class UnsupportedMediaType(AppError):
    status, code = 415, "UNSUPPORTED_MEDIA_TYPE"


class InvalidInput(AppError):
    """Well-formed, but a value is not acceptable; `details.errors` has the form of a validation error."""

    status, code = 422, "VALIDATION_ERROR"

    def __init__(self, message: str, *, field: str, **details: object) -> None:
        problem = {"loc": ["body", field], "msg": message, "type": "value_error"}
        super().__init__(message, errors=[problem], **details)


class RateLimited(AppError):
    """`most`: how many uses the budget has that is used up, if it is one of those that headers tell of."""

    status, code = 429, "RATE_LIMITED"

    def __init__(self, message: str, *, retry_after: timedelta, most: int | None = None, **details: object) -> None:
        super().__init__(message, **details)
        self.retry_after = retry_after
        self.most = most


class ServiceUnavailable(AppError):
    """Something this service depends on is down; it recovers by itself."""

    status, code = 503, "SERVICE_UNAVAILABLE"


class ExtractionFailed(AppError):
    """A file that cannot be read, and will not be by trying again; `code` says why (NO_TEXT, ENCRYPTED, CORRUPT, …)."""

    status = 422

    def __init__(self, code: str, message: str, **details: object) -> None:
        super().__init__(message, **details)
        self.code = code
