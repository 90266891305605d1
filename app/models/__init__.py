"""The tables. Importing this package registers all of them."""

from app.models.answers import Answer, AnswerStatus
from app.models.audit import AuditAction, AuditEntry
from app.models.base import Base, Model
from app.models.documents import (
    Chunk,
    ChunkDraft,
    ChunkTerms,
    Document,
    DocumentStatus,
    DocumentText,
    DocumentTextDraft,
    TermCount,
)
from app.models.events import Channel, EventRow
from app.models.idempotency import IdempotentRequest
from app.models.projects import Member, Project
from app.models.sessions import (
    Invite,
    Message,
    Participant,
    Reaction,
    ReadMarker,
    Restriction,
    RestrictionKind,
    RoomSummary,
    Session,
    SpiritMode,
)
from app.models.tasks import UNFINISHED, Task, TaskStatus
from app.models.users import (
    APIKey,
    Identity,
    Login,
    LoginKind,
    MailPurpose,
    MailToken,
    OutgoingMail,
    RefreshToken,
    RegistrationInvite,
    RoleLimit,
    User,
)

__all__ = [
    "UNFINISHED",
    "APIKey",
    "Answer",
    "AnswerStatus",
    "AuditAction",
    "AuditEntry",
    "Base",
    "Channel",
    "Chunk",
    "ChunkDraft",
    "ChunkTerms",
    "Document",
    "DocumentStatus",
    "DocumentText",
    "DocumentTextDraft",
    "EventRow",
    "IdempotentRequest",
    "Identity",
    "Invite",
    "Login",
    "LoginKind",
    "MailPurpose",
    "MailToken",
    "Member",
    "Message",
    "Model",
    "OutgoingMail",
    "Participant",
    "Project",
    "Reaction",
    "ReadMarker",
    "RefreshToken",
    "RegistrationInvite",
    "Restriction",
    "RestrictionKind",
    "RoleLimit",
    "RoomSummary",
    "Session",
    "SpiritMode",
    "Task",
    "TaskStatus",
    "TermCount",
    "User",
]
