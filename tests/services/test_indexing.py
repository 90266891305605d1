"""What passages are found by: made anew after a change of models, proven before a document is called ready."""

from dataclasses import dataclass
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy import delete, select, text

from app.models import Chunk, ChunkTerms, TermCount
from app.permissions import Principal
from app.resources import Resources
from app.schemas.search import SearchFields
from app.services.indexing import Indexer, NotFoundAgain, RenewalService, require_findable
from app.services.retrieval import RetrievalService
from tests.factories import User, make_user
from tests.library import BEES, LIGHTHOUSE, add_text


@dataclass
class OtherEmbedder:
    """Another model of other dimensions: what a text begins with."""

    model: str = "another-model"
    dimensions: int = 8
    max_tokens: int = 200

    async def embed_query(self, text: str) -> np.ndarray:
        vector = np.array([float(ord(sign)) for sign in text[:8].ljust(8)], np.float32)
        return vector / np.linalg.norm(vector)

    async def embed_passages(self, texts: list[str]) -> np.ndarray:
        return np.stack([await self.embed_query(one) for one in texts])


@pytest.fixture
async def ada(client, resources) -> User:
    user = await make_user(client, name="Ada")
    await add_text(client, resources, user, LIGHTHOUSE, "Gull Rock")
    await add_text(client, resources, user, BEES, "Bees")
    return user


async def models_of(resources: Resources, user: User) -> set[tuple[str, str | None]]:
    async with resources.uow() as uow:
        query = select(Chunk.embedding_model, ChunkTerms.expansion_model).outerjoin(ChunkTerms)
        query = query.where(Chunk.project_id.in_(text("SELECT project_id FROM members WHERE user_id = :user")))
        return {tuple(row) for row in await uow._session.execute(query, {"user": UUID(user.id)})}


async def test_what_is_said_again_is_found_by_the_same_and_keeps_its_place(resources):
    indexer = Indexer(resources.foundation.embedder, resources.foundation.sparse)
    again = await indexer.index(["A lamp.", "Bees dance.", "A lamp."], ["Light", None, None])
    [lamp] = await indexer.index(["A lamp."], [None])
    [bees] = await indexer.index(["Bees dance."], [None])
    assert again[2] == lamp
    assert again[1] == bees
    assert (again[0].embedding, again[0].expansion) == (lamp.embedding, lamp.expansion)
    assert set(again[0].term_ids) > set(lamp.term_ids), "its heading counts for words"


async def test_a_change_of_the_model_renews_passages_while_both_are_found(resources, ada):
    other = OtherEmbedder()
    uow, foundation = resources.uow, resources.foundation
    assert await models_of(resources, ada) == {("all-MiniLM-L6-v2", "splade-tiny")}
    changed = RetrievalService(uow, other, foundation.sparse, None)
    before = await changed.find(UUID(ada.id), "Who built the lighthouse?", SearchFields())
    assert before.matches[0].title == "Gull Rock"
    assert before.matches[0].dense is None

    renewal = RenewalService(uow, Indexer(other, foundation.sparse), batch_size=1)
    assert await renewal.renew() >= 2
    assert await models_of(resources, ada) == {("another-model", "splade-tiny")}
    after = await changed.find(UUID(ada.id), "Who built the lighthouse?", SearchFields())
    assert after.matches[0].title == "Gull Rock"
    assert after.matches[0].dense is not None
    assert await renewal.renew() == 0


async def test_passages_of_an_earlier_version_get_their_words_and_are_found_meanwhile(resources, ada):
    async with resources.uow() as uow:
        await uow._session.execute(delete(ChunkTerms))
    actor = Principal(UUID(ada.id), "Ada")
    found = await resources.services.retrieval.find(actor.user_id, "How many eggs does a queen lay?", SearchFields())
    assert (found.matches[0].title, found.matches[0].rank) == ("Bees", None)
    assert await resources.services.renewal.renew() >= 2
    found = await resources.services.retrieval.find(actor.user_id, "How many eggs does a queen lay?", SearchFields())
    assert found.matches[0].title == "Bees"
    assert found.matches[0].rank is not None
    async with resources.uow() as uow:
        default = await uow.projects.get_default(actor.user_id)
        counted = await uow._session.scalar(
            select(TermCount.passages).where(TermCount.term_id == 0, TermCount.project_id == default.id)
        )
    assert counted == 2


async def test_a_document_that_a_search_does_not_find_is_not_ready(client, resources, ada):
    document = (await client.get("/api/v1/documents", headers=ada.headers)).json()["items"][0]
    async with resources.uow() as uow:
        row = await uow.documents.get(UUID(document["id"]))
        await require_findable(uow, row, UUID(ada.id))
    stranger = await make_user(client, name="Eve")
    async with resources.uow() as uow:
        with pytest.raises(NotFoundAgain):
            await require_findable(uow, row, UUID(stranger.id))
