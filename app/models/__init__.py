"""The tables. Importing this package registers all of them."""

from app.models.base import Base, Model
from app.models.documents import Chunk, ChunkDraft, Document, DocumentStatus, DocumentText, DocumentTextDraft
from app.models.events import Channel, EventRow
from app.models.idempotency import IdempotentRequest
from app.models.projects import Member, Project
from app.models.sessions import Invite, Message, Participant, Session, SpiritMode
from app.models.tasks import UNFINISHED, Task, TaskStatus
from app.models.users import APIKey, RefreshToken, User

__all__ = [
    "UNFINISHED",
    "APIKey",
    "Base",
    "Channel",
    "Chunk",
    "ChunkDraft",
    "Document",
    "DocumentStatus",
    "DocumentText",
    "DocumentTextDraft",
    "EventRow",
    "IdempotentRequest",
    "Invite",
    "Member",
    "Message",
    "Model",
    "Participant",
    "Project",
    "RefreshToken",
    "Session",
    "SpiritMode",
    "Task",
    "TaskStatus",
    "User",
]
