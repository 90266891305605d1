"""Passwords: hashed with Argon2id in threads of their own. The only importer of passlib, whose traps are shut here."""

import asyncio
import base64
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

from passlib.context import CryptContext

from app.errors import ServiceUnavailable
from app.priorities import step_back
from app.settings import PasswordSettings

LONGEST_PASSWORD: Final = 1024  # bytes
NICENESS: Final = 10  # above that of the event loop
HASHES_IN_LINE: Final = 64  # per thread; at 25 ms each, whoever comes later would wait for more than 1.5 s

Outcome = TypeVar("Outcome")


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
        self._threads = ThreadPoolExecutor(settings.threads, "password", step_back, (NICENESS,))
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
