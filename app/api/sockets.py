"""The WebSocket door: accept, authenticate, carry frames in both directions, close with the contract's codes."""

import asyncio
import itertools
from contextlib import suppress
from typing import Any
from uuid import UUID

import structlog
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.api.callers import Caller
from app.api.conversations import Conversation, ProjectConversation, RoomConversation
from app.api.errors import is_dependency_down
from app.api.limits import check_opening, note_failure
from app.api.measured_commands import CommandOutcome, measured_command
from app.api.routing import Router
from app.commands import Authenticate, ClientId
from app.errors import (
    AppError,
    BadRequest,
    InvalidCredentials,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    PermissionDenied,
    RateLimited,
    ServiceUnavailable,
)
from app.events import ErrorOccurred
from app.permissions import Action, Principal, may
from app.rates import Budget
from app.realtime.cancellation import cancel_until_done
from app.realtime.channels import Listener
from app.realtime.outbox import PREPARED_FRAMES, CloseCode, CutOff, Sink
from app.resources import Resources
from app.services.callers import Credentials

log = structlog.get_logger(__name__)

router = Router()

PROTOCOL = "hearth.v1"
FRAMES_PER_TURN = 32
MOST_REFUSALS = 20  # frames in a row that came too fast, before the connection is closed
CLOSE_PATIENCE = 10.0  # seconds in which a slow reader may still come to the close frame; nobody waits for it
INTERNAL_ERROR = 1011
CLOSE_CODES = {
    401: CloseCode.NOT_AUTHENTICATED,
    403: CloseCode.NOT_ALLOWED,
    404: CloseCode.NO_SUCH_ROOM,
    409: CloseCode.ROOM_FULL,
    429: CloseCode.TOO_MANY_MESSAGES,
    503: CloseCode.TRY_AGAIN_LATER,
}

authenticate: TypeAdapter[Authenticate] = TypeAdapter(Authenticate)


class Identified(BaseModel):
    """A frame whose sender wants to know what became of it."""

    client_id: ClientId


async def follow_room(socket: WebSocket) -> None:
    """Be in a room."""
    await Door(socket).open(socket.path_params["session_id"], may_be_project=False)


async def follow_channel(socket: WebSocket) -> None:
    """Be in a room, or follow a project's tasks."""
    await Door(socket).open(socket.path_params["channel_id"], may_be_project=True)


# Without the framework's dependencies: what they keep for each open connection is a tenth of all that it costs.
router.add_websocket_route("/ws/chat/{session_id}", follow_room)
router.add_websocket_route("/ws/{channel_id}", follow_channel)


class Door:
    """One socket from the handshake to the end."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._caller = Caller.of(socket)
        self._resources: Resources = socket.app.state.resources

    async def open(self, channel_id: str, *, may_be_project: bool) -> None:
        """Serve the connection. It is accepted first, since browsers see close codes of open sockets alone."""
        offered = self._socket.scope.get("subprotocols", ())
        await self._socket.accept(subprotocol=PROTOCOL if PROTOCOL in offered else None)
        code: int = CloseCode.RESTARTING
        try:
            await self._follow(_parse_id(channel_id), may_be_project=may_be_project)
        except WebSocketDisconnect:
            return
        except CutOff as cut_off:
            code = cut_off.code
        except AppError as error:
            code = await self._refuse(error)
        except Exception as error:
            if not is_dependency_down(error):
                log.exception("socket.failed")
                code = INTERNAL_ERROR
            else:
                code = await self._refuse(ServiceUnavailable("The service is not available. Please try again."))
        await self._close(code)

    async def _follow(self, channel_id: UUID, *, may_be_project: bool) -> None:
        after_seq = _parse_seq(self._socket.query_params.get("after_seq"))
        actor = await self._principal()
        if not may(actor, Action.READ_ROOM):
            raise PermissionDenied("This API key lacks the scope `read`.")
        services = self._resources.services
        try:
            async with (
                services.sessions.presence(actor, channel_id),
                self._resources.hub.attach(channel_id) as listener,
            ):
                await self._converse(actor, RoomConversation(actor, channel_id, listener, self._resources), after_seq)
        except NotFound:
            if not may_be_project or actor.is_guest:
                raise
            await services.projects.get(actor, channel_id)
            async with self._resources.hub.attach(channel_id) as listener:
                project = ProjectConversation(actor, channel_id, listener, self._resources)
                await self._converse(actor, project, after_seq)

    async def _principal(self) -> Principal:
        """Whoever the handshake's credentials stand for, or those of a first frame."""
        limits = self._resources.services.limits
        await check_opening(self._socket, self._caller, limits)
        try:
            return await self._caller.principal()
        except NotAuthenticated:
            pass
        patience = self._resources.settings.realtime.authenticate_timeout.total_seconds()
        try:
            async with asyncio.timeout(patience):
                frame = authenticate.validate_json(await self._receive() or "")
        except (TimeoutError, ValidationError) as error:
            raise NotAuthenticated("Send credentials, or an `authenticate` frame first.") from error
        try:
            actor = await self._resources.services.callers.identify(
                Credentials(bearer=frame.token, is_at_the_door=True)
            )
        except InvalidCredentials:
            await note_failure(self._socket, limits)
            raise
        await limits.take_one(Budget.REQUESTS, actor)
        return actor

    async def _converse(self, actor: Principal, conversation: Conversation, after_seq: int | None) -> None:
        """One task reads; frames are written by whoever has them, or by a task where the server has no sink for them.

        The connection ends with the first task, or when it is cut off: a writer that is stuck in a socket nobody reads
        cannot notice that by itself.
        """
        outbox = conversation.listener.outbox
        tasks = [asyncio.create_task(self._read(actor, conversation, after_seq))]
        sink: Sink | None = self._socket.scope.get("extensions", {}).get(PREPARED_FRAMES)
        if sink is not None:
            outbox.pour_into(sink)
        else:
            tasks.append(asyncio.create_task(self._write(conversation.listener)))
        try:
            with self._resources.visits.stay(actor, conversation.listener.channel.id, outbox):
                waited_for: list[asyncio.Future[Any]] = [*tasks, outbox.end]
                await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)
            if outbox.end.done():
                raise CutOff(outbox.end.result())
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            await cancel_until_done(tasks)

    async def _write(self, listener: Listener) -> None:
        while True:
            await self._socket.send_text(await listener.outbox.take())

    async def _read(self, actor: Principal, conversation: Conversation, after_seq: int | None) -> None:
        await conversation.begin(after_seq)
        limits = self._resources.services.limits
        of_connection = limits.of_connection()
        refusals = 0
        for number in itertools.count():
            text = await self._receive()
            if number % FRAMES_PER_TURN == 0:
                await asyncio.sleep(0)  # frames that came together are taken without a pause, and writers need theirs
            try:
                if of_connection is not None:
                    of_connection.take_one()
                await limits.take_one(Budget.MESSAGES, actor)
                refusals = 0
                await _carry_out(conversation, text)
            except RateLimited as error:
                refusals += 1
                if refusals > MOST_REFUSALS:
                    raise
                conversation.complain(_about(text, error))

    async def _receive(self) -> str | None:
        """The next frame's text; None for a binary one."""
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1006))
        text: str | None = message.get("text")
        return text

    async def _refuse(self, error: AppError) -> int:
        """Say why, before the connection ends; returns the code it ends with."""
        event = ErrorOccurred(error_code=error.code, message=error.message, details=error.details)
        with suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
            async with asyncio.timeout(CLOSE_PATIENCE):
                await self._socket.send_text(event.model_dump_json())
        return CLOSE_CODES.get(error.status, CloseCode.BAD_MESSAGE)

    async def _close(self, code: int) -> None:
        with suppress(WebSocketDisconnect, RuntimeError, TimeoutError):  # it may be stuck, or gone
            async with asyncio.timeout(CLOSE_PATIENCE):
                await self._socket.close(code)


async def _carry_out(conversation: Conversation, text: str | None) -> None:
    """Do what a frame says. A bad one is answered with an `error` event, and the connection lives on."""
    if text is None:
        conversation.complain(BadRequest("Frames are JSON texts, not binary."))
        return
    with measured_command(text) as outcome:
        await _try_to_carry_out(conversation, text, outcome)


async def _try_to_carry_out(conversation: Conversation, text: str, outcome: CommandOutcome) -> None:
    try:
        await conversation.carry_out(text)
    except ValidationError as error:
        outcome.is_refused = True
        conversation.complain(_about(text, _bad_frame(error)))
    except (RateLimited, CutOff, WebSocketDisconnect):
        raise
    except AppError as error:
        outcome.is_refused = True
        conversation.complain(_about(text, error))
    except Exception as error:
        if not is_dependency_down(error):
            log.exception("socket.command_failed")
            raise
        outcome.is_refused = True
        away = ServiceUnavailable("The service is not available at the moment. Please try again.")
        conversation.complain(_about(text, away))


def _about(text: str | None, error: AppError) -> AppError:
    """The same, with the `client_id` of the frame that was refused, so that its sender knows which one it was."""
    with suppress(ValidationError):
        error.details["client_id"] = Identified.model_validate_json(text or "").client_id
    return error


def _bad_frame(error: ValidationError) -> AppError:
    problems = [{"loc": list(e["loc"]), "msg": e["msg"], "type": e["type"]} for e in error.errors(include_url=False)]
    return BadRequest("This is no frame of the protocol.", errors=problems)


def _parse_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise NotFound("There is no room or project with this id.") from error


def _parse_seq(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InvalidInput("after_seq is a number from 0 on.", field="after_seq")
    return int(text)
