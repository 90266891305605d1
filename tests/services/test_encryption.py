"""Encryption at rest: every column that has to be is in the list, and a rotation loses nothing."""

import random
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from httpx import AsyncClient
from sqlalchemy import LargeBinary, delete, func, insert, select, update

from app.models import Base, IdempotentRequest, Identity, OutgoingMail, Project, Webhook
from app.models.encrypted import ENCRYPTED, IDENTITY_REFRESH_TOKEN, MAIL_CONTENT, EncryptedColumn
from app.repositories import UnitOfWork
from app.repositories.encrypted import StoredSecret
from app.resources import Resources
from app.security import Cipher, Undecryptable
from app.services import encryption
from app.services.encryption import EncryptionService
from tests.factories import User, execute

OLDEST, OLD, NEWEST = (letter * 32 for letter in "abc")
DIGESTS = {"digest", "token_digest", "fingerprint"}
"""Columns of bytes from which nothing can be read."""
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)

Kept = dict[tuple[EncryptedColumn, tuple[object, ...]], bytes]


def test_every_column_of_bytes_is_a_digest_or_encrypted():
    encrypted = {each.name for each in ENCRYPTED}
    plain = {
        f"{table.name}.{column.name}"
        for table in Base.metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, LargeBinary) and column.name not in DIGESTS
    }
    assert plain == encrypted


def test_places_name_column_and_row():
    row_id = uuid4()
    assert IDENTITY_REFRESH_TOKEN.place(row_id) == f"identities.refresh_token:{row_id}"
    assert len({each.place(row_id) for each in ENCRYPTED}) == len(ENCRYPTED)


async def fill(resources: Resources, user: User, *, rows: int, seed: int) -> Kept:
    """Rows in all tables, each value under one of three keys; what stands in them."""
    draw, kept = random.Random(seed), {}
    await execute(resources, delete(OutgoingMail))  # registering has queued some, under the key of the settings
    project_id = await execute(resources, select(Project.id).where(Project.owner_id == UUID(user.id)))
    ciphers = [Cipher(OLDEST), Cipher(OLD, [OLDEST]), Cipher(NEWEST, [OLD])]
    for number in range(rows):
        row_id = uuid4()
        keys = {
            "outgoing_mails": (row_id,),
            "identities": (row_id,),
            "idempotent_requests": (UUID(user.id), f"k:{number}"),
            "webhooks": (row_id,),
        }
        values: dict[str, dict[str, object]] = {name: {} for name in keys}
        for column in ENCRYPTED:
            key, content = keys[column.table.name], draw.randbytes(draw.choice([0, 1, 100, 5000]))
            values[column.table.name][column.column.name] = draw.choice(ciphers).encrypt(
                content, place=column.place(*key)
            )
            kept[column, key] = content
        subject = {"user_id": user.id, "issuer": "https://issuer.example", "subject": str(row_id)}
        identity = {"id": row_id, "updated_at": LONG_AGO, **subject, **values["identities"]}
        await execute(resources, insert(OutgoingMail).values(id=row_id, **values["outgoing_mails"]))
        await execute(resources, insert(Identity).values(**identity))
        request = {"user_id": user.id, "key": f"k:{number}", **values["idempotent_requests"]}
        await execute(resources, insert(IdempotentRequest).values(**request))
        webhook = {"id": row_id, "project_id": project_id, "url": "https://hooks.example", "events": []}
        await execute(resources, insert(Webhook).values(**webhook, **values["webhooks"]))
    return kept


async def read(resources: Resources, column: EncryptedColumn, key: tuple[object, ...]) -> bytes:
    own = [each == value for each, value in zip(column.key, key, strict=True)]
    return await execute(resources, select(column.column).where(*own))


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encryption, "BATCH", 7)


@pytest.mark.parametrize("seed", range(3))
async def test_a_rotation_loses_nothing_even_when_it_breaks_off(
    resources: Resources, admin: User, small_batches: None, seed: int
):
    kept = await fill(resources, admin, rows=25, seed=seed)
    opened = 0

    def breaking_off() -> UnitOfWork:
        nonlocal opened
        opened += 1
        if opened > 3 + seed:
            raise ConnectionError
        return resources.uow()

    cipher = Cipher(NEWEST, [OLD, OLDEST])
    with pytest.raises(ConnectionError):
        await EncryptionService(breaking_off, cipher).rotate()
    service = EncryptionService(resources.uow, cipher)
    half_way = await service.survey()
    assert sum(each.old for each in half_way) > 0
    for (column, key), content in kept.items():
        assert cipher.decrypt(await read(resources, column, key), place=column.place(*key)) == content

    rotated = await service.rotate()
    assert sum(each.renewed for each in rotated) == sum(each.old for each in half_way)
    alone = Cipher(NEWEST)
    for (column, key), content in kept.items():
        assert alone.decrypt(await read(resources, column, key), place=column.place(*key)) == content
    standings = await EncryptionService(resources.uow, alone).survey()
    assert [(each.current, each.old, each.lost) for each in standings] == [(25, 0, 0)] * len(ENCRYPTED)
    assert await execute(resources, select(func.max(Identity.updated_at))) == LONG_AGO
    assert sum(each.renewed for each in await service.rotate()) == 0


async def test_what_no_key_decrypts_is_left_alone_and_counted(resources: Resources, admin: User, small_batches: None):
    kept = await fill(resources, admin, rows=20, seed=7)
    service = EncryptionService(resources.uow, Cipher(NEWEST, [OLD]))
    before = {at: await read(resources, *at) for at in kept}
    lost = {
        at
        for at, content in before.items()
        if not (Cipher(OLD).holds(content[:9]) or Cipher(NEWEST).holds(content[:9]))
    }
    assert 0 < len(lost) < len(kept)
    assert sum(each.lost for each in await service.survey()) == len(lost)
    assert sum(each.lost for each in await service.rotate()) == len(lost)
    for at, content in before.items():
        assert (await read(resources, *at) == content) == (at in lost or Cipher(NEWEST).is_current(content))


async def test_a_value_that_changed_meanwhile_is_not_overwritten(resources: Resources, admin: User):
    mail_id, cipher = uuid4(), Cipher(NEWEST, [OLD])
    first = Cipher(OLD).encrypt(b"first", place=MAIL_CONTENT.place(mail_id))
    await execute(resources, insert(OutgoingMail).values(id=mail_id, content=first))
    second = Cipher(OLD).encrypt(b"second", place=MAIL_CONTENT.place(mail_id))
    await execute(resources, update(OutgoingMail).where(OutgoingMail.id == mail_id).values(content=second))
    async with resources.uow() as uow:
        assert not await uow.encrypted.replace(MAIL_CONTENT, StoredSecret((mail_id,), first), b"stale")
        assert await uow.encrypted.replace(MAIL_CONTENT, StoredSecret((mail_id,), second), b"fresh")
    with pytest.raises(Undecryptable):
        cipher.decrypt(await read(resources, MAIL_CONTENT, (mail_id,)), place=MAIL_CONTENT.place(mail_id))


async def test_answers_that_are_kept_for_a_replay_cannot_be_read_in_the_database(
    resources: Resources, client: AsyncClient, admin: User
):
    headers = admin.headers | {"Idempotency-Key": "once"}
    made = await client.post("/api/v1/projects", json={"name": "Private plans"}, headers=headers)
    stored = await execute(resources, select(IdempotentRequest.body).where(IdempotentRequest.key == "once"))
    assert b"Private" in made.content
    assert b"Private" not in stored
    again = await client.post("/api/v1/projects", json={"name": "Private plans"}, headers=headers)
    assert (again.status_code, again.content) == (201, made.content)

    foreign = Cipher(OLDEST).encrypt(made.content, place="elsewhere")
    await execute(resources, update(IdempotentRequest).where(IdempotentRequest.key == "once").values(body=foreign))
    lost = await client.post("/api/v1/projects", json={"name": "Private plans"}, headers=headers)
    assert (lost.status_code, lost.json()["error"]["code"]) == (409, "CONFLICT")  # not carried out a second time
