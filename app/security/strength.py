"""Which passwords are good enough: long, not easy to guess, and nothing that others know of the person."""

import asyncio
import importlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from app.errors import InvalidInput, ServiceUnavailable
from app.settings import PasswordSettings

LOOKED_AT: Final = 40  # characters; the estimate's cost grows faster than the length, and what follows only adds to it
CHECKS_IN_LINE: Final = 64  # at up to 50 ms each
PRODUCT: Final = "hearth"
TOO_EASY: Final = "This password is too easy to guess."


class PasswordPolicy:
    """zxcvbn keeps what it is told about a person in a module of its own, so one thread asks it, one at a time."""

    def __init__(self, settings: PasswordSettings) -> None:
        self._settings = settings
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="password-strength")
        self._places = CHECKS_IN_LINE

    async def require(self, password: str, *, email: str | None, name: str, field: str) -> None:
        """Raises InvalidInput: not good enough; names `field` and says what would help."""
        if len(password) < self._settings.min_length:
            raise InvalidInput(f"Needs {self._settings.min_length} characters at least.", field=field)
        known = [word for word in (email, (email or "").partition("@")[0], name, PRODUCT) if word]
        if password.strip().casefold() in {word.casefold() for word in known}:
            raise InvalidInput("Your name or address is no password.", field=field)
        if self._settings.min_strength > 0:
            score, advice = await self._judge(password, known)
            if score < self._settings.min_strength:
                raise InvalidInput(" ".join([TOO_EASY, *advice]), field=field)

    async def _judge(self, password: str, known: Sequence[str]) -> tuple[int, Sequence[str]]:
        if self._places == 0:
            raise ServiceUnavailable("Too many people are choosing a password at the moment. Please try again.")
        self._places -= 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, _judge, password, known)
        finally:
            self._places += 1


def _judge(password: str, known: Sequence[str]) -> tuple[int, Sequence[str]]:
    """From 0 (at once) to 4 (not in a lifetime), and what makes it easy.

    The lists of common words are 12 MB, and most processes never need them.
    """
    verdict = importlib.import_module("zxcvbn").zxcvbn(password[:LOOKED_AT], user_inputs=known)
    feedback = verdict["feedback"]
    advice = [feedback["warning"], *feedback["suggestions"]]
    return int(verdict["score"]), [sentence for sentence in advice if sentence]
