"""Health and info."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from app.schemas.common import Read, Timestamp

Status = Literal["healthy", "degraded", "unhealthy"]


class CheckRead(Read):
    status: Status
    latency_ms: float | None
    message: str | None


class HealthRead(Read):
    status: Status
    version: str
    timestamp: Timestamp
    checks: Mapping[str, CheckRead]


class LiveRead(Read):
    status: Literal["alive"]


class Limits(Read):
    """`document_bytes`, `media_bytes` and `body_bytes` in bytes, `message_characters` in code points."""

    document_bytes: int
    media_bytes: int
    media_per_memory: int
    body_bytes: int
    message_characters: int
    frame_bytes: int


class InfoRead(Read):
    name: str
    version: str
    api_version: str
    environment: str
    registration: str
    sign_in_with: str | None = Field(description="Name of the OpenID provider, null without: GET /auth/oidc/login.")
    embedding_model: str
    llm_model: str | None
    features: list[str]
    media_types: list[str]
    limits: Limits
