"""Accounts and keys that were looked up a moment ago, so that not every call asks the database."""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar
from uuid import UUID

from app.permissions import Principal, Role

REMEMBERED_FOR: Final = timedelta(seconds=2)  # until other processes notice that an account or a key is gone
REMEMBERED: Final = 10_000

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Remembered(Generic[Key, Value]):
    """Values by key, each for `lifetime`; of too many the oldest goes."""

    def __init__(self, lifetime: timedelta, *, size: int) -> None:
        self._lifetime = lifetime.total_seconds()
        self._size = size
        self._values: dict[Key, tuple[float, Value]] = {}

    def get(self, key: Key) -> Value | None:
        kept_until, value = self._values.get(key, (0.0, None))
        return value if time.monotonic() < kept_until else None

    def put(self, key: Key, value: Value) -> None:
        self._values.pop(key, None)  # so that the order is that of age
        self._values[key] = (time.monotonic() + self._lifetime, value)
        if len(self._values) > self._size:
            del self._values[next(iter(self._values))]

    def forget(self, key: Key) -> None:
        self._values.pop(key, None)

    def forget_where(self, is_meant: Callable[[Value], bool]) -> None:
        for key in [key for key, (_, value) in self._values.items() if is_meant(value)]:
            del self._values[key]


@dataclass(frozen=True, slots=True)
class Person:
    """An active account; `expires_at` is when the log-in ends by which it came."""

    user_id: UUID
    name: str
    role: Role
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key that exists, of an active account."""

    principal: Principal
    expires_at: datetime | None


class KnownCallers:
    """Whoever changes or removes an account or a key makes it forgotten here, so that this process notices at once."""

    def __init__(self) -> None:
        self.people = Remembered[UUID, Person](REMEMBERED_FOR, size=REMEMBERED)
        """By log-in; guests, who have none, by their own id."""
        self.keys = Remembered[bytes, KnownKey](REMEMBERED_FOR, size=REMEMBERED)
        """By digest."""

    def forget_user(self, user_id: UUID) -> None:
        self.people.forget_where(lambda person: person.user_id == user_id)
        self.keys.forget_where(lambda key: key.principal.user_id == user_id)
