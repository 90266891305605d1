"""Signed tokens. The only importer of jose, whose traps are shut here."""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from jose import jwk, jwt
from jose.exceptions import ExpiredSignatureError, JOSEError
from uuid_utils.compat import uuid7

from app.errors import InvalidCredentials, TokenExpired
from app.security.kept_keys import jwt_secret
from app.settings import Settings

LONGEST_TOKEN: Final = 4096  # bytes
REMEMBERED: Final = 4096  # good tokens, of some hundred bytes each
ALGORITHM: Final = "HS256"
ISSUER: Final = "hearth"
AUDIENCE: Final = "hearth"
REQUIRED_CLAIMS: Final = ("exp", "iat", "sub", "aud", "iss", "jti")
TOKEN_FORM: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+){2}")
REFUSALS: Final = (JOSEError, RecursionError, ValueError, TypeError, KeyError, AttributeError, OverflowError)


class TokenType(StrEnum):
    ACCESS = "access"
    GUEST = "guest"


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token of ours says; `login_id` is a person's, `room_id` and `name` are a guest's.

    `expires_at` is known of tokens that were read.
    """

    token_type: TokenType
    user_id: UUID
    login_id: UUID | None = None
    room_id: UUID | None = None
    name: str | None = None
    expires_at: datetime | None = field(default=None, compare=False)


class Tokens:
    """JWTs signed with the newest secret; those of earlier secrets are still accepted.

    jose alone is not safe enough: it accepts other spellings of a token, recurses on nested headers and would let the
    token choose its algorithm. So the form is checked first, and key and algorithm are ours.
    """

    def __init__(self, secret: str, previous_secrets: Sequence[str] = ()) -> None:
        ring = {_key_id(each): jwk.construct(each, ALGORITHM) for each in (*previous_secrets, secret)}
        self._ring = ring
        self._signing_id = _key_id(secret)
        # The same token comes with every request, and says the same until it ends.
        self._read_once = lru_cache(REMEMBERED)(self._read)

    def issue(self, claims: Claims, lifetime: timedelta) -> str:
        now = datetime.now(UTC)
        content: dict[str, Any] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(claims.user_id),
            "typ": claims.token_type,
            "jti": uuid7().hex,
            "iat": now,
            "exp": now + lifetime,
        }
        if claims.token_type is TokenType.GUEST:
            content |= {"room": str(claims.room_id), "name": claims.name}
        else:
            content |= {"sid": str(claims.login_id)}
        key = self._ring[self._signing_id]
        return str(jwt.encode(content, key, algorithm=ALGORITHM, headers={"kid": self._signing_id}))

    def read(self, token: str) -> Claims:
        """What `token` says.

        Raises:
            TokenExpired: it was good once.
            InvalidCredentials: it is not ours, or not whole.
        """
        try:
            claims = self._read_once(token)
        except ExpiredSignatureError as error:
            raise TokenExpired("The token has expired.") from error
        except REFUSALS as error:
            raise InvalidCredentials("The token is not valid.") from error
        if claims.expires_at is None or claims.expires_at <= datetime.now(UTC):
            raise TokenExpired("The token has expired.")
        return claims

    def _read(self, token: str) -> Claims:
        header = json.loads(next(_segments(token)))
        if header.keys() != {"alg", "kid", "typ"} or (header["alg"], header["typ"]) != (ALGORITHM, "JWT"):
            raise ValueError("not a header of ours")
        content = jwt.decode(
            token,
            self._ring[header["kid"]],
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            issuer=ISSUER,
            options={f"require_{claim}": True for claim in REQUIRED_CLAIMS},
        )
        user_id, expires_at = UUID(content["sub"]), datetime.fromtimestamp(content["exp"], UTC)
        if TokenType(content["typ"]) is TokenType.GUEST:
            room_id, name = UUID(content["room"]), str(content["name"])
            return Claims(TokenType.GUEST, user_id, room_id=room_id, name=name, expires_at=expires_at)
        return Claims(TokenType.ACCESS, user_id, login_id=UUID(content["sid"]), expires_at=expires_at)


def _segments(token: str) -> Iterator[bytes]:
    """Header, content and signature of a token in its one canonical spelling.

    Raises:
        ValueError: too long, or another spelling.
    """
    if len(token) > LONGEST_TOKEN or not TOKEN_FORM.fullmatch(token):
        raise ValueError("not the form of a token")
    segments = token.encode().split(b".")
    decoded = [_decode_canonical(segment) for segment in segments]
    return iter(decoded)


def _decode_canonical(segment: bytes) -> bytes:
    try:
        decoded = base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
    except binascii.Error as error:
        raise ValueError("not base64url") from error
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != segment:
        raise ValueError("not the canonical base64url")
    return decoded


def _key_id(secret: str) -> str:
    return hashlib.sha256(b"hearth key id " + secret.encode()).hexdigest()[:16]


def make_tokens(settings: Settings) -> Tokens:
    previous = [secret.get_secret_value() for secret in settings.jwt.previous_secrets]
    return Tokens(jwt_secret(settings), previous)
