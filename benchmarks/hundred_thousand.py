"""100,000 passages in 50 projects of one user, in a database of their own. A document is ten passages that follow each
other in the measuring data; its project and the year in its metadata are drawn by lot, and its set stands there, too.
"""

import json
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from uuid import UUID

import asyncpg
import numpy as np
from pgvector import SparseVector
from uuid_utils.compat import uuid7

from app.models import Project
from app.permissions import Principal
from app.repositories.retrieval import EXPANSION_SIZE, TERM_IDS
from app.resources import Resources
from app.services.lexicon import passage_terms
from app.services.projects import add_project
from app.settings import Settings
from benchmarks.distinct_passages import Passages, load_distinct

PROJECTS, PASSAGES_PER_DOCUMENT = 50, 10
YEARS = 20  # that documents' metadata name
INDEXES = {
    "ix_chunks_embedding_minilm": """
        CREATE INDEX ix_chunks_embedding_minilm ON chunks USING hnsw ((embedding::halfvec(384)) halfvec_ip_ops)
        WITH (m = 16, ef_construction = 64) WHERE embedding_model = 'all-MiniLM-L6-v2'
    """,
    "ix_chunk_terms_term_ids": "CREATE INDEX ix_chunk_terms_term_ids ON chunk_terms USING gin (term_ids)",
}
COLUMNS = {
    "documents": "id project_id owner_id title media_type size sha256 status chunk_count metadata",
    "chunks": "id document_id project_id ordinal text char_start char_end token_count embedding embedding_model",
    "chunk_terms": "chunk_id document_id project_id term_ids terms expansion expansion_model",
}
Row = list[str]


def database_url(settings: Settings) -> str:
    return settings.database.url.get_secret_value().replace("+asyncpg", "")


async def fill_many(resources: Resources, owner: Principal) -> list[UUID]:
    """The ids of the projects."""
    assert resources.foundation.sparse is not None
    passages = await load_distinct(resources.foundation.embedder, resources.foundation.sparse)
    projects = [Project(id=uuid7(), owner_id=owner.user_id, name=f"Shelf {number}") for number in range(PROJECTS)]
    async with resources.uow() as uow:
        for project in projects:
            await add_project(uow, project)
    connection = await asyncpg.connect(database_url(resources.settings), timeout=60, command_timeout=1800)
    try:
        await connection.execute("DROP INDEX " + ", ".join(INDEXES))
        for rows in _documents(owner, [str(project.id) for project in projects], passages):
            for table, names in COLUMNS.items():
                await _copy(connection, table, names.split(), rows[table])
        await connection.execute("SET maintenance_work_mem = '1GB'")
        for statement in (*INDEXES.values(), "VACUUM ANALYZE"):
            await connection.execute(statement)
    finally:
        await connection.close()
    return [project.id for project in projects]


def _documents(owner: Principal, projects: Sequence[str], passages: Passages) -> Iterator[dict[str, list[Row]]]:
    """Rows by table, of two hundred documents at once."""
    draw = random.Random(7)
    starts = range(0, len(passages.texts), PASSAGES_PER_DOCUMENT)
    places = [projects[index % len(projects)] for index in range(len(starts))]
    draw.shuffle(places)
    rows: dict[str, list[Row]] = {table: [] for table in COLUMNS}
    for start, project_id in zip(starts, places, strict=True):
        document_id = str(uuid7())
        metadata = {"year": 2000 + draw.randrange(YEARS), "set": passages.sources[start]}
        members = range(start, min(start + PASSAGES_PER_DOCUMENT, len(passages.texts)))
        described = [f"Document {start}", "text/plain", "1", uuid7().hex, "ready", str(len(members))]
        rows["documents"].append([document_id, project_id, str(owner.user_id), *described, json.dumps(metadata)])
        for ordinal, number in enumerate(members):
            _add_passage(rows, [document_id, project_id], ordinal, passages, number)
        if len(rows["documents"]) == 200:
            yield rows
            rows = {table: [] for table in COLUMNS}
    yield rows


def _add_passage(rows: dict[str, list[Row]], keys: Row, ordinal: int, passages: Passages, number: int) -> None:
    text = " ".join(passages.texts[number].replace("\\", " ").split())
    terms = passage_terms(text)
    words = SparseVector({key - 1: value for key, value in zip(terms.ids, terms.weights, strict=True)}, TERM_IDS)
    weights = passages.weights[number].astype(np.float32)
    spoken = zip(passages.pieces[number].tolist(), weights.tolist(), strict=True)
    meant = SparseVector({piece: weight for piece, weight in spoken if weight > 0}, EXPANSION_SIZE)
    chunk_id = str(uuid7())
    ids = "{" + ",".join(map(str, terms.ids)) + "}"
    numbers = [str(ordinal), text, "0", str(len(text)), "100"]
    rows["chunks"].append([chunk_id, *keys, *numbers, str(passages.vectors[number].tolist()), "all-MiniLM-L6-v2"])
    rows["chunk_terms"].append([chunk_id, *keys, ids, words.to_text(), meant.to_text(), "splade-tiny"])


async def _copy(connection: asyncpg.Connection, table: str, names: Sequence[str], rows: Sequence[Row]) -> None:
    async def lines() -> AsyncIterator[bytes]:
        for row in rows:
            yield ("\t".join(row) + "\n").encode()

    await connection.copy_to_table(table, source=lines(), columns=names, format="text")
