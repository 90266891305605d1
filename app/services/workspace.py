"""The services around one project: itself, its state, its files, who is told of it."""

from dataclasses import dataclass

from app.foundation import Foundation
from app.realtime.hub import Hub
from app.realtime.project_state import ProjectStates
from app.repositories import OpenUnitOfWork
from app.services.blobs import BlobService
from app.services.exports import ExportService
from app.services.files import FileService
from app.services.project_states import ProjectStateService
from app.services.projects import ProjectService


@dataclass(frozen=True, slots=True)
class Workspace:
    exports: ExportService
    files: FileService
    projects: ProjectService
    states: ProjectStateService


def build_workspace(foundation: Foundation, uow: OpenUnitOfWork, hub: Hub, blobs: BlobService) -> Workspace:
    settings = foundation.settings
    states = ProjectStates(foundation.redis, prefix=settings.redis.prefix)
    return Workspace(
        exports=ExportService(uow, blobs),
        files=FileService(uow, blobs, settings.project),
        projects=ProjectService(uow, states),
        states=ProjectStateService(uow, states, hub, settings.project),
    )
