"""Signatures of webhooks, as Standard Webhooks has them (symmetric, version 1)."""

import base64
import hmac
import secrets
from collections.abc import Sequence
from typing import Final

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32


def make_webhook_secret() -> str:
    """256 random bits, as receivers' libraries expect them."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def sign_webhook(webhook_secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> str:
    """What `webhook-signature` says: one signature for each secret, so that receivers may know the old or the new."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return " ".join(f"v1,{_signature(secret, signed)}" for secret in webhook_secrets)


def _signature(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
