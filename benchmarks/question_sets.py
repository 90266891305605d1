"""Public question sets (the measuring data, which are not part of the project) in a database of their own."""

import gzip
import json
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from app.models import Chunk, ChunkTerms, Document, DocumentText, Project, User
from app.permissions import Principal
from app.resources import Resources, open_resources
from app.services.indexing import Indexer
from app.services.projects import add_project
from benchmarks.measuring import prepared_settings

SHARED = Path(os.environ.get("HEARTH_SHARED", Path(__file__).parent.parent.parent / "shared")) / "data"
BATCH = 256  # passages
UNANSWERABLE_CATEGORY = 5  # of LoCoMo's questions


@dataclass(frozen=True)
class Question:
    id: str
    text: str
    answers: Sequence[str]
    article: str
    is_answerable: bool


@dataclass(frozen=True)
class QuestionSet:
    """`relevant`: passage ids and grades by question id. A passage's id is its document's title."""

    name: str
    passages: Sequence[Mapping[str, str]]
    questions: Sequence[Question]
    relevant: Mapping[str, Mapping[str, float]]

    def answerable(self) -> list[Question]:
        return [question for question in self.questions if self.relevant.get(question.id)]


def load(name: str) -> QuestionSet:
    """`name` is a folder of the measuring data; conversations become passages, one for each turn."""
    folder = SHARED / name
    if not folder.exists():
        raise SystemExit(f"measuring data is absent: {folder} (set HEARTH_SHARED)")
    if name == "locomo":
        return _load_conversations(folder)
    relevant: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for line in (folder / "qrels.tsv").read_text().splitlines()[1:]:
        question_id, passage_id, grade = line.split("\t")
        relevant[question_id][passage_id] = float(grade)
    questions = [
        Question(
            id=row["_id"],
            text=row["text"],
            answers=row.get("answers", []),
            article=row.get("article", ""),
            is_answerable=not row.get("unanswerable", False),
        )
        for row in _rows(folder / "queries.jsonl.gz")
    ]
    return QuestionSet(name, _rows(folder / "corpus.jsonl.gz"), questions, relevant)


def _load_conversations(folder: Path) -> QuestionSet:
    passages: list[dict[str, str]] = []
    questions: list[Question] = []
    relevant: dict[str, dict[str, float]] = {}
    for row in _rows(folder / "conversations.jsonl.gz"):
        conversation = row["sample_id"]
        for name, turns in row["conversation"].items():
            if name.startswith("session") and isinstance(turns, list):
                passages += [
                    {"_id": f"{conversation}#{turn['dia_id']}", "text": f"{turn['speaker']}: {turn['text']}"}
                    for turn in turns
                ]
        for number, asked in enumerate(row["qa"]):
            if asked["category"] == UNANSWERABLE_CATEGORY:
                continue
            question = Question(f"{conversation}-{number}", asked["question"], [], conversation, is_answerable=True)
            places = [place.strip() for several in asked["evidence"] for place in several.split(";")]
            questions.append(question)
            relevant[question.id] = {f"{conversation}#{place}": 1.0 for place in places}
    there = {passage["_id"] for passage in passages}
    relevant = {one: {place: 1.0 for place in places if place in there} for one, places in relevant.items()}
    return QuestionSet("locomo", passages, questions, relevant)


async def make_owner(resources: Resources, name: str) -> Principal:
    """A new user with a project."""
    user = User(id=uuid7(), name=name, email=f"{name}@example.com")
    async with resources.uow() as uow:
        uow.users.add(user)
        await uow.flush()
        await add_project(uow, Project(id=uuid7(), owner_id=user.id, name=name, is_default=True))
    return Principal(user.id, name)


async def fill(resources: Resources, owner: Principal, questions: QuestionSet) -> None:
    """Make each passage a document in the owner's default project."""
    async with resources.uow() as uow:
        project = await uow.projects.get_default(owner.user_id)
    indexer = Indexer(resources.foundation.embedder, resources.foundation.sparse)
    for start in range(0, len(questions.passages), BATCH):
        batch = questions.passages[start : start + BATCH]
        rows = await _make_rows(indexer, project, batch)
        async with resources.uow() as uow:
            for kind in rows:
                uow._session.add_all(kind)
                await uow.flush()
    async with resources.foundation.engine.connect() as connection:
        for table in ("chunks", "chunk_terms", "documents"):
            await connection.exec_driver_sql(f"ANALYZE {table}")
        await connection.commit()


@asynccontextmanager
async def stored(*names: str) -> AsyncIterator[tuple[Resources, Mapping[str, tuple[QuestionSet, UUID]]]]:
    """Resources over new servers that hold these sets, and each with the id of the user who sees it."""
    async with prepared_settings() as settings, open_resources(settings) as resources:
        sets: dict[str, tuple[QuestionSet, UUID]] = {}
        for name in names:
            questions, owner = load(name), await make_owner(resources, name.replace("/", "-"))
            await fill(resources, owner, questions)
            sets[name] = questions, owner.user_id
        yield resources, sets


async def _make_rows(
    indexer: Indexer, project: Project, passages: Sequence[Mapping[str, str]]
) -> tuple[list[Document], list[Chunk], list[DocumentText | ChunkTerms]]:
    """Rows in the order in which they must be stored."""
    texts = [text_of(passage) for passage in passages]
    made = await indexer.index(texts, [None] * len(texts))
    documents: list[Document] = []
    chunks: list[Chunk] = []
    parts: list[DocumentText | ChunkTerms] = []
    for passage, said, one in zip(passages, texts, made, strict=True):
        document = Document(
            id=uuid7(),
            project_id=project.id,
            owner_id=project.owner_id,
            title=passage["_id"],
            media_type="text/plain",
            size=len(said.encode()),
            sha256=uuid7().hex,
            status="ready",
            chunk_count=1,
        )
        keys = {"document_id": document.id, "project_id": project.id}
        chunk = Chunk(
            id=uuid7(),
            **keys,
            ordinal=0,
            text=said,
            char_start=0,
            char_end=len(said),
            token_count=0,
            embedding=one.embedding,
            embedding_model=indexer.embedding_model,
        )
        words = ChunkTerms(
            chunk_id=chunk.id,
            **keys,
            term_ids=one.term_ids,
            terms=one.terms,
            expansion=one.expansion,
            expansion_model=indexer.expansion_model,
        )
        documents.append(document)
        chunks.append(chunk)
        parts += [DocumentText(document_id=document.id, text=said, pages=[], headings=[]), words]
    return documents, chunks, parts


def text_of(passage: Mapping[str, str]) -> str:
    """Titles of abstracts belong to them; an article's name is no part of its paragraphs."""
    if "#" in passage["_id"] or not passage.get("title"):
        return passage["text"]
    return f"{passage['title']}\n\n{passage['text']}"


def _rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]
