"""Accounts and what opens them. Passwords, tokens, invites and API keys are stored as hashes only."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, LargeBinary, String, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Model
from app.permissions import Role


class User(Model):
    """A person. `email` is stored in lower case and missing for guests."""

    __tablename__ = "users"

    email: Mapped[str | None] = mapped_column(String(320), unique=True)
    name: Mapped[str] = mapped_column(String(100))
    password_hash: Mapped[str | None] = mapped_column(String(255))
    role: Mapped[str] = mapped_column(String(20), default=Role.USER)
    is_active: Mapped[bool] = mapped_column(default=True)
    email_verified_at: Mapped[datetime | None]
    about: Mapped[str] = mapped_column(String(500), default="", server_default="")
    settings: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default=text("'{}'"))
    preferences: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default=text("'{}'"))

    @property
    def email_verified(self) -> bool:
        return self.email_verified_at is not None


class LoginKind(StrEnum):
    TOKEN = "token"  # noqa: S105 - a kind
    COOKIE = "cookie"


class Login(Model):
    """Somebody signed in on a device. Access and refresh tokens and cookies of the log-in end with it."""

    __tablename__ = "logins"
    __table_args__ = (Index(None, "user_id"), Index(None, "expires_at"))

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(20))
    user_agent: Mapped[str] = mapped_column(String(300), default="", server_default="")
    address: Mapped[str] = mapped_column(String(64), default="", server_default="")
    last_used_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class RefreshToken(Model):
    """One link of a log-in's chain: each use makes the next, and a second use of the same ends the log-in."""

    __tablename__ = "refresh_tokens"
    __table_args__ = (Index(None, "login_id"), Index(None, "expires_at"))

    login_id: Mapped[UUID] = mapped_column(ForeignKey("logins.id", ondelete="CASCADE"))
    digest: Mapped[bytes] = mapped_column(unique=True)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class MailPurpose(StrEnum):
    VERIFY_EMAIL = "verify_email"
    RESET_PASSWORD = "reset_password"  # noqa: S105 - a purpose


class MailToken(Model):
    """A secret that was mailed to `email`, good for one use; stored as a digest."""

    __tablename__ = "mail_tokens"
    __table_args__ = (Index(None, "user_id", "purpose"), Index(None, "expires_at"))

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    purpose: Mapped[str] = mapped_column(String(20))
    email: Mapped[str] = mapped_column(String(320))
    digest: Mapped[bytes] = mapped_column(unique=True)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class OutgoingMail(Model):
    """A mail that waits to be sent; `content` is encrypted, since it may hold a secret, and gone once it is sent.

    Whoever takes it moves `run_after` on, so that nobody else takes it meanwhile, and it is tried again after a crash.
    """

    __tablename__ = "outgoing_mails"
    __table_args__ = (Index(None, "run_after"),)

    content: Mapped[bytes] = mapped_column(LargeBinary)
    attempts: Mapped[int] = mapped_column(default=0)
    run_after: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class Identity(Model):
    """An account of somewhere else (OpenID Connect) that opens this one; its tokens are encrypted."""

    __tablename__ = "identities"
    __table_args__ = (UniqueConstraint("issuer", "subject"), Index(None, "user_id"))

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    issuer: Mapped[str] = mapped_column(String(300))
    subject: Mapped[str] = mapped_column(String(255))
    email: Mapped[str | None] = mapped_column(String(320))
    access_token: Mapped[bytes | None] = mapped_column(LargeBinary)
    refresh_token: Mapped[bytes | None] = mapped_column(LargeBinary)


class RegistrationInvite(Model):
    """A secret that lets somebody make an account where registration is not open; stored as a digest."""

    __tablename__ = "registration_invites"
    __table_args__ = (Index(None, "created_by"),)

    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    email: Mapped[str | None] = mapped_column(String(320))
    role: Mapped[str] = mapped_column(String(20), default=Role.USER)
    digest: Mapped[bytes] = mapped_column(unique=True)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    used_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))


class APIKey(Model):
    """`limits`: rates by budget, where the key has others than its owner's role."""

    __tablename__ = "api_keys"
    __table_args__ = (Index(None, "user_id"),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(100))
    prefix: Mapped[str] = mapped_column(String(20))
    digest: Mapped[bytes] = mapped_column(unique=True)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(String(20)))
    limits: Mapped[dict[str, str]] = mapped_column(JSONB, default=dict, server_default=text("'{}'"))
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class RoleLimit(Base):
    """The rate of a budget for everybody of a role, where it is not the setting's."""

    __tablename__ = "role_limits"

    role: Mapped[str] = mapped_column(String(20), primary_key=True)
    budget: Mapped[str] = mapped_column(String(20), primary_key=True)
    rate: Mapped[str] = mapped_column(String(50))
