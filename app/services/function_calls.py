"""Calls functions at runners outside, and waits for what these say with the token that they are given.

A call is signed as webhooks are. Whoever goes on after a crash does not call again what the runner has accepted; a call
whose answer was lost is made anew, with another token, and the one of before is void.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

from app.adapters.fetching import acceptable_url
from app.adapters.webhook_sender import Outcome, WebhookSender
from app.errors import AppError, InvalidInput, ServiceUnavailable
from app.events import utc_now
from app.gathering import Gathering
from app.models import FunctionCall
from app.repositories import OpenUnitOfWork
from app.schemas.files import normal_path
from app.schemas.functions import CallFunctionParams
from app.security import SecretKind, digest_of, function_secrets, make_secret, sign_webhook
from app.services.running_tasks import RunningTask, TaskLost
from app.settings import Settings

FOLDER: Final = "functions"
LOOK_EVERY: Final = 0.5  # seconds; one question for all calls that are waited for here
MOST_AT_ONCE: Final = 1_000
PAYS_TO_WAIT: Final = (408, 425, 429)


class FunctionFailed(AppError):
    """The runner said so, and that another call would not go better."""

    status, code = 409, "FUNCTION_FAILED"


class FunctionTimedOut(AppError):
    """The runner has not come back; calling it again would take as long."""

    status, code = 409, "FUNCTION_TIMED_OUT"


class FunctionCallService:
    def __init__(self, uow: OpenUnitOfWork, settings: Settings, sender: WebhookSender) -> None:
        self._uow = uow
        self._settings = settings
        self._sender = sender
        self._calls: Gathering[UUID, FunctionCall | None] = Gathering(self._list, most=MOST_AT_ONCE)

    @property
    def concurrency(self) -> int:
        """How many one worker waits for; each takes one of its places as long as that lasts."""
        return self._settings.function.concurrency

    def require_acceptable(self, params: CallFunctionParams) -> None:
        """Raises InvalidInput: no such URL is called, or it may not take as long."""
        acceptable_url(params.url, self._settings.function.ports)
        longest = int(self._settings.function.longest.total_seconds())
        if params.timeout_seconds > longest:
            raise InvalidInput(f"At most {longest:,} seconds.", field="params.timeout_seconds")

    async def call(self, task: RunningTask, params: CallFunctionParams) -> Mapping[str, Any]:
        """What the function came to, and the files that it delivered.

        Raises:
            InvalidInput: the URL is not acceptable, or leads to a network that is not public.
            FunctionFailed, FunctionTimedOut
            ServiceUnavailable: the runner cannot be reached, or wants to be called again.
            TaskLost: another worker goes on with it.
        """
        call = await self._calls.ask(task.id)
        if call is None or not call.is_accepted:
            call = await self._begin(task, params)
        left = (call.expires_at - utc_now()).total_seconds()
        try:
            async with asyncio.timeout(max(left, 0)):
                call = await self._wait(task, call.number)
        except TimeoutError as error:
            await self._give_up(task, call.number)
            raise FunctionTimedOut(
                f"The runner did not come back within {params.timeout_seconds:,} seconds."
            ) from error
        said: dict[str, Any] = call.outcome or {}
        if "result" in said:
            return {"output": said["result"], "files": call.files}
        await self._give_up(task, call.number)
        failed = ServiceUnavailable if said.get("retry") else FunctionFailed
        raise failed(str(said.get("message")))

    async def _begin(self, task: RunningTask, params: CallFunctionParams) -> FunctionCall:
        """Call it; what is returned is waited for."""
        self.require_acceptable(params)
        await self._sender.require_reachable(params.url)
        token = make_secret(SecretKind.CALLBACK)
        expires_at = utc_now() + timedelta(seconds=params.timeout_seconds)
        async with task.transaction() as uow:
            call = await uow.functions.open(task.id, token_digest=digest_of(token), expires_at=expires_at)
        await task.progress(0.0, "calling the function")
        outcome = await self._post(task, params, call, token)
        if not outcome.is_success:
            latest = await self._calls.ask(task.id)
            if latest is not None and latest.outcome is not None:
                return latest  # it came back before it answered
            raise _refusal(outcome)
        async with task.transaction() as uow:
            await uow.functions.set_accepted(task.id, call.number, is_accepted=True)
        await task.progress(0.0, "the function runs")
        return call

    async def _post(self, task: RunningTask, params: CallFunctionParams, call: FunctionCall, token: str) -> Outcome:
        now = utc_now()
        told = {
            "type": "function.call",
            "timestamp": now.isoformat().replace("+00:00", "Z"),
            "data": {
                "task_id": str(task.id),
                "project_id": str(task.project_id),
                "function": params.function,
                "input": params.input,
                "expires_at": call.expires_at.isoformat().replace("+00:00", "Z"),
                "callback": {"url": f"{self._settings.links_to}/api/v1/function-calls/{task.id}", "token": token},
            },
        }
        body = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
        message_id, timestamp = f"{task.id}.{call.number}", int(now.timestamp())
        signature = sign_webhook(function_secrets(self._settings, task.project_id), message_id, timestamp, body)
        headers = {"webhook-id": message_id, "webhook-timestamp": str(timestamp), "webhook-signature": signature}
        return await self._sender.send(params.url, body, headers)

    async def _wait(self, task: RunningTask, number: int) -> FunctionCall:
        """The call with its outcome; meanwhile what the runner reports is passed on. Raises TaskLost."""
        report = None
        while True:
            call = await self._calls.ask(task.id)
            if call is None or call.number != number:
                raise TaskLost
            if call.outcome is not None:
                return call
            if call.report is not None and call.report != report:
                report = call.report
                preview_url = _preview_url(task.project_id, report["preview"])
                await task.progress(report["progress"], report["message"], preview_url=preview_url)
            await asyncio.sleep(LOOK_EVERY)

    async def _give_up(self, task: RunningTask, number: int) -> None:
        """Another attempt, if there is one, calls again."""
        async with task.transaction() as uow:
            await uow.functions.set_accepted(task.id, number, is_accepted=False)

    async def _list(self, task_ids: Sequence[UUID]) -> Sequence[FunctionCall | None]:
        async with self._uow() as uow:
            found = {call.task_id: call for call in await uow.functions.list(task_ids)}
        return [found.get(task_id) for task_id in task_ids]


def folder_of(task_id: UUID, params: Mapping[str, Any]) -> str:
    """Where the files of a call go."""
    return str(params.get("folder") or f"{FOLDER}/{task_id}")


def path_in(task_id: UUID, params: Mapping[str, Any], path: str) -> str:
    """Raises InvalidInput: it is too long, or too deep."""
    try:
        return normal_path(f"{folder_of(task_id, params)}/{path}")
    except ValueError as error:
        raise InvalidInput(f"The path {error}.", field="path") from error


def _preview_url(project_id: UUID, path: str | None) -> str | None:
    return f"/api/v1/projects/{project_id}/previews/{quote(path)}" if path else None


def _refusal(outcome: Outcome) -> AppError:
    if outcome.status is None:
        return ServiceUnavailable(f"The runner of the function does not answer. {outcome.error or ''}".strip())
    message = f"The runner of the function answered with status {outcome.status}."
    if outcome.status >= 500 or outcome.status in PAYS_TO_WAIT:
        return ServiceUnavailable(message, status=outcome.status)
    return FunctionFailed(message, status=outcome.status, answer=outcome.excerpt)
