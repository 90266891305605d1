"""Rooms as Server-Sent Events, for clients without WebSockets: the same log, the same frames, the same promises."""

import asyncio
import json
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Final, Literal, Protocol
from uuid import UUID

from fastapi import Header, Query
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api.conversations import RoomConversation
from app.api.deps import ResourcesDep, RoomActor, ServicesDep
from app.api.routing import Router
from app.commands import MessageNumber
from app.events import ErrorOccurred
from app.permissions import Principal
from app.realtime.cancellation import cancel_until_done
from app.realtime.channels import Listener
from app.realtime.outbox import CloseCode, CutOff
from app.resources import Resources

router = Router(prefix="/chat/{session_id}", tags=["rooms"])

WIRE: Final = "hearth.wire"
"""Under this name a request's scope has its `Wire` among the extensions, where the server offers one."""
SILENCE: Final = 15.0  # seconds, then a comment is sent, which keeps proxies from hanging up
PING: Final = b": ping\n\n"
DEAD_AFTER: Final = timedelta(seconds=20)  # without a sign that what was sent arrives; at most 15 s after it is gone
LAST_WORDS: Final = 1.0  # seconds for the last event of a stream that the server ends
HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"connection", b"close"),
    (b"x-accel-buffering", b"no"),  # for proxies that would hold events back
]
REASONS: Final = {
    CloseCode.TOO_SLOW: "You read too slowly. Come back with Last-Event-ID: nothing is lost.",
    CloseCode.RESTARTING: "The server restarts. Come back with Last-Event-ID: nothing is lost.",
    CloseCode.NOT_AUTHENTICATED: "Your credentials have ended.",
    CloseCode.NOT_ALLOWED: "This room is closed.",
    CloseCode.NO_SUCH_ROOM: "This room is not there for you any more.",
}
STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The frames of the WebSocket.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}
LastEventId = Annotated[
    MessageNumber | None,
    Header(alias="Last-Event-ID", description="Browsers send it when they come back; stronger than `after_seq`."),
]
AfterSeq = Annotated[
    MessageNumber | None, Query(description="Begin with what came after this number; with what comes now otherwise.")
]


class Wire(Protocol):
    """What a server may offer of the connection below a stream."""

    on_stop: Any  # is called when the server stops, and waits for streams to end

    def watch(self, patience: timedelta) -> None: ...

    def abort(self) -> None: ...


@router.get("/events", response_class=Response, responses=STREAM)
async def follow_room_events(
    actor: RoomActor,
    services: ServicesDep,
    resources: ResourcesDep,
    session_id: UUID,
    after_seq: AfterSeq = None,
    last_event_id: LastEventId = None,
) -> Response:
    """Follow a room without a WebSocket. Durable events have their `seq` as id; followers are no participants."""
    await services.sessions.require_open(actor, session_id)
    return RoomStream(actor, session_id, resources, after_seq if last_event_id is None else last_event_id)


class RoomStream(Response):
    """One follower, from the welcome until either side ends it."""

    _channel_name: ClassVar[Literal["session_id", "project_id"]] = "session_id"  # what frames call the channel

    def __init__(self, actor: Principal, channel_id: UUID, resources: Resources, after_seq: int | None) -> None:
        super().__init__()
        self._actor = actor
        self._channel_id = channel_id
        self._resources = resources
        self._after_seq = after_seq

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wire: Wire | None = scope.get("extensions", {}).get(WIRE)
        async with self._resources.hub.attach(self._channel_id) as listener:
            await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            if wire is not None:
                wire.watch(DEAD_AFTER)
                wire.on_stop = lambda: listener.outbox.cut_off(CloseCode.RESTARTING)
            try:
                with self._resources.visits.stay(self._actor, self._channel_id, listener.outbox):
                    await self._follow(listener, receive, send)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            except CutOff as cut_off:
                if not await self._explain(cut_off.code, send) and wire is not None:
                    wire.abort()
                    await _disconnect(receive)
            finally:
                if wire is not None:
                    wire.on_stop = None

    async def _follow(self, listener: Listener, receive: Receive, send: Send) -> None:
        """Until the client leaves. A write that is stuck, since nobody reads, cannot notice its end by itself.

        Raises:
            CutOff: the server ends it.
        """
        writing = asyncio.create_task(self._write(listener, send))
        beginning = asyncio.create_task(self._begin(listener))
        leaving = asyncio.create_task(_disconnect(receive))
        end = listener.outbox.end
        waited_for: set[asyncio.Future[Any]] = {writing, beginning, leaving, end}
        try:
            while not leaving.done():
                done, waited_for = await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)
                if end in done:
                    raise CutOff(end.result())
                for task in done:
                    task.result()
        finally:
            await cancel_until_done([writing, beginning, leaving])

    async def _begin(self, listener: Listener) -> None:
        """Welcome, then what was missed, then live."""
        conversation = RoomConversation(self._actor, self._channel_id, listener, self._resources)
        await conversation.begin(self._after_seq)

    async def _write(self, listener: Listener, send: Send) -> None:
        while True:
            try:
                async with asyncio.timeout(SILENCE):
                    text = await listener.outbox.take()
            except TimeoutError:
                await send_piece(send, PING)
            else:
                await send_piece(send, self._encoded(text))

    def _encoded(self, text: str) -> bytes:
        """A welcome has the number that it stands at as its id: whoever hears nothing else comes back with that."""
        frame = json.loads(text)
        seq = frame.get("seq")
        if frame["type"] == "welcome":
            last_seq = frame["last_seq"]
            seq = last_seq if self._after_seq is None else min(self._after_seq, last_seq)
        number = "" if seq is None else f"id: {seq}\n"
        return f"{number}event: {frame['type']}\ndata: {text}\n\n".encode()

    async def _explain(self, code: CloseCode, send: Send) -> bool:
        """End the stream and say why; False for a client that reads nothing, and so cannot be told."""
        event = ErrorOccurred(
            **{self._channel_name: self._channel_id},
            error_code=code.name,
            message=REASONS.get(code, "The stream has ended."),
            details={"close_code": int(code)},
        )
        try:
            async with asyncio.timeout(LAST_WORDS):
                await send_piece(send, self._encoded(event.model_dump_json()))
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            return False
        return True


async def send_piece(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
