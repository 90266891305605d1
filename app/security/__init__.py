"""Passwords, tokens, random secrets and encryption: every line of cryptography is in here."""

from app.security.encryption import Cipher, Undecryptable, make_cipher
from app.security.id_tokens import Expected, NotBelieved, PublicKeys, UnknownKey, import_keys, read_id_token
from app.security.kept_keys import encryption_key, jwt_secret
from app.security.passwords import LONGEST_PASSWORD, Passwords, Verdict
from app.security.secrets import SecretKind, csrf_token_of, digest_of, is_same_secret, is_secret, make_secret
from app.security.strength import PasswordPolicy
from app.security.tokens import Claims, Tokens, TokenType, make_tokens
from app.security.webhook_signatures import make_webhook_secret, sign_webhook

__all__ = [
    "LONGEST_PASSWORD",
    "Cipher",
    "Claims",
    "Expected",
    "NotBelieved",
    "PasswordPolicy",
    "Passwords",
    "PublicKeys",
    "SecretKind",
    "TokenType",
    "Tokens",
    "Undecryptable",
    "UnknownKey",
    "Verdict",
    "csrf_token_of",
    "digest_of",
    "encryption_key",
    "import_keys",
    "is_same_secret",
    "is_secret",
    "jwt_secret",
    "make_cipher",
    "make_secret",
    "make_tokens",
    "make_webhook_secret",
    "read_id_token",
    "sign_webhook",
]
