"""Puts what a message asks to remember among its author's candidates."""

from collections.abc import Mapping
from typing import Any, ClassVar

from app.schemas.tasks import NoteCandidateParams
from app.services.candidates import CandidateService
from app.services.running_tasks import RunningTask
from app.services.task_catalogue import NOTE_CANDIDATE
from app.services.task_types import TaskType


class NoteCandidate:
    kind: ClassVar[TaskType] = NOTE_CANDIDATE

    def __init__(self, candidates: CandidateService) -> None:
        self._candidates = candidates

    async def process(self, task: RunningTask, params: NoteCandidateParams) -> Mapping[str, Any]:  # noqa: ARG002 - a handler's form
        return await self._candidates.note(params.session_id, params.message_id)
