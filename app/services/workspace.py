"""The services around one project: itself, its state, its files, who is told of it."""

from dataclasses import dataclass

from app.foundation import Foundation
from app.realtime.hub import Hub
from app.realtime.project_state import ProjectStates
from app.repositories import OpenUnitOfWork
from app.security import make_cipher
from app.services.blobs import BlobService
from app.services.deliveries import DeliveryService
from app.services.exports import ExportService
from app.services.files import FileService
from app.services.mails import MailService
from app.services.memory_exports import MemoryExportService
from app.services.project_states import ProjectStateService
from app.services.projects import ProjectService
from app.services.task_history import TaskHistory
from app.services.webhooks import WebhookService


@dataclass(frozen=True, slots=True)
class Workspace:
    deliveries: DeliveryService
    exports: ExportService
    files: FileService
    projects: ProjectService
    states: ProjectStateService
    task_history: TaskHistory
    webhooks: WebhookService


def build_workspace(
    foundation: Foundation, uow: OpenUnitOfWork, hub: Hub, blobs: BlobService, mails: MailService
) -> Workspace:
    settings = foundation.settings
    states = ProjectStates(foundation.redis, prefix=settings.redis.prefix)
    sender, cipher = foundation.webhook_sender, make_cipher(settings)
    return Workspace(
        deliveries=DeliveryService(uow, settings.webhook, sender=sender, cipher=cipher, mails=mails),
        exports=ExportService(uow, blobs, states, MemoryExportService(uow, blobs)),
        files=FileService(uow, blobs, foundation.pictures, settings.project),
        projects=ProjectService(uow, states),
        states=ProjectStateService(uow, states, hub, settings.project),
        task_history=TaskHistory(uow),
        webhooks=WebhookService(uow, settings.webhook, sender=sender, cipher=cipher),
    )
