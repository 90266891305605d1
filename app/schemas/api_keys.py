"""API keys on the wire."""

from datetime import timedelta
from typing import Annotated, Final, Self
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field

from app.events import utc_now
from app.models import APIKey
from app.permissions import Scope
from app.schemas.base import Schema
from app.schemas.common import Read, Timestamp
from app.schemas.limits import KeyLimits
from app.schemas.texts import ONLY_WRITTEN_OUT
from app.schemas.users import Name

LIMITS: Final = "Rates of its own, by budget: at most what its owner has."
LONGEST_LIFE: Final = timedelta(days=36_525)


def _to_come(moment: AwareDatetime) -> AwareDatetime:
    now = utc_now()
    if not now < moment < now + LONGEST_LIFE:
        raise ValueError("must lie in the future, and within a hundred years")
    return moment


class APIKeyCreate(Schema):
    name: Name = Field(examples=["backup script"])
    scopes: frozenset[Scope] = Field(frozenset({Scope.READ, Scope.WRITE}), min_length=1)
    expires_at: Annotated[AwareDatetime, ONLY_WRITTEN_OUT, AfterValidator(_to_come)] | None = None
    limits: KeyLimits = Field(default_factory=dict, description=LIMITS, examples=[{"queries": "10/minute"}])


class APIKeyUpdate(Schema):
    """What is left out stays as it is; `limits` replace those that were there."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    limits: KeyLimits | None = Field(None, description=LIMITS)


class APIKeyRead(Read):
    """`prefix` is how the key begins, for telling keys apart."""

    id: UUID
    name: str
    prefix: str
    scopes: list[Scope]
    limits: dict[str, str]
    expires_at: Timestamp | None
    last_used_at: Timestamp | None
    created_at: Timestamp


class APIKeyCreated(APIKeyRead):
    """The only time that the key itself is shown."""

    key: str = Field(examples=["hearth_key_…"])

    @classmethod
    def of(cls, row: APIKey, key: str) -> Self:
        return cls(**APIKeyRead.model_validate(row).model_dump(), key=key)
