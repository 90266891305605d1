"""A stand-in for a language model: speaks OpenAI's chat completions over a real socket, from a script."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.services.rewriting import INSTRUCTION

Body = dict[str, Any]
PATIENCE = 10.0  # seconds


@dataclass
class Script:
    """One answer: the words that are streamed, or other deltas, and what goes wrong on the way."""

    words: Sequence[str] = ()
    deltas: Sequence[Body] = ()
    finish_reason: str = "stop"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pause: float = 0.0  # seconds before each word
    hang_after: int | None = None  # words after which nothing comes any more
    drop_after: int | None = None  # words after which the connection is cut


class LanguageServer:
    """`requests` are the bodies received, `heads` what stood before them, `answer` chooses each one's script.

    `hung_up` counts clients that left.

    Questions that are to be rewritten are none of these: `rewrite` makes of each what it will, at first nothing else.
    """

    def __init__(self) -> None:
        self.requests: list[Body] = []
        self.heads: list[str] = []
        self.rewrite: Callable[[str], str] = lambda question: question
        self.answer: Callable[[Body], Script] = lambda _: Script(["Hello", "."])
        self.hung_up = 0
        self.speaking = 0
        self.url = ""
        self._asked = asyncio.Event()
        self._left = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()

    def say(self, *scripts: Script) -> None:
        """Give these answers, one per request; the last one again and again."""
        waiting = list(scripts)
        self.answer = lambda _: waiting.pop(0) if len(waiting) > 1 else waiting[0]

    async def wait_for_request(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self._asked.wait()

    async def wait_for_hang_up(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self._left.wait()

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while (head := (await reader.readuntil(b"\r\n\r\n")).decode()) and await self._serve(head, reader, writer):
                pass
        self._writers.discard(writer)
        writer.close()

    async def _serve(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False when the connection is over."""
        lines = head.split("\r\n")
        length = next((int(line[15:]) for line in lines if line.lower().startswith("content-length:")), 0)
        if lines[0].startswith("GET"):
            await _send(writer, 200, {}, {"object": "list", "data": [{"id": "scripted", "object": "model"}]})
            return True
        body = json.loads(await reader.readexactly(length))
        script = self._rewriting(body["messages"])
        if script is None:
            self.requests.append(body)
            self.heads.append(head)
            self._asked.set()
            script = self.answer(body)
        if script.status != 200:
            await _send(writer, script.status, script.headers, {"error": {"message": "scripted", "type": "test"}})
            return True
        if not body.get("stream"):
            await _send(writer, 200, {}, _whole(script))
            return True
        watching = asyncio.create_task(reader.read(1))  # ends when the client hangs up
        speaking = asyncio.create_task(self._stream(script, writer))
        self.speaking += 1
        await asyncio.wait({watching, speaking}, return_when=asyncio.FIRST_COMPLETED)
        self.speaking -= 1
        if not speaking.done():
            self.hung_up += 1
            self._left.set()
        for task in (watching, speaking):
            task.cancel()
        await asyncio.gather(watching, speaking, return_exceptions=True)  # or its failure is told of in a later test
        return False

    def _rewriting(self, messages: Sequence[Body]) -> Script | None:
        if messages[0]["content"] != INSTRUCTION:
            return None
        return Script([self.rewrite(messages[-1]["content"].rpartition("The last question: ")[2])])

    async def _stream(self, script: Script, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n")
        writer.write(b"transfer-encoding: chunked\r\n\r\n")
        for number, word in enumerate(script.words):
            if number == script.drop_after:
                writer.transport.abort()
                return
            if number == script.hang_after:
                await asyncio.sleep(3600)
            await asyncio.sleep(script.pause)
            await _send_event(writer, _chunk([{"index": 0, "delta": {"content": word}, "finish_reason": None}]))
        for delta in script.deltas:
            await _send_event(writer, _chunk([{"index": 0, "delta": delta, "finish_reason": None}]))
        await _send_event(writer, _chunk([{"index": 0, "delta": {}, "finish_reason": script.finish_reason}]))
        usage = {"prompt_tokens": 7, "completion_tokens": len(script.words), "total_tokens": 7 + len(script.words)}
        await _send_event(writer, _chunk([]) | {"usage": usage})
        writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
        await writer.drain()


def _chunk(choices: list[Body]) -> Body:
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "scripted", "choices": choices}


def _whole(script: Script) -> Body:
    message = {"role": "assistant", "content": "".join(script.words)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 7, "completion_tokens": len(script.words), "total_tokens": 7 + len(script.words)}
    return _chunk([choice]) | {"object": "chat.completion", "usage": usage}


async def _send(writer: asyncio.StreamWriter, status: int, headers: dict[str, str], body: Body) -> None:
    content = json.dumps(body).encode()
    fields = {"content-type": "application/json", "content-length": str(len(content)), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    writer.write(f"HTTP/1.1 {status} Scripted\r\n{head}\r\n".encode() + content)
    await writer.drain()


async def _send_event(writer: asyncio.StreamWriter, body: Body) -> None:
    event = f"data: {json.dumps(body)}\n\n".encode()
    writer.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
    await writer.drain()


@contextlib.asynccontextmanager
async def serve_language_model() -> AsyncIterator[LanguageServer]:
    """A server of its own port for the length of the block; `url` goes into LLM_BASE_URL."""
    language = LanguageServer()
    server = await asyncio.start_server(language.handle, "127.0.0.1", 0)
    language.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield language
    finally:
        server.close()
        language.hang_up()
