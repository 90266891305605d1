"""Signing in, on the wire."""

import re
import unicodedata
from typing import Annotated, Final, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, Field, SecretStr

from app.models import LoginKind, User
from app.schemas.base import Schema
from app.schemas.common import Read, Timestamp
from app.schemas.users import Name, UserRead
from app.security import csrf_token_of

LONGEST_EMAIL: Final = 320
LONGEST_PASSWORD: Final = 1024
LOCAL_PART: Final = re.compile(r"""[^\s@<>()\[\],;:\\".]{1,64}(?:\.[^\s@<>()\[\],;:\\".]{1,64})*""")
DOMAIN: Final = re.compile(r"(?:(?!-)[\w-]{1,63}(?<!-)\.)+(?!-)[\w-]{2,63}(?<!-)")


def normalize_email(value: str) -> str:
    """An e-mail address as it is stored: composed, trimmed, in lower case.

    Raises:
        ValueError: not an e-mail address.
    """
    email = unicodedata.normalize("NFC", value.strip()).lower() if len(value) <= LONGEST_EMAIL else ""
    local_part, _, domain = email.rpartition("@")
    is_well_formed = LOCAL_PART.fullmatch(local_part) and DOMAIN.fullmatch(domain) and email.isprintable()
    if not is_well_formed or len(local_part) > 64 or len(email) > LONGEST_EMAIL:
        raise ValueError("not an e-mail address")
    return email


def _short_enough(password: SecretStr) -> SecretStr:
    given = password.get_secret_value()
    forms = (given, unicodedata.normalize("NFC", given))  # the composed one, which is hashed, may be longer
    if max(len(form.encode(errors="surrogatepass")) for form in forms) > LONGEST_PASSWORD:
        raise ValueError(f"must be at most {LONGEST_PASSWORD:,} bytes")
    return password


Email = Annotated[
    str, AfterValidator(normalize_email), Field(json_schema_extra={"format": "email", "maxLength": LONGEST_EMAIL})
]
Password = Annotated[SecretStr, AfterValidator(_short_enough)]
RefreshTokenText = Annotated[str, Field(max_length=128)]


class UserCreate(Schema):
    email: Email = Field(examples=["ada@example.com"])
    password: Password = Field(examples=["correct horse battery staple"])
    name: Name = Field(examples=["Ada"])
    invite: str | None = Field(None, max_length=128, description="Where registration is by invite.")


class RefreshTokenUse(Schema):
    refresh_token: RefreshTokenText


class Logout(Schema):
    """A refresh token of another log-in of yours ends that one, too."""

    refresh_token: RefreshTokenText | None = None


class TokensRead(Read):
    """`expires_in`: seconds the access token is good for. The refresh token is good for one use."""

    access_token: str
    refresh_token: str
    token_type: Literal["bearer"]
    expires_in: int


class CookieSessionRead(Schema):
    """`csrf_token` goes into `X-CSRF-Token`; null for a caller without a cookie."""

    user: UserRead
    csrf_token: str | None

    @classmethod
    def of(cls, user: User, cookie: str | None) -> Self:
        """`cookie` is the session's secret."""
        return cls(user=UserRead.model_validate(user), csrf_token=csrf_token_of(cookie) if cookie else None)


class DeviceRead(Read):
    """Somewhere you are signed in: by a cookie in a browser, or by tokens in a program."""

    id: UUID
    kind: LoginKind
    user_agent: str = Field(description="What the browser or program called itself when you signed in.")
    address: str = Field(description="The network address you signed in from.")
    is_current: bool = Field(description="Whether it is this log-in.")
    created_at: Timestamp
    last_used_at: Timestamp = Field(description="To the minute.")
    expires_at: Timestamp


class TicketRead(Read):
    """Goes into `?ticket=` of a WebSocket's address, once, within `expires_in` seconds."""

    ticket: str
    expires_in: int
