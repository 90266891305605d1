"""What an archive of one's data says of things that have no other form on the wire."""

from typing import Any
from uuid import UUID

from app.models import LoginKind
from app.permissions import ProjectRole
from app.schemas.api_keys import APIKeyRead
from app.schemas.common import Read, Timestamp
from app.schemas.projects import ProjectRead
from app.schemas.users import UserRead


class ExportedLogin(Read):
    id: UUID
    kind: LoginKind
    user_agent: str
    address: str
    created_at: Timestamp
    last_used_at: Timestamp
    expires_at: Timestamp
    revoked_at: Timestamp | None


class ExportedIdentity(Read):
    """An account of somewhere else that opens this one."""

    issuer: str
    subject: str
    email: str | None
    created_at: Timestamp


class ExportedAccount(Read):
    """The password, keys and tokens are not in it: only what tells them apart."""

    user: UserRead
    log_ins: list[ExportedLogin]
    identities: list[ExportedIdentity]
    api_keys: list[APIKeyRead]
    memberships: list[ProjectRead]


class ExportedMember(Read):
    user_id: UUID
    name: str
    role: ProjectRole


class ExportedProject(Read):
    project: ProjectRead
    members: list[ExportedMember]


class ExportedActivity(Read):
    """Something that you did, as the audit log has it."""

    id: UUID
    action: str
    target_type: str | None
    target_id: UUID | None
    address: str
    request_id: str
    details: dict[str, Any]
    created_at: Timestamp
