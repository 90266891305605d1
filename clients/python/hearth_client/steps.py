"""What is asked of a server in several requests, written once for callers that wait and for callers that do not.

Such a conversation is a generator: it yields calls, or pauses, and is sent what the server says. A call that is refused
raises HearthError inside of it.
"""

import asyncio
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from ssl import SSLContext
from typing import Any, TypeVar

import httpx

from hearth_client.errors import HearthError

TIMEOUT = httpx.Timeout(30.0, read=120.0)
AT_ONCE = 8  # calls under way for one caller that does not wait
MOST_ATTEMPTS = 5  # of a call that comes too soon
LONGEST_PAUSE = 60.0  # seconds; who is to wait longer is told
TOO_MANY_REQUESTS = 429


@dataclass(frozen=True, slots=True)
class Call:
    """`path` is behind `/api/v1`, `options` are httpx's. The answer is its JSON, or its text where it is none."""

    method: str
    path: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


T = TypeVar("T")
Steps = Generator[Call | Sequence[Call] | Pause, Any, T]


class Server:
    """`url` without `/api/v1`; `token` from a log-in or an invite, or `api_key`."""

    def __init__(self, url: str, *, token: str | None = None, api_key: str | None = None) -> None:
        self._base_url = f"{url.rstrip('/')}/api/v1"
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._headers |= {"X-API-Key": api_key} if api_key else {}

    def perform(self, steps: Steps[T]) -> T:
        """Raises HearthError, httpx.TransportError."""
        with httpx.Client(**self._options) as http:
            answer: Any = None
            refused: HearthError | None = None
            while True:
                try:
                    step = steps.throw(refused) if refused else steps.send(answer)
                except StopIteration as end:
                    result: T = end.value
                    return result
                answer, refused = None, None
                try:
                    answer = _take(http, step)
                except HearthError as error:
                    refused = error

    async def aperform(self, steps: Steps[T]) -> T:
        """The same for callers that do not wait; several calls are under way at once."""
        async with httpx.AsyncClient(**self._options) as http:
            answer: Any = None
            refused: HearthError | None = None
            while True:
                try:
                    step = steps.throw(refused) if refused else steps.send(answer)
                except StopIteration as end:
                    result: T = end.value
                    return result
                answer, refused = None, None
                try:
                    answer = await _atake(http, step)
                except HearthError as error:
                    refused = error

    @property
    def _options(self) -> dict[str, Any]:
        return {"base_url": self._base_url, "headers": self._headers, "timeout": TIMEOUT, "verify": self._certificates}

    @cached_property
    def _certificates(self) -> SSLContext:
        return httpx.create_ssl_context()  # once: it takes longer than a request


def _take(http: httpx.Client, step: Call | Sequence[Call] | Pause) -> Any:
    if isinstance(step, Pause):
        return time.sleep(step.seconds)
    if isinstance(step, Call):
        return _call(http, step)
    return [_call(http, call) for call in step]


async def _atake(http: httpx.AsyncClient, step: Call | Sequence[Call] | Pause) -> Any:
    if isinstance(step, Pause):
        return await asyncio.sleep(step.seconds)
    if isinstance(step, Call):
        return await _acall(http, step)
    places = asyncio.Semaphore(AT_ONCE)

    async def in_turn(call: Call) -> Any:
        async with places:
            return await _acall(http, call)

    return await asyncio.gather(*map(in_turn, step))


def _call(http: httpx.Client, call: Call) -> Any:
    attempt = 1
    while True:
        response = http.request(call.method, call.path, **call.options)
        pause = _pause_after(response, attempt)
        if pause is None:
            return _read(response)
        time.sleep(pause)
        attempt += 1


async def _acall(http: httpx.AsyncClient, call: Call) -> Any:
    attempt = 1
    while True:
        response = await http.request(call.method, call.path, **call.options)
        pause = _pause_after(response, attempt)
        if pause is None:
            return _read(response)
        await asyncio.sleep(pause)
        attempt += 1


def _pause_after(response: httpx.Response, attempt: int) -> float | None:
    """Seconds until the call may be made again; None when it was answered, or there is no use in waiting."""
    asked = response.headers.get("retry-after", "")
    if response.status_code != TOO_MANY_REQUESTS or attempt == MOST_ATTEMPTS or not asked.isdecimal():
        return None
    return float(asked) if float(asked) <= LONGEST_PAUSE else None


def _read(response: httpx.Response) -> Any:
    if response.is_error:
        raise HearthError.of(response)
    is_json = response.headers.get("content-type", "").startswith("application/json")
    return response.json() if is_json and response.content else response.text
