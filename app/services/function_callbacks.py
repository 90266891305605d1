"""What runners of functions say, with the token of one call: it is good for that task alone, and as long as it runs."""

from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import UUID

from app.errors import Conflict, InvalidCredentials
from app.events import utc_now
from app.models import UNFINISHED, ProjectFile
from app.permissions import Action, Principal
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.repositories.functions import CallOfTask
from app.schemas.functions import FunctionFailure, FunctionProgress, FunctionResult, FunctionSecretRead
from app.security import function_secrets, has_digest
from app.services.files import FileService, Wish
from app.services.function_calls import path_in
from app.services.projects import require_owner
from app.settings import Settings

NO_DIGEST: Final = bytes(32)
MOST_FILES: Final = 1_000  # that are named in the result


class FunctionCallbackService:
    """All methods raise InvalidCredentials (not the token of this call), and Conflict (the call is over)."""

    def __init__(self, uow: OpenUnitOfWork, settings: Settings, files: FileService) -> None:
        self._uow = uow
        self._settings = settings
        self._files = files

    async def secret(self, actor: Principal, project_id: UUID) -> FunctionSecretRead:
        """What runners verify the project's calls with. Raises NotFound, PermissionDenied."""
        async with self._uow() as uow:
            await require_owner(uow, actor, project_id, Action.MANAGE_PROJECT)
        return FunctionSecretRead(secret=function_secrets(self._settings, project_id)[0])

    async def report(self, task_id: UUID, token: str, said: FunctionProgress) -> None:
        """How far it is; whoever waits for it passes it on."""
        async with self._uow() as uow:
            found = await _running(uow, task_id, token)
            preview = path_in(task_id, found.task.params, said.preview) if said.preview else None
            found.call.report = {"progress": said.progress, "message": said.message, "preview": preview}

    async def complete(self, task_id: UUID, token: str, said: FunctionResult) -> None:
        await self._end(task_id, token, {"result": said.result})

    async def fail(self, task_id: UUID, token: str, said: FunctionFailure) -> None:
        await self._end(task_id, token, {"message": said.message, "retry": said.retry})

    async def deliver(self, task_id: UUID, token: str, path: str, stream: AsyncIterator[bytes]) -> ProjectFile:
        """A file for the folder of the call. Raises PayloadTooLarge, InvalidInput, Conflict, too."""
        async with self._uow() as uow:
            task = (await _running(uow, task_id, token)).task
        wish = Wish(task.project_id, path_in(task_id, task.params, path), by=task.owner_id)
        file = await self._files.deliver(wish, stream)
        async with self._uow() as uow:
            call = (await _running(uow, task_id, token)).call
            if file.path not in call.files and len(call.files) < MOST_FILES:
                call.files = [*call.files, file.path]
        return file

    async def _end(self, task_id: UUID, token: str, outcome: dict[str, Any]) -> None:
        async with self._uow() as uow:
            (await _running(uow, task_id, token)).call.outcome = outcome


async def _running(uow: UnitOfWork, task_id: UUID, token: str) -> CallOfTask:
    """The call, locked. A call that is not there takes as long to refuse as a token that is not good."""
    found = await uow.functions.lock(task_id)
    is_good = has_digest(token, found.call.token_digest if found else NO_DIGEST)
    if found is None or not is_good:
        raise InvalidCredentials("This is not the token of a call of this task.")
    is_over = found.task.status not in UNFINISHED or found.task.cancel_requested
    if is_over or found.call.outcome is not None or found.call.expires_at <= utc_now():
        raise Conflict("The call is over: nothing more is taken.", task_id=str(task_id), status=found.task.status)
    return found
