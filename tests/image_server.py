"""A stand-in for a server that makes pictures: speaks OpenAI's Images API over a real socket, from a script."""

import asyncio
import base64
import contextlib
import io
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from typing import Any

from PIL import Image

PATIENCE = 10.0  # seconds


def draw(colour: str, size: tuple[int, int] = (64, 48)) -> bytes:
    """A PNG."""
    written = io.BytesIO()
    Image.new("RGB", size, colour).save(written, "PNG")
    return written.getvalue()


@dataclass
class Answer:
    """What becomes of one request: the sketches that are sent, and what goes wrong."""

    sketches: Sequence[bytes] = ()
    picture: bytes = field(default_factory=lambda: draw("navy"))
    status: int = 200
    error: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    hangs: bool = False  # after the sketches
    streams: bool = True


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    fields: dict[str, Any]
    files: dict[str, bytes] = field(default_factory=dict)


class ImageScript:
    """`answers` are given one after the other, the last one for ever; `requests` is what was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[Request] = []
        self.url = ""
        self.sent_sketches = asyncio.Event()
        self.hung_up = asyncio.Event()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            request, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await reader.readexactly(int(headers["content-length"]))
            asked = _parsed(request.split(" ")[1], headers, body)
            self.requests.append(asked)
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            watching = asyncio.create_task(self._watch(reader))
            await self._answer(asked, answer, writer)
            watching.cancel()
        writer.close()

    async def _watch(self, reader: asyncio.StreamReader) -> None:
        """Nothing more comes from a client that waits: what is read is its end."""
        with contextlib.suppress(OSError):
            await reader.read(1)
        self.hung_up.set()

    async def _answer(self, request: Request, answer: Answer, writer: asyncio.StreamWriter) -> None:
        if answer.status != 200 or not (answer.streams and request.fields.get("stream") in (True, "true")):
            if answer.hangs:
                await asyncio.sleep(PATIENCE)
            problem = {"error": answer.error or {"message": "scripted", "type": "server_error", "code": None}}
            done = {"created": 1, "data": [{"b64_json": _coded(answer.picture), "revised_prompt": "A finer lamp."}]}
            await _send(writer, answer.status, answer.headers, done if answer.status == 200 else problem)
            return
        kind = "image_edit" if request.path.endswith("/edits") else "image_generation"
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n: hello\n\n")
        about = {"created_at": 1, "size": request.fields["size"], "quality": request.fields["quality"]}
        about |= {"background": "opaque", "output_format": "png"}
        for number, sketch in enumerate(answer.sketches):
            body = {"b64_json": _coded(sketch), "partial_image_index": number, **about}
            await _send_event(writer, f"{kind}.partial_image", body)
        self.sent_sketches.set()
        if answer.hangs:
            await asyncio.wait_for(self.hung_up.wait(), PATIENCE)
            return
        if answer.error is not None:
            await _send_event(writer, "error", {"error": answer.error})
            return
        usage = {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}
        await _send_event(writer, f"{kind}.completed", {"b64_json": _coded(answer.picture), "usage": usage, **about})


def _parsed(path: str, headers: dict[str, str], body: bytes) -> Request:
    if headers["content-type"] == "application/json":
        return Request(path, headers, json.loads(body))
    whole = BytesParser().parsebytes(f"content-type: {headers['content-type']}\r\n\r\n".encode() + body)
    asked = Request(path, headers, {})
    for part in whole.get_payload():
        assert isinstance(part, Message)
        name, content = str(part.get_param("name", header="content-disposition")), part.get_payload(decode=True)
        assert isinstance(content, bytes)
        if part.get_filename():
            asked.files[name] = content
        else:
            asked.fields[name] = content.decode()
    return asked


def _coded(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


async def _send(writer: asyncio.StreamWriter, status: int, headers: dict[str, str], body: dict[str, Any]) -> None:
    content = json.dumps(body).encode()
    fields = {"content-type": "application/json", "content-length": str(len(content)), "connection": "close", **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    writer.write(f"HTTP/1.1 {status} Scripted\r\n{head}\r\n".encode() + content)
    await writer.drain()


async def _send_event(writer: asyncio.StreamWriter, kind: str, body: dict[str, Any]) -> None:
    writer.write(f"event: {kind}\ndata: {json.dumps({'type': kind, **body})}\n\n".encode())
    await writer.drain()


@contextlib.asynccontextmanager
async def serve_images(*answers: Answer) -> AsyncIterator[ImageScript]:
    """A server of its own port for the length of the block; `url` goes into IMAGES_BASE_URL."""
    script = ImageScript(*(answers or (Answer(),)))
    server = await asyncio.start_server(script.handle, "127.0.0.1", 0)
    script.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield script
    finally:
        server.close()
