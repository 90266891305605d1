"""Server-Sent Events, as https://html.spec.whatwg.org/multipage/server-sent-events.html has them."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    name: str
    data: str
    id: str

    def json(self) -> Any:
        return json.loads(self.data)


async def read_events(lines: AsyncIterator[str]) -> AsyncIterator[ServerSentEvent]:
    """The events of a response's lines. Comments are passed over."""
    name, last_id = "message", ""
    data: list[str] = []
    async for line in lines:
        if not line:
            if data:
                yield ServerSentEvent(name, "\n".join(data), last_id)
            name, data = "message", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "event":
            name = value
        elif field == "id":
            last_id = value
