"""Puts what a message asks to remember among its author's candidates."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from pydantic import BaseModel

from app.schemas.tasks import NoteCandidateParams
from app.services.candidates import CandidateService
from app.services.execution import RunningTask
from app.services.remembering import NOTE_CANDIDATE


class NoteCandidate:
    task_type: ClassVar[str] = NOTE_CANDIDATE
    params: ClassVar[type[BaseModel]] = NoteCandidateParams
    concurrency: ClassVar[int] = 4
    timeout: ClassVar[timedelta] = timedelta(minutes=1)

    def __init__(self, candidates: CandidateService) -> None:
        self._candidates = candidates

    async def process(self, task: RunningTask, params: NoteCandidateParams) -> Mapping[str, Any]:  # noqa: ARG002
        return await self._candidates.note(params.session_id, params.message_id)
