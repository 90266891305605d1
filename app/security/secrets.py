"""Random secrets: made here, shown once, and stored as digests."""

import base64
import hashlib
import hmac
import secrets
from enum import StrEnum
from typing import Final

LONGEST_SECRET: Final = 128  # bytes


class SecretKind(StrEnum):
    """Begins the secret, so that people, logs and leak scanners recognise it."""

    API_KEY = "hearth_key_"
    REFRESH_TOKEN = "hearth_rt_"  # noqa: S105 - a prefix
    INVITE = "hearth_inv_"
    MAIL_TOKEN = "hearth_mail_"  # noqa: S105 - a prefix
    REGISTRATION_INVITE = "hearth_reg_"
    SIGN_IN = "hearth_oidc_"
    CALLBACK = "hearth_call_"


def make_secret(kind: SecretKind) -> str:
    """256 random bits behind the prefix of their kind."""
    return kind + secrets.token_urlsafe(32)


def digest_of(secret: str) -> bytes:
    """What is stored instead of the secret. It is random and long, so one round of SHA-256 is enough."""
    return hashlib.sha256(secret.encode()).digest()


def has_digest(secret: str, digest: bytes) -> bool:
    """Whether `digest` is that of the secret, in a time that does not tell how much of it is the same."""
    return hmac.compare_digest(hashlib.sha256(secret.encode(errors="surrogateescape")).digest(), digest)


def is_secret(kind: SecretKind, text: str) -> bool:
    """Whether `text` may be a secret of this kind, and is worth looking for."""
    return text.startswith(kind) and text.isascii() and len(text) <= LONGEST_SECRET


def csrf_token_of(cookie: str) -> str:
    """What a page of ours sends along with the session's cookie, and another site's page cannot know."""
    digest = hmac.digest(cookie.encode(errors="surrogateescape"), b"hearth csrf", "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def is_same_secret(given: str, expected: str) -> bool:
    """In a time that does not tell how much of it is the same."""
    return hmac.compare_digest(given.encode(errors="surrogateescape"), expected.encode())
