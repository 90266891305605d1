"""The hybrid statement: both ways to search find the same, and neither looks where the caller may not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from pgvector import SparseVector
from sqlalchemy import text
from uuid_utils.compat import uuid7

from app.models import Chunk, ChunkTerms, Document, DocumentText
from app.repositories import UnitOfWork, retrieval
from app.repositories.retrieval import EXPANSION_SIZE, TERM_IDS, Excerpt, Match, Probe, Scope, Weights, naming
from app.resources import Resources
from app.schemas.conditions import compile_condition
from app.services.lexicon import passage_terms, question_terms, rarity
from tests.tasks.probes import Place, make_place

MODEL = "all-MiniLM-L6-v2"
WORDS = ["lamp", "bell", "tower", "keeper", "fog", "rock", "boat"]


def vector(seed: int) -> list[float]:
    drawn = np.random.default_rng(seed).normal(size=384)
    return (drawn / np.linalg.norm(drawn)).tolist()


def probe(words: str = "the lamp in the tower", seed: int = 0, **fields: Any) -> Probe:
    defaults = {"candidates": 20, "expansion": {seed % 7: 1.0, 7: 0.1}}
    return Probe(vector(seed), MODEL, term_ids=list(question_terms(words)), **(defaults | fields))


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
    await uow.flush()
    terms = passage_terms(said)
    uow._session.add(
        ChunkTerms(
            chunk_id=passage.id,
            document_id=document.id,
            project_id=passage.project_id,
            term_ids=terms.ids,
            terms=SparseVector(
                {one - 1: weight for one, weight in zip(terms.ids, terms.weights, strict=True)}, TERM_IDS
            ),
            expansion=SparseVector({len(said) % 7: 1.0, 7: 0.5}, EXPANSION_SIZE),
            expansion_model="splade-tiny",
        )
    )


async def find(resources: Resources, scope: Scope, asked: Probe, limit: int = 20) -> list[Match]:
    async with resources.uow() as uow:
        for other_way in ("seqscan", "bitmapscan", "sort"):  # else so few rows need no vector index
            await uow._session.execute(text(f"SET LOCAL enable_{other_way} = off"))
        return list((await uow.retrieval.search(scope, asked, limit=limit, rarity=rarity)).matches)


@pytest.mark.parametrize("narrowing", [{}, {"metadata": {"shelf": 1}}, {"media_type": "text/plain"}])
async def test_the_index_finds_what_a_comparison_with_all_finds(resources, monkeypatch, narrowing):
    place, other = await make_place(resources), await make_place(resources)
    await add_documents(resources, other, 40)
    await add_documents(resources, place, 60)
    scope = Scope(place.actor.user_id, **narrowing)
    for seed in range(5):
        monkeypatch.setattr(retrieval, "LARGEST_SCAN", 10_000)
        compared = await find(resources, scope, probe(seed=seed, candidates=60))
        monkeypatch.setattr(retrieval, "LARGEST_SCAN", 0)
        walked = await find(resources, scope, probe(seed=seed, candidates=60))
        assert walked == compared
        assert len(compared) == 20
        assert [match.score for match in compared] == sorted((match.score for match in compared), reverse=True)


async def test_documents_of_a_narrow_scope_are_the_same_whether_they_are_listed_or_not(resources, monkeypatch):
    place = await make_place(resources)
    await add_documents(resources, place, 30)
    scope = Scope(place.actor.user_id, metadata={"shelf": 1})
    listed = await find(resources, scope, probe())
    monkeypatch.setattr(retrieval, "MOST_LISTED", 0)
    assert await find(resources, scope, probe()) == listed
    assert len(listed) == 10


def test_a_question_names_passages_by_its_rarest_words_and_the_strongest_it_implies(monkeypatch):
    monkeypatch.setattr(retrieval, "MOST_NAMED", 10)
    monkeypatch.setattr(retrieval, "MOST_IMPLIED", 5)
    counts = {1: 8, 2: 2, 3: 7, 4: 3, 5: 3, 6: 1}
    asked = Probe(vector(0), MODEL, 20, term_ids=[1, 2, 3, 9], implied_ids=[2, 4, 5, 6, 9])
    assert naming(asked, counts) == [2, 3, 4, 6], "1 and 5 would name too many, 9 names none"
    assert naming(replace(asked, term_ids=[1], implied_ids=[]), {1: 1_000}) == [1], "one word is looked for in any case"


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
    words_alone = probe("lamp", expansion={})
    found = await find(resources, Scope(place.actor.user_id), words_alone)
    assert [(match.title, match.dense, match.score) for match in found] == [("Document 0", None, 1.0)]
    await add_documents(resources, place, 3)
    found = await find(resources, Scope(place.actor.user_id), words_alone)
    assert sorted(match.dense is None for match in found) == [False, False, False, True]


async def test_each_ranker_has_its_say_and_the_score_is_their_weighted_mean(resources):
    place = await make_place(resources)
    await add_documents(resources, place, 20)
    nearest = probe("bell", seed=1, expansion={}, weights=Weights(dense=3.0))  # the very vector of document 0: no bell
    found = await find(resources, Scope(place.actor.user_id), nearest)
    first = next(match for match in found if match.title == "Document 0")
    assert first.dense == pytest.approx(1, abs=1e-3)
    assert (first.score, first.rank, first.sparse, first.places) == (0.75, None, None, {"dense": 1})
    assert all((match.rank is not None) == ("bell" in match.text) for match in found)
    without = replace(nearest, weights=Weights(dense=0.0))
    assert {tuple(match.places) for match in await find(resources, Scope(place.actor.user_id), without)} == {("text",)}


async def test_a_rare_word_weighs_more_than_a_frequent_one_and_counts_follow_what_is_there(resources):
    place = await make_place(resources)
    await add_documents(resources, place, 30)
    scope = Scope(place.actor.user_id)
    words_alone = probe("number seventeen 17", expansion={}, weights=Weights(dense=0.0))
    async with resources.uow() as uow:
        ranking = await uow.retrieval.search(scope, words_alone, limit=3, rarity=rarity)
    assert ranking.matches[0].title == "Document 17"
    assert sorted(ranking.counts.values()) == [1, 30, 30]  # one has 17, all have "number", and all are all
    async with resources.uow() as uow:
        await uow.documents.delete(ranking.matches[0].document_id)
        ranking = await uow.retrieval.search(scope, words_alone, limit=3, rarity=rarity)
    assert sorted(ranking.counts.values()) == [0, 29, 29]


@pytest.mark.parametrize("largest_scan", [0, 10_000])
async def test_conditions_narrow_both_ways_of_searching(resources, monkeypatch, largest_scan):
    monkeypatch.setattr(retrieval, "LARGEST_SCAN", largest_scan)
    place = await make_place(resources)
    await add_documents(resources, place, 9)  # on the shelves 0, 1 and 2
    for condition, expected in (
        ({"shelf": 1}, 3),
        ({"shelf": {"$gte": 1, "$lt": 2}}, 3),
        ({"shelf": {"$ne": 1}}, 6),
        ({"shelf": {"$in": [0, 2]}}, 6),
        ({"$or": [{"shelf": 0}, {"shelf": 1}]}, 6),
        ({"$not": {"shelf": 0}}, 6),
        ({"$and": [{"shelf": {"$exists": True}}, {"shelf": {"$gt": "1"}}]}, 0),  # a number is not a text
        ({'she"lf.$x': {"$exists": False}}, 9),
        ({"kind": {"$ne": "book"}}, 9),
    ):
        predicate = compile_condition(condition)
        scope = Scope(place.actor.user_id, condition=predicate.path, operands=predicate.operands)
        assert len(await find(resources, scope, probe())) == expected, condition
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert len(await find(resources, Scope(place.actor.user_id, created_before=tomorrow), probe())) == 9
    assert await find(resources, Scope(place.actor.user_id, created_from=tomorrow), probe()) == []


async def test_an_excerpt_is_read_where_it_stands_with_its_page(resources):
    place = await make_place(resources)
    first, second = await add_documents(resources, place, 2)
    async with resources.uow() as uow:
        excerpts = [Excerpt(second, 0, 6), Excerpt(uuid7(), 0, 6), Excerpt(first, 7, 14)]
        standing = await uow.retrieval.read_excerpts(excerpts)
    assert [now and (now.text, now.page) for now in standing] == [("Number", 1), None, ("0 tells", 2)]
