"""The same `Idempotency-Key` with the same request is carried out once, and answered alike for a day."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from app.models.encrypted import IDEMPOTENT_BODY
from app.repositories import OpenUnitOfWork
from app.security import Cipher, Undecryptable

KEPT_FOR = timedelta(hours=24)
ABANDONED_AFTER = timedelta(minutes=2)  # the process that worked on it has died


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """What the first request was answered with; `body` is None where it held a secret, or is lost."""

    fingerprint: bytes
    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes | None


class IdempotencyService:
    """The bodies of answers may be private: they are stored encrypted."""

    def __init__(self, uow: OpenUnitOfWork, cipher: Cipher) -> None:
        self._uow = uow
        self._cipher = cipher

    async def claim(self, user_id: UUID, key: str) -> bool:
        """Whether this request is the first with `key` and is to be carried out."""
        async with self._uow() as uow:
            return await uow.idempotency.claim(user_id, key, abandoned_after=ABANDONED_AFTER, kept_for=KEPT_FOR)

    async def first_answer(self, user_id: UUID, key: str) -> FirstAnswer | None:
        """None while the first request is still being worked on."""
        async with self._uow() as uow:
            row = await uow.idempotency.get(user_id, key)
        if row is None or row.status is None:
            return None
        headers = [(str(name), str(value)) for name, value in row.headers or ()]
        return FirstAnswer(row.fingerprint or b"", row.status, headers, self._read(user_id, key, row.body))

    async def keep(self, user_id: UUID, key: str, answer: FirstAnswer) -> None:
        body = answer.body
        if body is not None:
            body = self._cipher.encrypt(body, place=IDEMPOTENT_BODY.place(user_id, key))
        async with self._uow() as uow:
            await uow.idempotency.answer(
                user_id,
                key,
                fingerprint=answer.fingerprint,
                status=answer.status,
                headers=answer.headers,
                body=body,
            )

    async def release(self, user_id: UUID, key: str) -> None:
        """The request failed on our side: it may be sent again."""
        async with self._uow() as uow:
            await uow.idempotency.release(user_id, key)

    def _read(self, user_id: UUID, key: str, body: bytes | None) -> bytes | None:
        """Without its key an answer is as good as not kept."""
        try:
            return None if body is None else self._cipher.decrypt(body, place=IDEMPOTENT_BODY.place(user_id, key))
        except Undecryptable:
            return None
