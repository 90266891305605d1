"""Signatures of webhooks, as Standard Webhooks has them (symmetric, version 1)."""

import base64
import hmac
import secrets
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from app.security.kept_keys import encryption_key
from app.settings import Settings

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32


def make_webhook_secret() -> str:
    """256 random bits, as receivers' libraries expect them."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def function_secrets(settings: Settings, project_id: UUID) -> Sequence[str]:
    """What calls of a project's functions are signed with; made of the encryption keys, the newest of which is first.

    So none is stored, and a rotation of ENCRYPTION_KEY is one of these, too: as long as the key of before is kept, both
    sign.
    """
    keys = [encryption_key(settings), *(key.get_secret_value() for key in settings.encryption.previous_keys)]
    purpose = b"hearth function runner " + project_id.bytes
    return [PREFIX + base64.b64encode(hmac.digest(key.encode(), purpose, "sha256")).decode() for key in keys]


def sign_webhook(webhook_secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> str:
    """What `webhook-signature` says: one signature for each secret, so that receivers may know the old or the new."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return " ".join(f"v1,{_signature(secret, signed)}" for secret in webhook_secrets)


def _signature(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
