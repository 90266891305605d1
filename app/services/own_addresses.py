"""Where a browser may be sent: to pages of ours, whatever the address is spelt like."""

from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from app.errors import InvalidInput

LONGEST_ADDRESS: Final = 2048


def require_own_address(address: str, origins: Collection[str]) -> None:
    """A path here, or a page of one of `origins` (`*` does not count).

    Browsers and libraries read strange addresses differently: what is not plain is refused. A backslash is a slash for
    browsers, `//host` is another host, and control characters and spaces are taken out before they look.

    Raises:
        InvalidInput
    """
    is_plain = address.isascii() and len(address) <= LONGEST_ADDRESS and all(" " < each != "\\" for each in address)
    if not is_plain or "\x7f" in address or not (_is_path(address) or _is_page_of(address, origins)):
        raise InvalidInput("Must be a path here, or an address of CORS_ORIGINS.", field="redirect_to")


def _is_path(address: str) -> bool:
    path = address.partition("?")[0].partition("#")[0]
    return path.startswith("/") and "//" not in path


def _is_page_of(address: str, origins: Collection[str]) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    origin = f"{parts.scheme}://{parts.netloc}"
    return origin in origins and address[len(origin) :][:1] in {"", "/", "?", "#"} and address.startswith(origin)
