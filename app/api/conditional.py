"""`ETag`, `If-None-Match` and `If-Match` (RFC 9110, section 13) on single resources."""

from typing import Annotated, Protocol, TypeVar

from fastapi import Depends, Header, Request, Response

from app.services.versions import Versions


class Versioned(Protocol):
    @property
    def version(self) -> str: ...


Row = TypeVar("Row", bound=Versioned)


class NotModified(Exception):
    """The client has the current version already: 304."""

    def __init__(self, etag: str) -> None:
        super().__init__(etag)
        self.etag = etag


def _parse_tags(header: str | None) -> frozenset[str] | None:
    """Opaque tags of a list such as `"a", W/"b"`; None for no header and for `*`."""
    if header is None or header.strip() == "*":
        return None
    return frozenset(tag.strip().removeprefix("W/").strip('"') for tag in header.split(","))


class Conditional:
    """Tags the resource of this request."""

    def __init__(self, request: Request, response: Response) -> None:
        self._known = _parse_tags(request.headers.get("if-none-match"))
        self._is_reading = request.method in {"GET", "HEAD"}
        self._response = response

    def tag(self, row: Row) -> Row:
        """Put the row's version into the response.

        Raises:
            NotModified: the client named this version in `If-None-Match`.
        """
        etag = f'"{row.version}"'
        if self._is_reading and self._known is not None and row.version in self._known:
            raise NotModified(etag)
        self._response.headers["ETag"] = etag
        return row


async def _if_match(
    if_match: Annotated[str | None, Header(description="ETag that the change is based on.")] = None,
) -> Versions | None:
    return _parse_tags(if_match)


async def _conditional(
    request: Request,
    response: Response,
    _: Annotated[  # read from the request, since it may stand there several times
        str | None, Header(alias="If-None-Match", description="ETags that the client has: 304 if one is current.")
    ] = None,
) -> Conditional:
    return Conditional(request, response)


ConditionalDep = Annotated[Conditional, Depends(_conditional)]
IfMatch = Annotated[Versions | None, Depends(_if_match)]
