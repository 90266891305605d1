"""Accounts of elsewhere, on the wire."""

from uuid import UUID

from pydantic import Field

from app.schemas.base import Schema
from app.schemas.common import Read, Timestamp


class IdentityRead(Read):
    """An account of an OpenID provider that opens yours. `email` is what the provider told when it was last used."""

    id: UUID
    issuer: str
    subject: str
    email: str | None
    created_at: Timestamp
    updated_at: Timestamp


class IdentityLink(Schema):
    redirect_to: str = Field("/", max_length=2048, description="Where to go afterwards: a path, or a page of yours.")


class IdentityDepartureRead(Read):
    """Send the browser there, within ten minutes; the cookie that came along has to be in it."""

    url: str
