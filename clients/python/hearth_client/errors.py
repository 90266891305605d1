"""What a server says no with."""

from typing import Any

import httpx


class HearthError(Exception):
    """The server refused: `code` is one of the contract's error codes, `status` the HTTP status."""

    def __init__(self, status: int, code: str, message: str, details: dict[str, Any], request_id: str | None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details
        self.request_id = request_id

    @classmethod
    def of(cls, response: httpx.Response) -> "HearthError":
        try:
            body = response.json()
            error = body["error"]
            return cls(response.status_code, error["code"], error["message"], error["details"], body["request_id"])
        except (ValueError, KeyError, TypeError):  # a proxy's answer
            return cls(response.status_code, "UNKNOWN", f"HTTP {response.status_code}", {}, None)


class Refused(Exception):
    """The server refused a command; the connection lives on."""

    def __init__(self, code: str, message: str, details: dict[str, Any]) -> None:
        super().__init__(message)
        self.code = code
        self.details = details


class ConnectionEnded(Exception):
    """The server ended the connection for good: 4401 not authenticated, 4403 not allowed, 4404 no such room …"""

    def __init__(self, code: int) -> None:
        super().__init__(f"The connection ended with {code}.")
        self.code = code
