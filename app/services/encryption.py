"""What is encrypted at rest: under which keys it stands, and its rotation to the newest."""

from dataclasses import dataclass
from typing import Any, Final

import structlog

from app.models.encrypted import ENCRYPTED, EncryptedColumn
from app.repositories import OpenUnitOfWork
from app.repositories.encrypted import StoredSecret
from app.security import Cipher, Undecryptable

log = structlog.get_logger(__name__)

BATCH: Final = 200  # rows in one transaction


@dataclass(frozen=True, slots=True)
class Standing:
    """Of a column: values under the newest key, under earlier ones of the ring, and under none of it."""

    name: str
    current: int
    old: int
    lost: int


@dataclass(frozen=True, slots=True)
class Rotation:
    """Of a column: `renewed` values are under the newest key now, `lost` ones could not be decrypted and are as before.

    `passed_over`: changed or removed by somebody else meanwhile.
    """

    name: str
    renewed: int = 0
    passed_over: int = 0
    lost: int = 0


class EncryptionService:
    def __init__(self, uow: OpenUnitOfWork, cipher: Cipher) -> None:
        self._uow = uow
        self._cipher = cipher

    async def survey(self) -> list[Standing]:
        return [await self._survey(column) for column in ENCRYPTED]

    async def rotate(self) -> list[Rotation]:
        """Encrypt with the newest key what is not: in batches, beside a running server.

        Each batch is a transaction of its own, and what is done is not looked at again: a rotation that broke off is
        simply begun once more.
        """
        return [await self._rotate(column) for column in ENCRYPTED]

    async def _survey(self, column: EncryptedColumn) -> Standing:
        newest = self._cipher.mark
        async with self._uow() as uow:
            counts = await uow.encrypted.count_by_mark(column, length=len(newest))
        current = counts.get(newest, 0)
        readable = sum(count for mark, count in counts.items() if self._cipher.holds(mark))
        return Standing(column.name, current, readable - current, sum(counts.values()) - readable)

    async def _rotate(self, column: EncryptedColumn) -> Rotation:
        renewed = passed_over = lost = 0
        after: tuple[Any, ...] | None = None
        while True:
            async with self._uow() as uow:
                batch = await uow.encrypted.list_not_marked(column, self._cipher.mark, after=after, limit=BATCH)
                for secret in batch:
                    content = self._renew(column, secret)
                    if content is None:
                        lost += 1
                    elif await uow.encrypted.replace(column, secret, content):
                        renewed += 1
                    else:
                        passed_over += 1
            if len(batch) < BATCH:
                return Rotation(column.name, renewed, passed_over, lost)
            after = batch[-1].key

    def _renew(self, column: EncryptedColumn, secret: StoredSecret) -> bytes | None:
        place = column.place(*secret.key)
        try:
            return self._cipher.encrypt(self._cipher.decrypt(secret.content, place=place), place=place)
        except Undecryptable as error:
            log.warning("encryption.lost", place=place, reason=str(error))
            return None
