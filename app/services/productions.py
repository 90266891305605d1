"""The services behind the kinds of work that people start."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.foundation import Foundation
from app.realtime.previews import TaskPreviews
from app.repositories import OpenUnitOfWork
from app.services.digests import DigestService
from app.services.function_callbacks import FunctionCallbackService
from app.services.function_calls import FunctionCallService
from app.services.indexing import RenewalService
from app.services.limits import LimitService
from app.services.pictures import PictureService
from app.services.project_exports import ProjectExportService
from app.services.reembedding import ReembeddingService
from app.services.task_catalogue import CALL_FUNCTION, IMAGE_TO_IMAGE, TEXT_TO_IMAGE
from app.services.task_types import Require
from app.services.vector_mirror import VectorMirror
from app.services.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Productions:
    digests: DigestService
    function_callbacks: FunctionCallbackService
    function_calls: FunctionCallService
    pictures: PictureService
    project_exports: ProjectExportService
    reembedding: ReembeddingService
    renewal: RenewalService
    vector_mirror: VectorMirror

    @property
    def requirements(self) -> Mapping[str, Require]:
        """What has to be there for work of a type, before it is queued."""
        return {
            CALL_FUNCTION.name: self.function_calls.require_acceptable,
            IMAGE_TO_IMAGE.name: self.pictures.require_server,
            TEXT_TO_IMAGE.name: self.pictures.require_server,
        }


def build_productions(
    foundation: Foundation, uow: OpenUnitOfWork, limits: LimitService, renewal: RenewalService, workspace: Workspace
) -> Productions:
    settings = foundation.settings
    previews = TaskPreviews(foundation.redis, prefix=settings.redis.prefix)
    return Productions(
        digests=DigestService(uow, foundation.llm, limits),
        function_callbacks=FunctionCallbackService(uow, settings, workspace.files),
        function_calls=FunctionCallService(uow, settings, foundation.function_sender),
        pictures=PictureService(
            uow, foundation.images, workspace.files, foundation.pictures, previews, settings.images
        ),
        project_exports=ProjectExportService(uow, workspace.exports, workspace.files),
        reembedding=ReembeddingService(uow, renewal),
        renewal=renewal,
        vector_mirror=VectorMirror(uow, foundation.vectors, foundation.embedder),
    )
