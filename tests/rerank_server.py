"""A reranker's stand-in on a real socket: a passage scores the words that it shares with the query."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class RerankServer:
    """`asked` holds the headers and the body of each request."""

    url: str = ""
    asked: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@asynccontextmanager
async def rerank_server(dialect: str = "cohere") -> AsyncIterator[RerankServer]:
    server = RerankServer()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):  # a client that waits no longer
            await converse(reader, writer)
        writer.close()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        server.asked.append((headers, body))
        if dialect == "slow":
            await asyncio.sleep(1)
        status, answer = _answer(dialect, json.loads(body))
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(answer)}\r\nConnection: close\r\n\r\n".encode())
        writer.write(answer)
        await writer.drain()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        yield server


def _answer(dialect: str, asked: dict) -> tuple[int, bytes]:
    if dialect == "error":
        return 500, b"{}"
    if dialect == "broken":
        return 200, b'{"results": [{"index": "no'
    words = set(asked["query"].lower().split())
    scores = [len(words & set(text.lower().rstrip(".").split())) / 10 for text in asked["documents"]]
    name = "score" if dialect == "tei" else "relevance_score"
    rows = [{"index": index, name: score} for index, score in sorted(enumerate(scores), key=lambda row: -row[1])]
    rows = rows[:1] if dialect == "too few" else rows
    return 200, json.dumps(rows if dialect == "tei" else {"results": rows}).encode()
