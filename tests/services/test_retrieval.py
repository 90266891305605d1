"""The hybrid statement: both ways to search find the same, and neither looks where the caller may not."""

from uuid import UUID, uuid4

import numpy as np
import pytest
from sqlalchemy import text
from uuid_utils.compat import uuid7

from app.models import Chunk, Document, DocumentText
from app.repositories import UnitOfWork, retrieval
from app.repositories.retrieval import Excerpt, Match, Probe, Scope
from app.resources import Resources
from tests.tasks.probes import Place, make_place

MODEL = "all-MiniLM-L6-v2"
WORDS = ["lamp", "bell", "tower", "keeper", "fog", "rock", "boat"]


def vector(seed: int) -> list[float]:
    drawn = np.random.default_rng(seed).normal(size=384)
    return (drawn / np.linalg.norm(drawn)).tolist()


def probe(words: str = "the lamp in the tower", seed: int = 0, candidates: int = 20) -> Probe:
    return Probe(words, vector(seed), MODEL, candidates)


async def add_documents(resources: Resources, place: Place, count: int, **fields: object) -> list[UUID]:
    """Documents of one passage each, with words and vectors that differ."""
    added = []
    async with resources.uow() as uow:
        for number in range(count):
            document = make_document(place, number)
            said = f"Number {number} tells of a {WORDS[number % 7]} and a {WORDS[number % 5]}."
            passage = make_passage(place, document.id, said, **({"embedding": vector(number + 1)} | fields))
            await store(uow, document, said, passage)
            added.append(document.id)
    return added


def make_document(place: Place, number: int) -> Document:
    return Document(
        id=uuid7(),
        project_id=place.project_id,
        owner_id=place.actor.user_id,
        title=f"Document {number}",
        media_type="text/plain",
        size=1,
        sha256=uuid4().hex,
        status="ready",
        chunk_count=1,
        attributes={"shelf": number % 3},
    )


def make_passage(place: Place, document_id: UUID, said: str, **fields: object) -> Chunk:
    values: dict[str, object] = {
        "document_id": document_id,
        "project_id": place.project_id,
        "ordinal": 0,
        "text": said,
        "char_start": 0,
        "char_end": len(said),
        "token_count": 9,
        "embedding_model": MODEL,
    }
    return Chunk(**(values | fields))


async def store(uow: UnitOfWork, document: Document, said: str, passage: Chunk) -> None:
    uow._session.add(document)
    await uow.flush()
    pages = [{"number": 1, "char_start": 0, "char_end": 7}, {"number": 2, "char_start": 7, "char_end": len(said)}]
    uow._session.add_all([DocumentText(document_id=document.id, text=said, pages=pages, headings=[]), passage])


async def find(resources: Resources, scope: Scope, asked: Probe, limit: int = 20) -> list[Match]:
    async with resources.uow() as uow:
        for other_way in ("seqscan", "bitmapscan", "sort"):  # else so few rows need no vector index
            await uow._session.execute(text(f"SET LOCAL enable_{other_way} = off"))
        return list(await uow.retrieval.search(scope, asked, limit=limit))


@pytest.mark.parametrize("narrowing", [{}, {"metadata": {"shelf": 1}}, {"media_type": "text/plain"}])
async def test_the_index_finds_what_a_comparison_with_all_finds(resources, monkeypatch, narrowing):
    place, other = await make_place(resources), await make_place(resources)
    await add_documents(resources, other, 40)
    await add_documents(resources, place, 60)
    scope = Scope(place.actor.user_id, **narrowing)
    for seed in range(5):
        monkeypatch.setattr(retrieval, "LARGEST_SCAN", 10_000)
        compared = await find(resources, scope, probe(seed=seed))
        monkeypatch.setattr(retrieval, "LARGEST_SCAN", 0)
        walked = await find(resources, scope, probe(seed=seed))
        assert walked == compared
        assert len(compared) == 20
        assert [match.score for match in compared] == sorted((match.score for match in compared), reverse=True)


@pytest.mark.parametrize("largest_scan", [0, 10_000])
async def test_neither_way_looks_where_the_caller_may_not(resources, monkeypatch, largest_scan):
    monkeypatch.setattr(retrieval, "LARGEST_SCAN", largest_scan)
    place, stranger = await make_place(resources), await make_place(resources)
    [wanted] = await add_documents(resources, place, 1)
    for narrowing in ({}, {"project_ids": [place.project_id]}, {"document_ids": [wanted]}, {"metadata": {"shelf": 0}}):
        assert [match.document_id for match in await find(resources, Scope(place.actor.user_id, **narrowing), probe())]
        assert await find(resources, Scope(stranger.actor.user_id, **narrowing), probe()) == []
    await add_documents(resources, stranger, 1)
    both = Scope(stranger.actor.user_id, project_ids=[place.project_id, stranger.project_id])
    assert wanted not in {match.document_id for match in await find(resources, both, probe())}


async def test_vectors_of_another_model_are_not_compared_but_their_words_are(resources):
    place = await make_place(resources)
    await add_documents(resources, place, 3, embedding=[1.0, 0.0], embedding_model="another")
    found = await find(resources, Scope(place.actor.user_id), probe("lamp"))
    assert [(match.title, match.dense, match.score) for match in found] == [("Document 0", None, 1.0)]
    await add_documents(resources, place, 3)
    found = await find(resources, Scope(place.actor.user_id), probe("lamp"))
    assert sorted(match.dense is None for match in found) == [False, False, False, True]


async def test_each_ranker_has_its_say_and_the_score_is_their_mean(resources):
    place = await make_place(resources)
    await add_documents(resources, place, 20)
    nearest = probe("bell", seed=1)  # the very vector of document 0, which has no bell
    found = await find(resources, Scope(place.actor.user_id), nearest)
    first = next(match for match in found if match.title == "Document 0")
    assert first.dense == pytest.approx(1, abs=1e-3)
    assert (first.score, first.rank) == (0.5, None)
    assert all((match.rank is not None) == ("bell" in match.text) for match in found)


async def test_an_excerpt_is_read_where_it_stands_with_its_page(resources):
    place = await make_place(resources)
    first, second = await add_documents(resources, place, 2)
    async with resources.uow() as uow:
        excerpts = [Excerpt(second, 0, 6), Excerpt(uuid7(), 0, 6), Excerpt(first, 7, 14)]
        standing = await uow.retrieval.read_excerpts(excerpts)
    assert [now and (now.text, now.page) for now in standing] == [("Number", 1), None, ("0 tells", 2)]
