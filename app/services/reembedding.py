"""Makes the vectors and words of a project's passages anew, document by document; searches go on with what is there."""

from collections.abc import Mapping
from typing import Any, Final

from app.models import DocumentStatus
from app.repositories import OpenUnitOfWork
from app.services.indexing import RenewalService
from app.services.running_tasks import RunningTask

STEP: Final = "renewed"


class ReembeddingService:
    def __init__(self, uow: OpenUnitOfWork, renewal: RenewalService) -> None:
        self._uow = uow
        self._renewal = renewal

    async def reembed_project(self, task: RunningTask) -> Mapping[str, Any]:
        """Whoever goes on after a crash begins with the first document that is not done.

        Raises:
            ServiceUnavailable: a model does not work.
            TaskLost: another worker goes on with it.
        """
        async with self._uow() as uow:
            found = await uow.documents.list_ids(task.project_id, status=DocumentStatus.READY)
        done: dict[str, Any] = task.result_of(STEP) or {"after": "", "documents": 0, "passages": 0}
        left = [document_id for document_id in sorted(found) if str(document_id) > done["after"]]
        for number, document_id in enumerate(left):
            await task.progress(number / len(left), f"document {number + 1} of {len(left)}")
            passages = await self._renewal.renew_document(document_id, in_transaction=task.hold)
            counts = {"documents": done["documents"] + 1, "passages": done["passages"] + passages}
            async with self._uow() as uow:
                await task.finish_step(uow, STEP, {"after": str(document_id), **counts})
            done = task.result_of(STEP)
        return {"documents": done["documents"], "passages": done["passages"]}
