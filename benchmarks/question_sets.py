"""Public question sets (the measuring data, which are not part of the project) in a database of their own."""

import asyncio
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

from app.adapters.embeddings import Embedder
from app.models import Chunk, Document, DocumentText, Project, User
from app.permissions import Principal
from app.resources import Resources, open_resources
from app.services.projects import add_project
from benchmarks.measuring import prepared_settings

SHARED = Path(os.environ.get("HEARTH_SHARED", Path(__file__).parent.parent.parent / "shared")) / "data"
BATCH = 256  # passages


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
    folder = SHARED / name
    if not folder.exists():
        raise SystemExit(f"measuring data is absent: {folder} (set HEARTH_SHARED)")
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
    for start in range(0, len(questions.passages), BATCH):
        batch = questions.passages[start : start + BATCH]
        documents, parts = await _make_rows(resources.foundation.embedder, project, batch)
        async with resources.uow() as uow:
            uow._session.add_all(documents)
            await uow.flush()
            uow._session.add_all(parts)
    async with resources.foundation.engine.connect() as connection:
        for table in ("chunks", "documents"):
            await connection.exec_driver_sql(f"ANALYZE {table}")
        await connection.commit()


@asynccontextmanager
async def stored(*names: str) -> AsyncIterator[tuple[Resources, Mapping[str, tuple[QuestionSet, UUID]]]]:
    """Resources over new servers that hold these sets, and each with the id of the user who sees it."""
    async with prepared_settings() as settings, open_resources(settings) as resources:
        sets: dict[str, tuple[QuestionSet, UUID]] = {}
        for name in names:
            questions, owner = load(name), await make_owner(resources, name)
            await fill(resources, owner, questions)
            sets[name] = questions, owner.user_id
        yield resources, sets


async def _make_rows(
    embedder: Embedder, project: Project, passages: Sequence[Mapping[str, str]]
) -> tuple[list[Document], list[DocumentText | Chunk]]:
    texts = [text_of(passage) for passage in passages]
    vectors = await asyncio.gather(*(embedder.embed_query(text) for text in texts))
    documents: list[Document] = []
    parts: list[DocumentText | Chunk] = []
    for passage, said, vector in zip(passages, texts, vectors, strict=True):
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
        chunk = Chunk(
            document_id=document.id,
            project_id=project.id,
            ordinal=0,
            text=said,
            char_start=0,
            char_end=len(said),
            token_count=0,
            embedding=vector.tolist(),
            embedding_model=embedder.model,
        )
        documents.append(document)
        parts += [DocumentText(document_id=document.id, text=said, pages=[], headings=[]), chunk]
    return documents, parts


def text_of(passage: Mapping[str, str]) -> str:
    """Titles of abstracts belong to them; an article's name is no part of its paragraphs."""
    if "#" in passage["_id"] or not passage.get("title"):
        return passage["text"]
    return f"{passage['title']}\n\n{passage['text']}"


def _rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]
