"""Passwords, tokens and random secrets; the only importer of jose and passlib, whose traps are shut here."""

import asyncio
import base64
import binascii
import contextlib
import hashlib
import json
import os
import re
import secrets
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID

from jose import jwk, jwt
from jose.exceptions import ExpiredSignatureError, JOSEError
from passlib.context import CryptContext
from uuid_utils.compat import uuid7

from app.errors import InvalidCredentials, ServiceUnavailable, TokenExpired
from app.settings import MIN_SECRET_BYTES, PasswordSettings, Settings

LONGEST_PASSWORD: Final = 1024  # bytes
LONGEST_TOKEN: Final = 4096  # bytes
LONGEST_SECRET: Final = 128  # bytes
HASHES_IN_LINE: Final = 64  # per thread; at 25 ms each, whoever comes later would wait for more than 1.5 s
ALGORITHM: Final = "HS256"
ISSUER: Final = "hearth"
AUDIENCE: Final = "hearth"
REQUIRED_CLAIMS: Final = ("exp", "iat", "sub", "aud", "iss", "jti")
TOKEN_FORM: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+){2}")
REFUSALS: Final = (JOSEError, RecursionError, ValueError, TypeError, KeyError, AttributeError, OverflowError)

Outcome = TypeVar("Outcome")


# --- passwords ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdict:
    """`new_hash` replaces the stored hash of a right password that was made with other parameters."""

    is_right: bool
    new_hash: str | None = None


class Passwords:
    """Argon2id in threads of its own, so that neither the event loop nor other threads wait for a hash."""

    def __init__(self, settings: PasswordSettings) -> None:
        self._context = CryptContext(
            schemes=["argon2", "bcrypt"],
            deprecated=["bcrypt"],
            argon2__type="ID",
            argon2__memory_cost=settings.memory_kib,
            argon2__time_cost=settings.time_cost,
            argon2__parallelism=1,
        )
        self._nobodys_hash = _hash_of_no_password(settings)
        self._threads = ThreadPoolExecutor(settings.threads, thread_name_prefix="password")
        self._places = HASHES_IN_LINE * settings.threads

    async def hash(self, password: str) -> str:
        """The hash to store; takes about 25 ms.

        Raises:
            ValueError: the password is longer than 1,024 bytes.
            ServiceUnavailable: too many are waiting.
        """
        text = _normalize(password)
        if text is None:
            raise ValueError(f"a password has at most {LONGEST_PASSWORD} bytes")
        return await self._in_thread(lambda: str(self._context.hash(text)))

    async def verify(self, password: str, stored: str | None) -> Verdict:
        """Whether `password` belongs to the hash `stored`; without one (no such account) it takes as long to say no.

        Raises:
            ServiceUnavailable: too many are waiting.
        """
        text = _normalize(password)
        known = stored if text is not None and stored is not None else self._nobodys_hash
        return await self._in_thread(lambda: self._verify(text or "", known))

    def _verify(self, text: str, stored: str) -> Verdict:
        is_right, new_hash = self._context.verify_and_update(text, stored)
        return Verdict(bool(is_right), new_hash)

    async def _in_thread(self, work: Callable[[], Outcome]) -> Outcome:
        if self._places == 0:
            raise ServiceUnavailable("Too many people are signing in at the moment. Please try again.")
        self._places -= 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._places += 1


def _normalize(password: str) -> str | None:
    """The same characters as the same bytes, whatever keyboard they came from; None when too long."""
    text = unicodedata.normalize("NFC", password) if len(password) <= LONGEST_PASSWORD else None
    return text if text is not None and len(text.encode()) <= LONGEST_PASSWORD else None


def _hash_of_no_password(settings: PasswordSettings) -> str:
    """A hash with today's parameters that no password has: checking it takes as long as checking a real one."""
    salt, digest = (base64.b64encode(secrets.token_bytes(size)).rstrip(b"=").decode() for size in (16, 32))
    return f"$argon2id$v=19$m={settings.memory_kib},t={settings.time_cost},p=1${salt}${digest}"


# --- random secrets -------------------------------------------------------------------------------------------------


class SecretKind(StrEnum):
    """Begins the secret, so that people, logs and leak scanners recognise it."""

    API_KEY = "hearth_key_"
    REFRESH_TOKEN = "hearth_rt_"  # noqa: S105 - a prefix
    INVITE = "hearth_inv_"


def make_secret(kind: SecretKind) -> str:
    """256 random bits behind the prefix of their kind."""
    return kind + secrets.token_urlsafe(32)


def digest_of(secret: str) -> bytes:
    """What is stored instead of the secret. It is random and long, so one round of SHA-256 is enough."""
    return hashlib.sha256(secret.encode()).digest()


def is_secret(kind: SecretKind, text: str) -> bool:
    """Whether `text` may be a secret of this kind, and is worth looking for."""
    return text.startswith(kind) and text.isascii() and len(text) <= LONGEST_SECRET


# --- signed tokens --------------------------------------------------------------------------------------------------


class TokenType(StrEnum):
    ACCESS = "access"
    GUEST = "guest"


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token of ours says; `room_id` and `name` are a guest's."""

    token_type: TokenType
    user_id: UUID
    room_id: UUID | None = None
    name: str | None = None


class Tokens:
    """JWTs signed with the newest secret; those of earlier secrets are still accepted.

    jose alone is not safe enough: it accepts other spellings of a token, recurses on nested headers and would let the
    token choose its algorithm. So the form is checked first, and key and algorithm are ours.
    """

    def __init__(self, secret: str, previous_secrets: Sequence[str] = ()) -> None:
        ring = {_key_id(each): jwk.construct(each, ALGORITHM) for each in (*previous_secrets, secret)}
        self._ring = ring
        self._signing_id = _key_id(secret)

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
        if claims.room_id is not None:
            content |= {"room": str(claims.room_id), "name": claims.name}
        key = self._ring[self._signing_id]
        return str(jwt.encode(content, key, algorithm=ALGORITHM, headers={"kid": self._signing_id}))

    def read(self, token: str) -> Claims:
        """What `token` says.

        Raises:
            TokenExpired: it was good once.
            InvalidCredentials: it is not ours, or not whole.
        """
        try:
            return self._read(token)
        except ExpiredSignatureError as error:
            raise TokenExpired("The token has expired.") from error
        except REFUSALS as error:
            raise InvalidCredentials("The token is not valid.") from error

    def _read(self, token: str) -> Claims:
        header = json.loads(next(_segments(token)))
        if header.keys() != {"alg", "kid", "typ"} or header["alg"] != ALGORITHM:
            raise ValueError("not a header of ours")
        content = jwt.decode(
            token,
            self._ring[header["kid"]],
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            issuer=ISSUER,
            options={f"require_{claim}": True for claim in REQUIRED_CLAIMS},
        )
        token_type = TokenType(content["typ"])
        room_id = UUID(content["room"]) if token_type is TokenType.GUEST else None
        return Claims(token_type, UUID(content["sub"]), room_id, content.get("name"))


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


def jwt_secret(settings: Settings) -> str:
    """The secret that signs: JWT_SECRET, or, outside production, one made once and kept in the data folder.

    Raises:
        ValueError: the kept secret is damaged.
    """
    configured = settings.jwt.secret.get_secret_value()
    if configured:
        return configured
    path = settings.data_dir / "jwt_secret"
    with contextlib.suppress(FileExistsError):  # made before, or by a process that starts at the same time
        if not path.exists():
            _write_once(path, secrets.token_urlsafe(48))
    kept = path.read_text(encoding="ascii").strip()
    if len(kept) < MIN_SECRET_BYTES:
        raise ValueError(f"{path} is damaged: remove it (everybody signs in again), or set JWT_SECRET")
    return kept


def _write_once(path: Path, content: str) -> None:
    """Make the whole file at once, for its owner only.

    Raises:
        FileExistsError: it is there already.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(content + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        path.hardlink_to(draft)  # unlike a rename, fails if the name is taken
    finally:
        draft.unlink()
