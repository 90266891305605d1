"""Fetches what is behind a URL that somebody gave, without ever reaching a network that is not public.

The name is resolved once, here; every address is judged, and the connection goes to exactly the address that was
judged. So neither a redirect nor a name server that changes its mind leads inside.
"""

import asyncio
import contextlib
import functools
import re
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

import httpx

from app import __version__
from app.adapters.addresses import is_acceptable, parse_networks
from app.errors import InvalidInput, PayloadTooLarge
from app.schemas.documents import safe_filename
from app.settings import FetchSettings

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

MAX_ADDRESSES: Final = 3  # that are tried, of those that a name has
DNS_THREADS: Final = 4  # a name server may be slow on purpose: it shall not hold the threads that others need
PIECE_BYTES: Final = 262_144
REDIRECTS: Final = frozenset((301, 302, 303, 307, 308))
PORTS: Final = {"http": 80, "https": 443}

_NAME = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")
_NUMBER_AT_END = re.compile(r"(^|\.)(\d+|0x[0-9a-f]*)\.?$")
_IPV4 = re.compile(r"\d{1,3}(\.\d{1,3}){3}")
_IPV6 = re.compile(r"[0-9a-f:]+(\.\d{1,3}){0,4}")
_DISPOSITION = re.compile(
    r"""filename\*=(?:utf-8|iso-8859-1)''(?P<coded>[^\s;]+)|filename="?(?P<plain>[^";]+)""", re.IGNORECASE
)

HEADERS: Final = {
    "User-Agent": f"Hearth/{__version__}",
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    "Connection": "close",
}


def _refused(reason: str, message: str, **details: object) -> InvalidInput:
    return InvalidInput(message, field="url", reason=reason, **details)


def _not_reached() -> InvalidInput:
    """One answer for a name that is not known and an address that is not public: neither tells of what is inside."""
    return _refused("address", "The host of this URL is unknown, or not on the public internet.")


def _no_answer() -> InvalidInput:
    return _refused("unreachable", "The server of this URL does not answer as it should.")


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file on its way: its bytes as they come, and a harmless name for it."""

    filename: str
    pieces: AsyncIterator[bytes]


@functools.cache  # to read all the certificates takes 40 ms
def believed_everywhere() -> ssl.SSLContext:
    """The certificates that browsers believe."""
    return httpx.create_ssl_context()


class Fetcher:
    """Opens URLs. `resolve` turns a name and a port into addresses; `tls` says which certificates are believed."""

    def __init__(
        self, settings: FetchSettings, *, resolve: Resolve | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self._settings = settings
        self._allowed = parse_networks(settings.allowed_networks)
        self._threads = ThreadPoolExecutor(DNS_THREADS, thread_name_prefix="resolve")
        self._resolve = resolve or self._ask_name_servers
        self._tls = tls or believed_everywhere()

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    @contextlib.asynccontextmanager
    async def open(self, address: str, *, max_bytes: int) -> AsyncIterator[Fetched]:
        """What is behind the URL `address`, redirects followed.

        Raises:
            InvalidInput: the URL is not acceptable, or its server does not give the file; `details.reason` says why.
            PayloadTooLarge: there are more than `max_bytes`, unpacked or not; also while the pieces are read.
        """
        deadline = asyncio.get_running_loop().time() + self._settings.timeout.total_seconds()
        url = acceptable_url(address, self._settings.ports)
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(self._settings.max_redirects + 1):
                response = await self._request(stack, url, deadline)
                if response.status_code not in REDIRECTS or "location" not in response.headers:
                    yield Fetched(_filename(response, url), self._pieces(response, deadline, max_bytes))
                    return
                url = acceptable_url(_joined(url, response.headers["location"]), self._settings.ports)
                await stack.aclose()
            raise _refused("redirects", f"The URL redirects more than {self._settings.max_redirects} times.")

    async def _request(self, stack: contextlib.AsyncExitStack, url: httpx.URL, deadline: float) -> httpx.Response:
        """The answer of one server, its body still to be read; `stack` closes it."""
        with _failures_told():
            async with asyncio.timeout_at(deadline):
                addresses = await self.acceptable_addresses(url)
                for address in addresses:
                    with contextlib.suppress(httpx.ConnectError, httpx.ConnectTimeout):
                        return await stack.enter_async_context(self._connected(url, address))
        raise _no_answer()

    @contextlib.asynccontextmanager
    async def _connected(self, url: httpx.URL, address: str) -> AsyncIterator[httpx.Response]:
        """Ask at `address` for `url`: the name stands in `Host` and in the handshake, whose certificate must fit it.

        A client for each request: no cookie and no connection is ever used for another.
        """
        name = url.raw_host.decode().strip("[]").rstrip(".")
        client = httpx.AsyncClient(
            trust_env=False, verify=self._tls, timeout=self._settings.read_timeout.total_seconds()
        )
        async with client:
            request = client.build_request(
                "GET",
                url.copy_with(host=address),
                headers=HEADERS | {"Host": url.netloc.decode()},
                extensions={"sni_hostname": name},
            )
            response = await client.send(request, stream=True, follow_redirects=False)
            try:
                yield response
            finally:
                await response.aclose()

    async def acceptable_addresses(self, url: httpx.URL) -> Sequence[str]:
        """Where `url` may be asked for. Raises InvalidInput: nowhere."""
        host = url.raw_host.decode().strip("[]")
        try:
            addresses = [host] if _IPV4.fullmatch(host) or ":" in host else await self._resolve(host, _port(url))
        except (OSError, UnicodeError) as error:
            raise _not_reached() from error
        if not addresses or not all(is_acceptable(address, self._allowed) for address in addresses):
            raise _not_reached()
        return addresses[:MAX_ADDRESSES]

    async def _ask_name_servers(self, host: str, port: int) -> Sequence[str]:
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return list(dict.fromkeys(str(address[0]) for *_, address in found))

    async def _pieces(self, response: httpx.Response, deadline: float, max_bytes: int) -> AsyncIterator[bytes]:
        too_large = PayloadTooLarge(f"A file may have at most {max_bytes:,} bytes.", max_bytes=max_bytes)
        if int(response.headers.get("content-length", "0")) > max_bytes:
            raise too_large
        raw = response.aiter_raw(PIECE_BYTES)
        unpack = _unpacker(response)
        received = unpacked = 0
        while piece := await _next(raw, deadline):
            received += len(piece)
            for part in unpack.parts(piece):
                unpacked += len(part)
                if unpacked > max_bytes:
                    raise too_large
                yield part
            if received > max_bytes:
                raise too_large
        unpack.finish()


def acceptable_url(address: str, ports: Sequence[int]) -> httpx.URL:
    """`address` as a URL that may be asked for, its host's addresses apart; without the fragment.

    Raises:
        InvalidInput: it may not.
    """
    if not address.isprintable() or any(character in address for character in " \\"):
        raise _refused("malformed", "This is not a URL.")
    try:
        url = httpx.URL(address).copy_with(fragment=None)
        host = url.raw_host.decode("ascii")
    except (httpx.InvalidURL, ValueError) as error:
        raise _refused("malformed", "This is not a URL.") from error
    if url.scheme not in PORTS:
        raise _refused("scheme", "Only http and https URLs can be fetched.")
    if url.userinfo:
        raise _refused("credentials", "A URL with a user name or a password is not fetched.")
    if not _is_host(host):
        raise _refused("malformed", "The host of this URL is not written as a name or an address.")
    if _port(url) not in ports:
        raise _refused("port", f"Only these ports are fetched from: {', '.join(map(str, ports))}.")
    return url


def _port(url: httpx.URL) -> int:
    return PORTS[url.scheme] if url.port is None else url.port


def _is_host(host: str) -> bool:
    """A name, or an address in its usual spelling: 127.1, 0x7f000001 and 2130706433 are addresses for some only."""
    bare = host.strip("[]")
    if ":" in bare:
        return bool(_IPV6.fullmatch(bare))
    if _NUMBER_AT_END.search(bare):
        return bool(_IPV4.fullmatch(bare)) and not re.search(r"(^|\.)0\d", bare)
    return len(bare) <= 253 and bool(_NAME.fullmatch(bare))


def _joined(url: httpx.URL, location: str) -> str:
    try:
        return str(url.join(location))
    except (httpx.InvalidURL, ValueError) as error:
        raise _refused("redirects", "The URL redirects to something that is no URL.") from error


def _filename(response: httpx.Response, url: httpx.URL) -> str:
    """What the server calls the file, else what the URL ends with, else the host.

    Raises:
        InvalidInput: the server sends no file.
    """
    if response.status_code != 200:
        raise _refused(
            "status",
            f"The server answered with status {response.status_code} instead of a file.",
            status=response.status_code,
        )
    named = _DISPOSITION.search(response.headers.get("content-disposition", ""))
    given = (unquote(named["coded"]) if named["coded"] else named["plain"]) if named else None
    return safe_filename(given) or safe_filename(unquote(url.path.rpartition("/")[2])) or url.host


async def _next(raw: AsyncIterator[bytes], deadline: float) -> bytes | None:
    with _failures_told():
        async with asyncio.timeout_at(deadline):
            return await anext(raw, None)


@contextlib.contextmanager
def _failures_told() -> Iterator[None]:
    """What a server can do wrong, in words that do not quote it."""
    try:
        yield
    except (TimeoutError, httpx.TimeoutException) as error:
        raise _refused("timeout", "The server of this URL takes too long.") from error
    except httpx.HTTPError as error:
        raise _no_answer() from error


class _Gzip:
    """Unpacks in bounded pieces: a small file may hold a thousand times its size."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)

    def parts(self, piece: bytes) -> Iterator[bytes]:
        rest = piece
        while rest:
            if self._member.eof:  # a file may be several, one after the other
                self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
            try:
                part = self._member.decompress(rest, PIECE_BYTES)
            except zlib.error as error:
                raise _no_answer() from error
            rest = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if part:
                yield part

    def finish(self) -> None:
        if not self._member.eof:
            raise _no_answer()


class _Plain:
    def parts(self, piece: bytes) -> Iterator[bytes]:
        yield piece

    def finish(self) -> None:
        pass


def _unpacker(response: httpx.Response) -> _Gzip | _Plain:
    """We ask for bytes as they are; some servers send what they keep packed all the same."""
    match response.headers.get("content-encoding", "identity").strip().lower():
        case "identity" | "":
            return _Plain()
        case "gzip" | "x-gzip":
            return _Gzip()
    raise _refused("encoding", "The server sends the file in a packing that it was not asked for.")
