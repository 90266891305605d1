"""Projects and their members on the wire."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field

from app.permissions import ProjectRole
from app.schemas.auth import Email
from app.schemas.common import Read, Timestamp
from app.schemas.texts import Storable
from app.schemas.users import Name

Description = Annotated[Storable, Field(max_length=2000)]


class ProjectCreate(BaseModel):
    name: Name = Field(examples=["Lighthouse"])
    description: Description = ""


class ProjectUpdate(BaseModel):
    """What is left out stays as it is."""

    name: Name | None = None
    description: Description | None = None


class ProjectRead(Read):
    """`role` is the caller's own."""

    id: UUID
    name: str
    description: str
    is_default: bool
    owner_id: UUID
    role: ProjectRole
    created_at: Timestamp
    updated_at: Timestamp


class MemberPut(BaseModel):
    email: Email = Field(examples=["grace@example.com"])
    role: ProjectRole = ProjectRole.VIEWER


class MemberRead(Read):
    user_id: UUID
    name: str
    email: str | None
    role: ProjectRole
