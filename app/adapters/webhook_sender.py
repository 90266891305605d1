"""Posts to URLs that somebody gave: once, to an address that was judged, following nothing."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import httpx

from app import __version__
from app.adapters.fetching import Fetcher, Resolve, acceptable_url, believed_everywhere
from app.errors import InvalidInput
from app.settings import FetchSettings
from app.settings.workspace import WebhookSettings

MOST_READ: Final = 4_096  # bytes of an answer
EXCERPT: Final = 1_000  # characters of it that are kept


@dataclass(frozen=True, slots=True)
class Outcome:
    """`status` is that of the answer, None where none came; then `error` says why."""

    status: int | None
    latency_ms: int
    excerpt: str = ""
    error: str | None = None

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class WebhookSender:
    """`resolve` turns a name and a port into addresses; `tls` says which certificates are believed."""

    def __init__(
        self, settings: WebhookSettings, *, resolve: Resolve | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self._timeout = settings.timeout.total_seconds()
        self._ports = settings.ports
        reach = FetchSettings(
            timeout=settings.timeout, ports=settings.ports, allowed_networks=settings.allowed_networks, max_redirects=0
        )
        self._tls = tls or believed_everywhere()
        self._fetcher = Fetcher(reach, resolve=resolve, tls=self._tls)

    def close(self) -> None:
        self._fetcher.close()

    async def require_reachable(self, address: str) -> None:
        """Raises InvalidInput: nothing will be sent to this URL; `details.reason` says why."""
        url = acceptable_url(address, self._ports)
        try:
            async with asyncio.timeout(self._timeout):
                await self._fetcher.acceptable_addresses(url)
        except TimeoutError as error:
            raise InvalidInput("No name server knows this host in time.", field="url", reason="timeout") from error

    async def send(self, address: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """What became of it; never raises."""
        started = time.monotonic()

        def outcome(status: int | None, excerpt: str = "", error: str | None = None) -> Outcome:
            return Outcome(status, round((time.monotonic() - started) * 1000), excerpt, error)

        try:
            async with asyncio.timeout(self._timeout):
                status, excerpt = await self._post(address, body, headers)
            return outcome(status, excerpt)
        except InvalidInput as error:
            return outcome(None, error=error.message)
        except (TimeoutError, httpx.TimeoutException):
            return outcome(None, error=f"No answer within {self._timeout:g} seconds.")
        except (httpx.HTTPError, OSError, ssl.SSLError) as error:
            return outcome(None, error=f"No connection: {type(error).__name__}.")

    async def _post(self, address: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
        url = acceptable_url(address, self._ports)
        last: httpx.HTTPError | None = None
        for ip_address in await self._fetcher.acceptable_addresses(url):
            try:
                return await self._post_to(url, ip_address, body, headers)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                last = error
        raise last or httpx.ConnectError("no address")

    async def _post_to(
        self, url: httpx.URL, ip_address: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, str]:
        """The name stands in `Host` and in the handshake, whose certificate must fit it."""
        sent = {
            **headers,
            "Host": url.netloc.decode(),
            "Content-Type": "application/json",
            "User-Agent": f"Hearth/{__version__}",
            "Accept-Encoding": "identity",
            "Connection": "close",
        }
        name = url.raw_host.decode().strip("[]").rstrip(".")
        async with httpx.AsyncClient(trust_env=False, verify=self._tls, timeout=self._timeout) as client:
            request = client.build_request(
                "POST", url.copy_with(host=ip_address), content=body, headers=sent, extensions={"sni_hostname": name}
            )
            response = await client.send(request, stream=True, follow_redirects=False)
            async with contextlib.aclosing(response):
                return response.status_code, await _beginning(response)


async def _beginning(response: httpx.Response) -> str:
    """What a person sees of the answer; whether all of it comes is of no interest."""
    taken = b""
    with contextlib.suppress(httpx.HTTPError):
        async for piece in response.aiter_raw():
            taken += piece[: MOST_READ - len(taken)]
            if len(taken) >= MOST_READ:
                break
    text = taken.decode(errors="replace")
    return "".join(sign if sign.isprintable() or sign == "\n" else "\ufffd" for sign in text)[:EXCERPT]
