"""What was found a moment ago is found again without a search, but only while there is nothing new to find."""

from uuid import UUID

import pytest
from httpx import AsyncClient
from sqlalchemy import delete, insert, update

from app.models import Chunk, Document, Member
from app.resources import Resources
from tests.factories import User, make_user
from tests.library import BEES, LIGHTHOUSE, add_text

QUESTION = "How high is the tower of the lighthouse?"


@pytest.fixture
async def ada(client: AsyncClient, resources: Resources) -> User:
    user = await make_user(client, name="Ada")
    await add_text(client, resources, user, LIGHTHOUSE, "Gull Rock")
    return user


async def ask(client: AsyncClient, user: User, **fields: object) -> list[dict]:
    response = await client.post("/api/v1/search", json={"query": QUESTION, **fields}, headers=user.headers)
    return response.raise_for_status().json()["items"]


async def say_otherwise(resources: Resources, said: str) -> None:
    """Behind the back of the service, and of the documents' rows: only a search sees it."""
    async with resources.uow() as uow:
        await uow._session.execute(update(Chunk).where(Chunk.text.contains("lighthouse")).values(text=said))


async def test_a_question_that_is_repeated_is_not_searched_again_until_a_document_changes(client, resources, ada):
    [first] = await ask(client, ada)
    await say_otherwise(resources, "The lighthouse is gone.")
    assert await ask(client, ada) == [first]
    [anew] = await ask(client, ada, top_k=7)
    assert anew["text"] == "The lighthouse is gone.", "another number of passages is another question"

    async with resources.uow() as uow:
        await uow._session.execute(
            update(Document).where(Document.id == UUID(first["document_id"])).values(title="Sold")
        )
    [changed] = await ask(client, ada)
    assert (changed["text"], changed["title"]) == ("The lighthouse is gone.", "Sold")
    await add_text(client, resources, ada, BEES, "Bees")
    assert len(await ask(client, ada)) == 2


async def test_a_document_that_is_deleted_is_not_found_again(client, resources, ada):
    [first] = await ask(client, ada)
    response = await client.delete(f"/api/v1/documents/{first['document_id']}", headers=ada.headers)
    assert response.is_success
    assert await ask(client, ada) == []


async def test_nobody_is_answered_from_what_another_found_or_from_before_a_right_was_lost(client, resources, ada):
    eve = await make_user(client, name="Eve")
    [found] = await ask(client, ada)
    assert await ask(client, eve) == []

    async with resources.uow() as uow:
        project_id = (await uow.documents.get(UUID(found["document_id"]))).project_id
        is_hers = {"project_id": project_id, "user_id": UUID(eve.id), "role": "viewer"}
        await uow._session.execute(insert(Member).values(is_hers))
    assert [hit["id"] for hit in await ask(client, eve)] == [found["id"]]
    async with resources.uow() as uow:
        await uow._session.execute(
            delete(Member).where(Member.user_id == UUID(eve.id), Member.project_id == project_id)
        )
    assert await ask(client, eve) == []
    assert [hit["id"] for hit in await ask(client, ada)] == [found["id"]]
