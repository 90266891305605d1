"""What is written by COPY comes back as it was, together with its transaction."""

from typing import Any
from uuid import UUID

import numpy as np
import pytest
from pgvector import SparseVector
from sqlalchemy import func, select
from uuid_utils.compat import uuid7

from app.models import ChunkDraft, Document, Project
from app.permissions import Principal
from app.repositories import UnitOfWork
from app.repositories.chunks import DRAFT_COLUMNS
from app.resources import Resources
from app.services.projects import add_project
from tests.factories import make_user


async def add_document(uow: UnitOfWork, owner: Principal) -> UUID:
    project = Project(id=uuid7(), owner_id=owner.user_id, name="Lamps")
    await add_project(uow, project)
    keys = {"id": uuid7(), "project_id": project.id, "owner_id": owner.user_id, "sha256": uuid7().hex * 2}
    uow._session.add(document := Document(**keys, title="Lamps", media_type="text/plain", size=1))
    await uow.flush()
    return document.id


def draft(document_id: UUID, ordinal: int, **values: Any) -> ChunkDraft:
    usual = {
        "text": "The lamp is lit.",
        "char_start": 0,
        "char_end": 16,
        "page": 7,
        "heading": "Lamps > Light",
        "token_count": 5,
        "embedding": (np.arange(384, dtype=np.float32) / 400 - 0.5).tolist(),
        "embedding_model": "all-MiniLM-L6-v2",
        "term_ids": [1, 7, 999_999_999],
        "terms": SparseVector({0: 0.5, 6: 1.25, 999_999_998: 2.0}, 1_000_000_000),
        "expansion": SparseVector({0: 0.5, 30_521: 3.0}, 30_522),
        "expansion_model": "splade-tiny",
    }
    return ChunkDraft(document_id=document_id, ordinal=ordinal, **usual | values)


EMPTY = {
    "text": 'Лампа 灯 🪔 "\\N"\t\n\\.',
    "page": None,
    "heading": None,
    "term_ids": [],
    "terms": SparseVector({}, 1_000_000_000),
    "expansion": None,
    "expansion_model": None,
}


def comparable(found: ChunkDraft) -> dict[str, Any]:
    return {name: getattr(found, name) for name in DRAFT_COLUMNS if name != "embedding"}


async def test_drafts_come_back_as_they_were(client, resources: Resources):
    user = await make_user(client)
    async with resources.uow() as uow:
        document_id = await add_document(uow, Principal(UUID(user.id), user.name))
        await uow.chunks.add_drafts([draft(document_id, 0), draft(document_id, 1, **EMPTY)])
    async with resources.uow() as uow:
        found = (await uow._session.scalars(select(ChunkDraft).order_by(ChunkDraft.ordinal))).all()
    wanted = [draft(document_id, 0), draft(document_id, 1, **EMPTY)]
    assert [comparable(one) for one in found] == [comparable(one) for one in wanted]
    assert np.allclose(found[0].embedding, wanted[0].embedding, atol=2**-12)


async def test_drafts_go_with_the_transaction_that_fails(client, resources: Resources):
    user = await make_user(client)

    async def fail() -> None:
        async with resources.uow() as uow:
            document_id = await add_document(uow, Principal(UUID(user.id), user.name))
            await uow.chunks.add_drafts([draft(document_id, 0)])
            assert await uow.chunks.count_drafts(document_id) == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with resources.uow() as uow:
        assert await uow._session.scalar(select(func.count()).select_from(ChunkDraft)) == 0
