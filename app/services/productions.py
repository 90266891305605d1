"""The services behind the kinds of work that people start."""

from dataclasses import dataclass

from app.foundation import Foundation
from app.repositories import OpenUnitOfWork
from app.services.digests import DigestService
from app.services.indexing import RenewalService
from app.services.limits import LimitService
from app.services.project_exports import ProjectExportService
from app.services.reembedding import ReembeddingService
from app.services.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Productions:
    digests: DigestService
    project_exports: ProjectExportService
    reembedding: ReembeddingService


def build_productions(
    foundation: Foundation, uow: OpenUnitOfWork, limits: LimitService, renewal: RenewalService, workspace: Workspace
) -> Productions:
    return Productions(
        digests=DigestService(uow, foundation.llm, limits),
        project_exports=ProjectExportService(uow, workspace.exports, workspace.files),
        reembedding=ReembeddingService(uow, renewal),
    )
