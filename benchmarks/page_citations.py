"""Questions about annual reports: is the right page among the five citations, with and without naming the document.

python -m benchmarks.page_citations [CACHE]     CACHE keeps what was read and embedded, for the next run
"""

import asyncio
import gzip
import json
import pickle
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from app.adapters.batching import FloatArray
from app.adapters.extraction import Extracted
from app.models import Chunk, Document, DocumentText
from app.permissions import Principal
from app.presets import PRESETS
from app.resources import Resources, open_resources
from app.schemas.search import SearchFields, SearchFilters
from app.services import chunking
from benchmarks.measuring import machine, prepared_settings
from benchmarks.question_sets import SHARED, make_owner

FOLDER = SHARED / "financebench"
DEPTHS = (5, 10, 50)
Ingested = tuple[Extracted, Sequence[chunking.Chunk], FloatArray]


async def read(resources: Resources, path: Path) -> Ingested:
    """As an ingestion does, without its task."""
    size = PRESETS["standard"]
    embedder = resources.foundation.embedder
    found = await resources.foundation.extractor.extract(path, "application/pdf")
    spans = await embedder.token_spans(found.text)
    parts = chunking.chunk(
        found, spans, max_tokens=min(size.passage_tokens, embedder.max_tokens), overlap=size.passage_overlap
    )
    return found, parts, await embedder.embed_passages([part.text for part in parts])


async def store(resources: Resources, owner: Principal, name: str, ingested: Ingested) -> UUID:
    found, parts, vectors = ingested
    async with resources.uow() as uow:
        project = await uow.projects.get_default(owner.user_id)
        document = Document(
            id=uuid7(),
            project_id=project.id,
            owner_id=owner.user_id,
            title=found.title or name,
            filename=f"{name}.pdf",
            media_type="application/pdf",
            size=1,
            sha256=uuid7().hex,
            status="ready",
            page_count=len(found.pages),
            chunk_count=len(parts),
        )
        uow._session.add(document)
        await uow.flush()
        pages, headings = [asdict(page) for page in found.pages], [asdict(heading) for heading in found.headings]
        uow._session.add(DocumentText(document_id=document.id, text=found.text, pages=pages, headings=headings))
        uow._session.add_all(
            Chunk(
                document_id=document.id,
                project_id=project.id,
                ordinal=part.ordinal,
                text=part.text,
                char_start=part.char_start,
                char_end=part.char_end,
                page=part.page,
                heading=part.heading,
                token_count=part.token_count,
                embedding=vector.tolist(),
                embedding_model=resources.foundation.embedder.model,
            )
            for part, vector in zip(parts, vectors, strict=True)
        )
    return document.id


def load_questions() -> list[dict[str, Any]]:
    with gzip.open(FOLDER / "questions.jsonl.gz", "rt") as lines:
        return [json.loads(line) for line in lines]


def right_pages(question: Mapping[str, Any], documents: Mapping[str, UUID]) -> set[tuple[UUID, int]]:
    return {(documents[one["doc"]], one["page"] + 1) for one in question["evidence"]}


async def ask(
    resources: Resources,
    owner: Principal,
    question: Mapping[str, Any],
    documents: Mapping[str, UUID],
    fields: SearchFields,
) -> tuple[bool, bool, list[bool]]:
    """Whether it was answered, whether a citation lies on a right page, and at which depths a passage does."""
    right, answers = right_pages(question, documents), resources.services.answers
    inquiry = await answers.look_up(owner.user_id, question["text"], fields)
    parts = [part async for part in answers.tell(owner, inquiry, None)]
    cited = {(citation.document_id, citation.page) for citation in parts[-1].citations}
    deep = await resources.services.retrieval.find(
        owner.user_id, question["text"], fields.model_copy(update={"top_k": max(DEPTHS)})
    )
    places = [(match.document_id, match.page) for match in deep.matches]
    return parts[-1].grounded, bool(cited & right), [bool(set(places[:depth]) & right) for depth in DEPTHS]


async def measure(
    resources: Resources, owner: Principal, questions: Sequence[Mapping[str, Any]], documents: Mapping[str, UUID]
) -> None:
    for name in ("with a document filter", "without"):
        outcomes = []
        for question in questions:
            filters = SearchFilters(document_ids=[documents[question["doc"]]] if name != "without" else None)
            outcomes.append(await ask(resources, owner, question, documents, SearchFields(filters=filters)))
        count = len(outcomes)
        depths = ", ".join(
            f"{depth}: {sum(reached[index] for *_, reached in outcomes) / count:.0%}"
            for index, depth in enumerate(DEPTHS)
        )
        print(
            f"{name}: right page among the citations {sum(hit for _, hit, _ in outcomes) / count:.0%} of {count}, "
            f"grounded {sum(grounded for grounded, *_ in outcomes) / count:.0%}; passages on it in the first {depths}"
        )


def load(cache: Path | None) -> dict[str, Ingested]:
    kept: dict[str, Ingested] = pickle.loads(cache.read_bytes()) if cache and cache.exists() else {}
    return kept


def save(cache: Path | None, kept: Mapping[str, Ingested]) -> None:
    if cache:
        cache.write_bytes(pickle.dumps(kept))


async def main(cache: Path | None) -> None:
    if not FOLDER.is_dir():
        raise SystemExit(f"measuring data is absent: {FOLDER} (set HEARTH_SHARED)")
    print(machine())
    kept = load(cache)
    questions = load_questions()
    paths = sorted((FOLDER / "pdfs").glob("*.pdf"))
    async with prepared_settings() as settings, open_resources(settings) as resources:
        owner = await make_owner(resources, "analyst")
        documents: dict[str, UUID] = {}
        for path in paths:
            kept[path.stem] = kept.get(path.stem) or await read(resources, path)
            documents[path.stem] = await store(resources, owner, path.stem, kept[path.stem])
        save(cache, kept)
        await measure(resources, owner, questions, documents)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
