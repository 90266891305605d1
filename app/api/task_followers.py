"""One task as Server-Sent Events: the log and the frames of its project, of which only the task's are sent."""

import asyncio
import json
from typing import Any, ClassVar, Final, Literal
from uuid import UUID

from fastapi import status
from starlette.responses import Response
from starlette.types import Receive, Send

from app.api.deps import Actor, ResourcesDep, ServicesDep
from app.api.followers import PING, SILENCE, STREAM, AfterSeq, LastEventId, RoomStream, send_piece
from app.api.routing import Router
from app.events import Welcome
from app.models import Task
from app.permissions import Principal
from app.realtime.channels import Listener
from app.resources import Resources
from app.services.sessions import person_of
from app.services.task_history import History, is_ending

router = Router(prefix="/tasks/{task_id}", tags=["tasks"])

TASK_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    **STREAM,
    204: {"description": "It is over, and you were told: do not come back"},
}


@router.get("/events", response_class=Response, responses=TASK_STREAM)
async def follow_task_events(
    actor: Actor,
    services: ServicesDep,
    resources: ResourcesDep,
    task_id: UUID,
    after_seq: AfterSeq = None,
    last_event_id: LastEventId = None,
) -> Response:
    """Follow a task from its beginning to its end, or from where you were; the stream ends with the task.

    Begins with a `welcome`, whose `active_tasks` say how far it is; then what was told of it, then live.
    """
    seen = after_seq if last_event_id is None else last_event_id
    return _answer(actor, await services.workspace.task_history.read(actor, task_id, after_seq=seen), resources, seen)


def _answer(actor: Principal, history: History, resources: Resources, seen: int | None) -> Response:
    """204 is how browsers are told not to come back (HTML, section 9.2.3)."""
    if history.is_over and not history.frames:
        return Response(status_code=status.HTTP_204_NO_CONTENT)
    return TaskStream(actor, history.task, resources, seen)


class TaskEnded(Exception):
    """All was said."""


class TaskStream(RoomStream):
    _channel_name: ClassVar[Literal["session_id", "project_id"]] = "project_id"

    def __init__(self, actor: Principal, task: Task, resources: Resources, after_seq: int | None) -> None:
        super().__init__(actor, task.project_id, resources, after_seq)
        self._task_id = task.id
        self._mark = f'"task_id":"{task.id}"'
        self._ends_at = 0  # with the first end of the task that has this number, or a later one

    async def _follow(self, listener: Listener, receive: Receive, send: Send) -> None:
        """Asks again what was told, now that nothing new is missed; here, where no client that leaves cancels it."""
        services = self._resources.services
        self._history = await services.workspace.task_history.read(
            self._actor, self._task_id, after_seq=self._after_seq
        )
        self._active = await services.tasks.active_in(self._channel_id)
        try:
            await super()._follow(listener, receive, send)
        except TaskEnded:
            return

    async def _begin(self, listener: Listener) -> None:
        hub, history = self._resources.hub, self._history
        last_seq = listener.last_seq
        recovered = self._after_seq is None or await hub.can_replay(listener, self._after_seq)
        first = history.frames[0].seq or 1 if history.frames else last_seq + 1
        start = min(first - 1, last_seq) if self._after_seq is None else min(self._after_seq, last_seq)
        self._after_seq = start
        listener.send(
            Welcome(
                project_id=self._channel_id,
                you=person_of(self._actor),
                participants=(),
                last_seq=last_seq,
                recovered=recovered,
                active_tasks=[state for state in self._active if state.task_id == self._task_id],
            )
        )
        if history.is_over:
            self._ends_at = history.frames[-1].seq or 0 if history.frames else 0
            for frame in history.frames:
                await listener.outbox.put_paced(frame.text)
        else:
            self._ends_at = last_seq + 1  # an end before that was one that it was queued again after
            await hub.follow(listener, start)

    async def _write(self, listener: Listener, send: Send) -> None:
        clock = asyncio.get_running_loop().time
        silent_since = clock()
        while True:
            try:
                async with asyncio.timeout_at(silent_since + SILENCE):
                    text = await listener.outbox.take()
            except TimeoutError:
                await send_piece(send, PING)
                silent_since = clock()
                continue
            frame = json.loads(text) if self._mark in text or text.startswith('{"type":"welcome"') else {}
            if frame.get("type") != "welcome" and frame.get("task_id") != str(self._task_id):
                continue
            await send_piece(send, self._encoded(text))
            silent_since = clock()
            if is_ending(text) and frame.get("seq", 0) >= self._ends_at:
                raise TaskEnded
