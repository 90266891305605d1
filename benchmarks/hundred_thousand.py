"""100,000 passages in 50 projects of one user, in a database of their own.

Made of real passages: each is halves of two of them, with their words and with what the models say of both, mixed; so
that embedding takes two minutes instead of an hour, and neighbours are as near to each other as in real collections.
"""

import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import numpy as np
from pgvector import SparseVector
from uuid_utils.compat import uuid7

from app.adapters.batching import FloatArray
from app.models import Project
from app.permissions import Principal
from app.repositories.retrieval import EXPANSION_SIZE, TERM_IDS
from app.resources import Resources
from app.services.indexing import Indexed, Indexer
from app.services.lexicon import passage_terms
from app.services.projects import add_project
from app.settings import Settings
from benchmarks.question_sets import QuestionSet, text_of

PROJECTS, DOCUMENTS, PASSAGES = 50, 200, 10  # of each one
YEARS = 20  # that documents' metadata name
NOISE = 0.02
VECTOR_INDEX = """
CREATE INDEX ix_chunks_embedding_minilm ON chunks USING hnsw ((embedding::halfvec(384)) halfvec_ip_ops)
WITH (m = 16, ef_construction = 64) WHERE embedding_model = 'all-MiniLM-L6-v2'
"""
WORDS_INDEX = "CREATE INDEX ix_chunk_terms_term_ids ON chunk_terms USING gin (term_ids)"
COLUMNS = {
    "documents": [
        "id",
        "project_id",
        "owner_id",
        "title",
        "media_type",
        "size",
        "sha256",
        "status",
        "chunk_count",
        "metadata",
    ],
    "chunks": [
        "id",
        "document_id",
        "project_id",
        "ordinal",
        "text",
        "char_start",
        "char_end",
        "token_count",
        "embedding",
        "embedding_model",
    ],
    "chunk_terms": ["chunk_id", "document_id", "project_id", "term_ids", "terms", "expansion", "expansion_model"],
}


@dataclass(frozen=True)
class Material:
    texts: Sequence[str]
    indexed: Sequence[Indexed]


def database_url(settings: Settings) -> str:
    return settings.database.url.get_secret_value().replace("+asyncpg", "")


async def fill_many(resources: Resources, owner: Principal, questions: QuestionSet) -> list[UUID]:
    """The ids of the projects."""
    material = await _material(resources, questions)
    projects = [Project(id=uuid7(), owner_id=owner.user_id, name=f"Shelf {number}") for number in range(PROJECTS)]
    async with resources.uow() as uow:
        for project in projects:
            await add_project(uow, project)
    connection = await asyncpg.connect(database_url(resources.settings))
    try:
        await connection.execute("DROP INDEX ix_chunks_embedding_minilm; DROP INDEX ix_chunk_terms_term_ids")
        for number, project in enumerate(projects):
            rows = _rows(owner, project.id, material, random.Random(number))
            for table, columns in COLUMNS.items():
                await _copy(connection, table, columns, rows[table])
        await connection.execute("SET maintenance_work_mem = '1GB'")
        for statement in (VECTOR_INDEX, WORDS_INDEX, "VACUUM ANALYZE"):
            await connection.execute(statement)
    finally:
        await connection.close()
    return [project.id for project in projects]


async def _material(resources: Resources, questions: QuestionSet) -> Material:
    indexer = Indexer(resources.foundation.embedder, resources.foundation.sparse)
    texts = [text_of(passage) for passage in questions.passages]
    parts = [texts[start : start + 64] for start in range(0, len(texts), 64)]
    made = [one for part in parts for one in await indexer.index(part, [None] * len(part))]
    return Material(texts, made)


def _rows(owner: Principal, project_id: UUID, material: Material, draw: random.Random) -> dict[str, list[list[str]]]:
    rows: dict[str, list[list[str]]] = {table: [] for table in COLUMNS}
    for number in range(DOCUMENTS):
        document_id = str(uuid7())
        metadata = f'{{"year": {2000 + number % YEARS}}}'
        described = [f"Document {number}", "text/plain", "1", uuid7().hex, "ready", str(PASSAGES), metadata]
        rows["documents"].append([document_id, str(project_id), str(owner.user_id), *described])
        for ordinal in range(PASSAGES):
            _add_passage(rows, [document_id, str(project_id)], ordinal, material, draw)
    return rows


def _add_passage(
    rows: dict[str, list[list[str]]], keys: list[str], ordinal: int, material: Material, draw: random.Random
) -> None:
    one, other = (draw.randrange(len(material.texts)) for _ in range(2))
    first, second = material.texts[one], material.texts[other]
    text = " ".join(f"{first[: len(first) // 2]} {second[len(second) // 2 :]}".split()).replace("\\", "")
    terms = passage_terms(text)
    words = SparseVector({key - 1: value for key, value in zip(terms.ids, terms.weights, strict=True)}, TERM_IDS)
    chunk_id = str(uuid7())
    vector = _mixed(material.indexed[one], material.indexed[other], draw)
    ids = "{" + ",".join(map(str, terms.ids)) + "}"
    numbers = [str(ordinal), text, "0", str(len(text)), "100"]
    rows["chunks"].append([chunk_id, *keys, *numbers, str(vector.tolist()), "all-MiniLM-L6-v2"])
    meant = _merged(material.indexed[one], material.indexed[other])
    rows["chunk_terms"].append([chunk_id, *keys, ids, words.to_text(), meant.to_text(), "splade-tiny"])


def _mixed(one: Indexed, other: Indexed, draw: random.Random) -> FloatArray:
    share = draw.uniform(0.3, 0.7)
    noise = np.random.default_rng(draw.randrange(2**32)).normal(size=len(one.embedding)) * NOISE
    vector = share * np.array(one.embedding) + (1 - share) * np.array(other.embedding) + noise
    return np.asarray(np.round(vector / np.linalg.norm(vector), 5), np.float32)


def _merged(one: Indexed, other: Indexed) -> SparseVector:
    weights: dict[int, float] = {}
    for expansion in (one.expansion, other.expansion):
        if expansion is not None:
            for key, value in zip(expansion.indices(), expansion.values(), strict=True):
                weights[key] = max(weights.get(key, 0.0), value)
    strongest = sorted(weights.items(), key=lambda item: -item[1])[:128]
    return SparseVector(dict(strongest), EXPANSION_SIZE)


async def _copy(connection: asyncpg.Connection, table: str, columns: Sequence[str], rows: list[list[str]]) -> None:
    async def lines() -> AsyncIterator[bytes]:
        for row in rows:
            yield ("\t".join(row) + "\n").encode()

    await connection.copy_to_table(table, source=lines(), columns=columns, format="text")
