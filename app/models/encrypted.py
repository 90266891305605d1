"""The columns that are encrypted at rest: all of them, in one list. Rotation and `hearth doctor` walk over it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column, Table
from sqlalchemy.orm import InstrumentedAttribute

from app.models.idempotency import IdempotentRequest
from app.models.users import Identity, OutgoingMail
from app.models.webhooks import Webhook


@dataclass(frozen=True, slots=True)
class EncryptedColumn:
    """What stands in it was encrypted for its place, so that it is worth nothing in another row or column."""

    column: Column[Any]

    @property
    def table(self) -> Table:
        return self.column.table

    @property
    def name(self) -> str:
        return f"{self.table.name}.{self.column.name}"

    @property
    def key(self) -> Sequence[Column[Any]]:
        return list(self.table.primary_key.columns)

    def place(self, *key: object) -> str:
        """For the row with this primary key: `identities.access_token:0190…`."""
        return ":".join([self.name, *map(str, key)])


def _of(attribute: InstrumentedAttribute[Any]) -> EncryptedColumn:
    return EncryptedColumn(attribute.property.columns[0])


IDENTITY_ACCESS_TOKEN: Final = _of(Identity.access_token)
IDENTITY_REFRESH_TOKEN: Final = _of(Identity.refresh_token)
MAIL_CONTENT: Final = _of(OutgoingMail.content)
IDEMPOTENT_BODY: Final = _of(IdempotentRequest.body)
WEBHOOK_SECRET: Final = _of(Webhook.secret)
WEBHOOK_PREVIOUS_SECRET: Final = _of(Webhook.previous_secret)

ENCRYPTED: Final = (
    IDENTITY_ACCESS_TOKEN,
    IDENTITY_REFRESH_TOKEN,
    MAIL_CONTENT,
    IDEMPOTENT_BODY,
    WEBHOOK_SECRET,
    WEBHOOK_PREVIOUS_SECRET,
)
