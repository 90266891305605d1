"""Passwords, tokens, random secrets and encryption: every line of cryptography is in here.

What reads ID tokens is imported from `app.security.id_tokens`, by the one who needs it: its libraries are large.
"""

from app.security.encryption import Cipher, Undecryptable, make_cipher
from app.security.kept_keys import encryption_key, jwt_secret
from app.security.passwords import LONGEST_PASSWORD, Passwords, Verdict
from app.security.secrets import (
    SecretKind,
    csrf_token_of,
    digest_of,
    has_digest,
    is_same_secret,
    is_secret,
    make_secret,
)
from app.security.strength import PasswordPolicy
from app.security.tokens import Claims, Tokens, TokenType, make_tokens
from app.security.webhook_signatures import function_secrets, make_webhook_secret, sign_webhook

__all__ = [
    "LONGEST_PASSWORD",
    "Cipher",
    "Claims",
    "PasswordPolicy",
    "Passwords",
    "SecretKind",
    "TokenType",
    "Tokens",
    "Undecryptable",
    "Verdict",
    "csrf_token_of",
    "digest_of",
    "encryption_key",
    "function_secrets",
    "has_digest",
    "is_same_secret",
    "is_secret",
    "jwt_secret",
    "make_cipher",
    "make_secret",
    "make_tokens",
    "make_webhook_secret",
    "sign_webhook",
]
