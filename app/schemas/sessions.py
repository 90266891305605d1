"""Rooms on the wire."""

from datetime import timedelta
from typing import Annotated
from uuid import UUID

from pydantic import Field

from app.events import Person
from app.models import RestrictionKind, SpiritMode
from app.schemas.base import Schema
from app.schemas.common import Read, Timestamp
from app.schemas.texts import ONLY_NUMBERS, Truth, Whole
from app.schemas.users import Name

MaxUsers = Annotated[int, Field(ge=1, le=1000), ONLY_NUMBERS]
SHARES = Field(
    False,
    description="Whether everybody who is let in may hear what the project's documents say. Else the spirit leaves the "
    "documents out while somebody may follow the room who is no member of the project.",
)
LONGEST_INVITE = timedelta(days=30)


class SessionCreate(Schema):
    """`project_id`: whose documents the spirit answers from; your default project otherwise."""

    name: Name = Field(examples=["Kitchen table"])
    max_users: MaxUsers = 6
    spirit_mode: SpiritMode = SpiritMode.ALWAYS
    shares_documents: Truth = SHARES
    project_id: UUID | None = None


class SessionUpdate(Schema):
    """What is left out stays as it is."""

    name: Name | None = None
    max_users: MaxUsers | None = None
    spirit_mode: SpiritMode | None = None
    is_active: Truth | None = None
    shares_documents: Truth | None = None


class SessionRead(Read):
    id: UUID
    name: str
    max_users: int
    spirit_mode: SpiritMode
    project_id: UUID
    owner_id: UUID
    is_active: bool
    shares_documents: bool
    created_at: Timestamp
    updated_at: Timestamp


class ParticipantsRead(Read):
    """Who is in the room at this moment, by name."""

    items: list[Person]


class InviteCreate(Schema):
    """`expires_in` in seconds."""

    max_uses: Whole = Field(1, ge=1, le=1000)
    expires_in: Whole = Field(86_400, ge=1, le=int(LONGEST_INVITE.total_seconds()))


class InviteRead(Read):
    """`invite` is shown this once."""

    id: UUID
    invite: str
    session_id: UUID
    max_uses: int
    expires_at: Timestamp


class InviteListRead(Read):
    """An invite that can still be used."""

    id: UUID
    session_id: UUID
    created_by: UUID
    uses_left: int
    expires_at: Timestamp
    created_at: Timestamp


class ParticipantUpdate(Schema):
    """Muted people follow the room and say nothing."""

    is_muted: Truth


class RestrictionRead(Read):
    """Somebody who is `muted`, or was `removed`; an invite made later lets the latter in again."""

    user_id: UUID
    kind: RestrictionKind
    created_at: Timestamp


class RestrictionsRead(Read):
    items: list[RestrictionRead]


class SessionJoin(Schema):
    """`name`: what a guest is called in the room; a signed-in caller keeps their own."""

    invite: str = Field(max_length=200)
    name: Name | None = None


class JoinedRead(Read):
    """`access_token` opens this room alone; null for a caller who is signed in already. `expires_in` in seconds."""

    session: SessionRead
    user: Person
    access_token: str | None
    token_type: str
    expires_in: int | None
