"""Passwords, tokens, random secrets and encryption: every line of cryptography is in here."""

from app.security.encryption import Cipher, Undecryptable, make_cipher
from app.security.kept_keys import encryption_key, jwt_secret
from app.security.passwords import LONGEST_PASSWORD, Passwords, Verdict
from app.security.secrets import SecretKind, csrf_token_of, digest_of, is_same_secret, is_secret, make_secret
from app.security.tokens import Claims, Tokens, TokenType, make_tokens

__all__ = [
    "LONGEST_PASSWORD",
    "Cipher",
    "Claims",
    "Passwords",
    "SecretKind",
    "TokenType",
    "Tokens",
    "Undecryptable",
    "Verdict",
    "csrf_token_of",
    "digest_of",
    "encryption_key",
    "is_same_secret",
    "is_secret",
    "jwt_secret",
    "make_cipher",
    "make_secret",
    "make_tokens",
]
