"""A server that makes pictures: whatever speaks OpenAI's Images API, with unfinished pictures on the way.

What it refuses for good (a prompt, the key) is told apart from what may pass (it is busy, or away).
"""

import base64
import binascii
import contextlib
import json
import math
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import httpx
import structlog

from app.errors import AppError, Conflict, RateLimited, ServiceUnavailable
from app.settings.production import ImagesSettings
from app.telemetry.model_calls import ModelCall

log = structlog.get_logger(__name__)

REFUSALS: Final = frozenset(("moderation_blocked", "content_policy_violation", "content_filter"))
MAY_PASS: Final = frozenset((408, 409, 425))
LONGEST_WAIT: Final = timedelta(minutes=10)
LONGEST_REASON: Final = 300  # characters
MOST_EVENTS: Final = 100
_SIZE: Final = re.compile(r"(\d{1,5})x(\d{1,5})")
_EVENT_END: Final = re.compile(rb"\r?\n\r?\n")


class PictureRefused(AppError):
    """It will not be made, however often it is asked for."""

    status, code = 400, "CONTENT_REFUSED"


@dataclass(frozen=True, slots=True)
class Original:
    """A picture that is sent along."""

    name: str
    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class PictureOrder:
    """`width` and `height` in pixels; an `original` is changed, where `mask` is transparent if there is one."""

    prompt: str
    width: int
    height: int
    quality: str
    model: str = ""
    original: Original | None = None
    mask: Original | None = None


@dataclass(frozen=True, slots=True)
class Sketch:
    """An unfinished picture, the `number`-th from 0."""

    content: bytes
    number: int


@dataclass(frozen=True, slots=True)
class Picture:
    content: bytes
    prompt: str | None = None
    usage: Mapping[str, Any] | None = None


class ImageServer:
    def __init__(self, client: httpx.AsyncClient, settings: ImagesSettings) -> None:
        self._client = client
        self._settings = settings

    @property
    def previews(self) -> int:
        return self._settings.previews if self._settings.stream else 0

    def model_of(self, order: PictureOrder) -> str:
        return order.model or self._settings.model

    def size_of(self, order: PictureOrder) -> str:
        """That of the order, or of those that the server knows the one whose shape, and then area, is most like it."""
        known = [(int(match[1]), int(match[2])) for match in map(_SIZE.fullmatch, self._settings.sizes) if match]
        width, height = order.width, order.height
        if known:
            width, height = min(known, key=lambda size: _distance(size, (order.width, order.height)))
        return f"{width}x{height}"

    async def make(self, order: PictureOrder) -> AsyncGenerator[Sketch | Picture, None]:
        """Sketches, then the picture. Closing the generator, or cancelling its reader, ends the connection.

        Raises:
            PictureRefused, Conflict: the server does not want to, or refuses our key.
            RateLimited, ServiceUnavailable: it is busy, away, too slow, or cannot be understood.
        """
        path = "images/generations" if order.original is None else "images/edits"
        try:
            with ModelCall("images", self.model_of(order)) as call:
                async with self._client.stream("POST", path, headers=call.headers, **self._body(order)) as response:
                    if response.status_code != 200:
                        raise _failure(response, await _start_of(response))
                    is_stream = response.headers.get("content-type", "").startswith("text/event-stream")
                    parts = self._read_events(response) if is_stream else self._read_whole(response)
                    async with contextlib.aclosing(parts):
                        async for part in parts:
                            yield part
        except httpx.TimeoutException as error:
            raise ServiceUnavailable("The image server does not answer in time.") from error
        except httpx.HTTPError as error:
            log.warning("images.failed", error=repr(error))
            raise ServiceUnavailable("The image server cannot be reached, or broke off.") from error
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            log.warning("images.not_understood", error=repr(error))
            raise ServiceUnavailable("The image server gave an answer that cannot be read.") from error

    def _body(self, order: PictureOrder) -> dict[str, Any]:
        fields: dict[str, Any] = {"prompt": order.prompt, "n": 1, "size": self.size_of(order)}
        if self.model_of(order):
            fields["model"] = self.model_of(order)
        if self._settings.stream:
            fields |= {"quality": order.quality, "stream": True, "partial_images": self._settings.previews}
        else:
            fields["response_format"] = "b64_json"
        if order.original is None:
            return {"json": fields}
        files = {"image": order.original} | ({"mask": order.mask} if order.mask else {})
        return {
            "data": {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()},
            "files": {name: (one.name, one.content, one.media_type) for name, one in files.items()},
        }

    async def _read_whole(self, response: httpx.Response) -> AsyncGenerator[Sketch | Picture, None]:
        content = bytearray()
        async for piece in response.aiter_bytes():
            content += piece
            self._require_size(len(content))
        body = json.loads(content)
        yield self._picture(body["data"][0], body.get("usage"))

    async def _read_events(self, response: httpx.Response) -> AsyncGenerator[Sketch | Picture, None]:
        """Raises httpx.RemoteProtocolError: the stream ended before the picture came."""
        count = 0
        async for event in self._events(response):
            count += 1
            kind = str(event.get("type", ""))
            if kind.endswith(".completed"):
                yield self._picture(event, event.get("usage"))
                return
            if kind.endswith(".partial_image") and count <= MOST_EVENTS:
                yield Sketch(self._decoded(event), int(event.get("partial_image_index", 0)))
            elif "error" in kind or "error" in event:
                raise _refusal(event.get("error") or event) or ServiceUnavailable("The image server broke off.")
        raise httpx.RemoteProtocolError("the stream ended without a picture")

    async def _events(self, response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
        """What stands in the lines `data:` of each event, as JSON; comments keep the connection alive, no more."""
        waiting = b""
        async for piece in response.aiter_bytes():
            waiting += piece
            self._require_size(len(waiting))
            *whole, waiting = _EVENT_END.split(waiting)
            for block in whole:
                lines = [line[5:].strip() for line in block.splitlines() if line.startswith(b"data:")]
                data = b"\n".join(lines)
                if data and data != b"[DONE]":
                    event = json.loads(data)
                    if not isinstance(event, dict):
                        raise TypeError("an event that is no object")
                    yield event

    def _picture(self, data: Mapping[str, Any], usage: Any) -> Picture:
        prompt = data.get("revised_prompt")
        return Picture(
            self._decoded(data),
            prompt if isinstance(prompt, str) else None,
            usage if isinstance(usage, dict) else None,
        )

    def _decoded(self, data: Mapping[str, Any]) -> bytes:
        try:
            return base64.b64decode(data["b64_json"], validate=True)
        except binascii.Error as error:
            raise ValueError("not base64") from error

    def _require_size(self, size: int) -> None:
        """What is encoded has a third more bytes. Raises ValueError."""
        if size > self._settings.max_bytes * 3 // 2:
            raise ValueError("larger than IMAGES_MAX_BYTES")


@contextlib.asynccontextmanager
async def open_image_server(settings: ImagesSettings) -> AsyncIterator[ImageServer | None]:
    """The server at `settings.base_url`; None when there is none. Nothing is asked of it yet."""
    if not settings.base_url:
        yield None
        return
    key = settings.api_key.get_secret_value()
    client = httpx.AsyncClient(
        base_url=settings.base_url.rstrip("/") + "/",
        headers={"Authorization": f"Bearer {key}"} if key else {},
        timeout=httpx.Timeout(settings.timeout.total_seconds(), connect=settings.connect_timeout.total_seconds()),
    )
    async with client:
        yield ImageServer(client, settings)


def _distance(one: tuple[int, int], other: tuple[int, int]) -> tuple[float, int]:
    shapes = [math.log(max(width, 1) / max(height, 1)) for width, height in (one, other)]
    return round(abs(shapes[0] - shapes[1]), 1), abs(one[0] * one[1] - other[0] * other[1])


async def _start_of(response: httpx.Response) -> bytes:
    content = b""
    async for piece in response.aiter_bytes():
        content += piece
        if len(content) > 65_536:
            break
    return content


def _failure(response: httpx.Response, content: bytes) -> AppError:
    status = response.status_code
    if status == 429:
        asked = response.headers.get("retry-after", "")
        wait = timedelta(seconds=int(asked[:6])) if asked.isdecimal() else timedelta(0)
        return RateLimited("The image server is busy.", retry_after=min(wait, LONGEST_WAIT))
    if status >= 500 or status in MAY_PASS:
        return ServiceUnavailable(f"The image server answered with status {status}.")
    if status in (401, 403):
        return Conflict("The image server refuses the configured key.", status=status)
    try:
        problem = json.loads(content)["error"]
    except (ValueError, KeyError, TypeError):
        problem = {}
    refusal = _refusal(problem)
    return refusal or Conflict(f"The image server does not accept this: {_reason(problem) or status}", status=status)


def _refusal(problem: Any) -> PictureRefused | None:
    """Where the content is the reason."""
    code = problem.get("code") or problem.get("type") if isinstance(problem, dict) else None
    if code not in REFUSALS:
        return None
    return PictureRefused(f"The image server refuses to make this: {_reason(problem) or code}", reason=code)


def _reason(problem: Any) -> str:
    message = problem.get("message") if isinstance(problem, dict) else problem
    text = message if isinstance(message, str) else ""
    return "".join(sign for sign in text if sign.isprintable())[:LONGEST_REASON]
