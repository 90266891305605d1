"""Reading a document: to the end whatever happens, with every passage once and every offset right."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import func, select, update

from app.errors import NotFound
from app.models import Chunk, ChunkDraft, Document, DocumentTextDraft, Project, Task
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.resources import Resources
from app.schemas.documents import DocumentFields
from app.services.documents import Ingestion, Upload
from app.services.execution import TaskExecution
from app.services.indexing import Indexer
from app.services.ingestion import IngestionService, PassageSize
from app.settings import TaskSettings
from app.tasks.worker import run_worker
from tests.documents import make_pdf, make_scan
from tests.processes import environment_of, start_process
from tests.tasks.probes import Place, heard, lease_one, make_place, until
from tests.work import run_queued_tasks

LONG_PAGES = [
    " ".join(f"Sentence {number} of page {page} tells of lamp number {page * number}." for number in range(60))
    for page in range(1, 13)
]


async def upload(resources: Resources, place: Place, content: bytes, filename: str = "lamps.pdf") -> Ingestion:
    async def stream() -> AsyncIterator[bytes]:
        yield content

    blob = await resources.services.blobs.store(stream())
    fields = DocumentFields(project_id=place.project_id)
    return await resources.services.documents.create(place.actor, Upload(blob, fields, filename))


async def count(resources: Resources, entity: type, document_id: UUID) -> int:
    async with resources.foundation.engine.connect() as connection:
        query = select(func.count()).select_from(entity).where(entity.document_id == document_id)
        return await connection.scalar(query) or 0


async def read(resources: Resources, place: Place, document_id: UUID) -> Document:
    return await resources.services.documents.get(place.actor, document_id)


async def check_passages(resources: Resources, place: Place, document_id: UUID) -> list[Chunk]:
    """Every passage is there once, and stands at its place in the text."""
    document = await read(resources, place, document_id)
    assert (document.status, document.error) == ("ready", None)
    text = await resources.services.documents.text(place.actor, document_id)
    chunks = await resources.services.documents.chunks(place.actor, document_id, after=-1, limit=10_000)
    assert [chunk.ordinal for chunk in chunks] == list(range(document.chunk_count))
    assert all(text[chunk.char_start : chunk.char_end] == chunk.text for chunk in chunks)
    return list(chunks)


async def test_a_document_is_read_and_its_passages_stand_at_their_offsets(resources):
    place = await make_place(resources)
    async with heard(resources, place) as frames:
        document = (
            await upload(resources, place, make_pdf(["The lamp is lit at dusk.", "It burns whale oil."]))
        ).document
        await run_queued_tasks(resources)
    chunks = await check_passages(resources, place, document.id)
    assert (chunks[0].page, "lamp" in chunks[0].text) == (1, True)
    assert (await read(resources, place, document.id)).page_count == 2
    assert [frame["type"] for frame in frames if frame["type"] != "progress"] == ["task_started", "complete"]
    assert frames[-1]["result"] == {"document_id": str(document.id), "page_count": 2, "chunk_count": len(chunks)}
    assert "reading the file" in [frame.get("message") for frame in frames]


async def test_a_file_without_text_fails_once_and_says_why(resources):
    place = await make_place(resources)
    ingestion = await upload(resources, place, make_scan())
    await run_queued_tasks(resources)
    document = await read(resources, place, ingestion.document.id)
    task = await resources.services.tasks.get(place.actor, ingestion.task.id)
    assert (document.status, document.error["code"]) == ("failed", "NO_TEXT")
    assert (task.status, task.attempts, task.error["message"]) == ("failed", 1, document.error["message"])

    again = await upload(resources, place, make_scan())
    assert (again.document.id, again.document.status, again.is_queued) == (document.id, "pending", True)


async def test_a_worker_that_is_killed_leaves_a_document_that_becomes_ready(alone):
    place = await make_place(alone)
    document = (await upload(alone, place, make_pdf(LONG_PAGES))).document
    environment = environment_of(alone.settings, TASK_LEASE="2", TASK_POLL_INTERVAL="0.1", EMBEDDING_BATCH_SIZE="8")
    before = 0
    for draft in (DocumentTextDraft, ChunkDraft):
        worker = await start_process(environment, "worker")
        await until(lambda draft=draft, more=before: has_more(alone, draft, document.id, than=more), seconds=30)
        worker.kill()
        await worker.wait()
        before = await count(alone, ChunkDraft, document.id)
        assert (await read(alone, place, document.id)).status == "processing"

    worker = await start_process(environment, "worker")
    try:
        await until(lambda: is_done(alone, place, document.id), seconds=60)
    finally:
        worker.kill()
        await worker.wait()
    assert len(await check_passages(alone, place, document.id)) > before > 0
    task = await only_task(alone, place)
    assert (task.status, task.attempts) == ("succeeded", 3)
    assert [await count(alone, entity, document.id) for entity in (ChunkDraft, DocumentTextDraft)] == [0, 0]


class Killed(BaseException):
    pass


def mortal(open_uow: OpenUnitOfWork, last: int, *, is_committed: bool) -> OpenUnitOfWork:
    """Units of work of a process that dies in the one with the number `last`, before or after it is committed."""
    opened = itertools.count(1)

    @asynccontextmanager
    async def opener() -> AsyncIterator[UnitOfWork]:
        is_last = next(opened) == last
        async with open_uow() as uow:
            yield uow
            if is_last and not is_committed:
                raise Killed
        if is_last:
            raise Killed

    return opener


@pytest.mark.parametrize("is_committed", [False, True])
async def test_whatever_transaction_an_attempt_ends_in_the_next_one_finishes_it(alone, is_committed):
    place, size = await make_place(alone), PassageSize(max_tokens=16, overlap=0)
    world = alone.foundation
    execution = TaskExecution(alone.uow, TaskSettings(lease=timedelta(milliseconds=1)), {})
    parts = (world.storage, world.extractor, world.embedder, Indexer(world.embedder, world.sparse))
    for last in itertools.count(1):
        text = f"{last}. " + " ".join(f"Lamp {number} is lit at dusk and burns until dawn." for number in range(8))
        document = (await upload(alone, place, text.encode(), "lamps.txt")).document
        doomed = IngestionService(mortal(alone.uow, last, is_committed=is_committed), *parts, batch_size=2)
        running = await lease_one(execution, "ingest_document")
        try:
            await doomed.ingest(running, document.id, size)
        except Killed:
            await asyncio.sleep(0.005)
            again = await lease_one(execution, "ingest_document")
            if again is not None:  # it was not done yet
                await IngestionService(alone.uow, *parts, batch_size=2).ingest(again, document.id, size)
            chunks = await check_passages(alone, place, document.id)
            assert len(chunks) > 4
        else:
            break
    assert last > 8, "an attempt has as many transactions"


async def test_what_was_embedded_before_a_stop_is_not_embedded_again(alone):
    place = await make_place(alone)
    document = (await upload(alone, place, make_pdf(LONG_PAGES))).document
    async with working(alone):
        await until(lambda: has_more(alone, ChunkDraft, document.id, than=0), seconds=30)
    assert (await only_task(alone, place)).attempts == 0
    async with alone.foundation.engine.begin() as connection:
        marked = (await connection.execute(update(ChunkDraft).values(heading="embedded before"))).rowcount
    await run_queued_tasks(alone)
    chunks = await check_passages(alone, place, document.id)
    kept = [chunk.heading == "embedded before" for chunk in chunks]
    assert kept == [True] * marked + [False] * (len(chunks) - marked)
    assert 0 < marked < len(chunks)


async def test_drafts_that_do_not_fit_are_dropped(alone):
    place = await make_place(alone)
    document = (await upload(alone, place, make_pdf(LONG_PAGES[:8]))).document
    async with working(alone):
        await until(lambda: has_more(alone, ChunkDraft, document.id, than=0), seconds=30)
    async with alone.foundation.engine.begin() as connection:
        await connection.execute(update(ChunkDraft).values(embedding_model="another"))
    await run_queued_tasks(alone)
    chunks = await check_passages(alone, place, document.id)
    assert {chunk.embedding_model for chunk in chunks} == {alone.foundation.embedder.model}


async def test_a_document_deleted_while_it_is_read_leaves_nothing(alone):
    place = await make_place(alone)
    ingestion = await upload(alone, place, make_pdf(LONG_PAGES))
    document = ingestion.document
    async with heard(alone, place) as frames, working(alone):
        await until(lambda: has_more(alone, ChunkDraft, document.id, than=0), seconds=30)
        await alone.services.documents.delete(place.actor, document.id, expected=None)
        with pytest.raises(NotFound):
            await read(alone, place, document.id)
        await until(lambda: has_ended(alone, place), seconds=2)
        other = (await upload(alone, place, b"The worker lives on.", "note.txt")).document
        await until(lambda: is_done(alone, place, other.id))
    assert (await alone.services.tasks.get(place.actor, ingestion.task.id)).status == "cancelled"
    assert [frame["error_code"] for frame in frames if frame["type"] == "error"] == ["TASK_CANCELLED"]
    assert not alone.foundation.storage.path(document.sha256).exists()
    assert alone.foundation.storage.path(other.sha256).exists()
    assert [await count(alone, entity, document.id) for entity in (Chunk, ChunkDraft, DocumentTextDraft)] == [0, 0, 0]


async def test_a_project_deleted_while_a_document_is_read_ends_it_and_its_bytes_go_later(alone):
    place, other_place = await make_place(alone), await make_place(alone)
    document = (await upload(alone, place, make_pdf(LONG_PAGES))).document
    async with working(alone):
        await until(lambda: has_more(alone, ChunkDraft, document.id, than=0), seconds=30)
        await alone.services.projects.delete(place.actor, place.project_id, expected=None)
        other = (await upload(alone, other_place, b"The worker lives on.", "note.txt")).document
        await until(lambda: is_done(alone, other_place, other.id))
    assert await count(alone, ChunkDraft, document.id) == 0
    path = alone.foundation.storage.path(document.sha256)
    await alone.services.blobs.discard_unnamed()
    assert path.exists(), "somebody may be uploading it just now"
    os.utime(path, (0, 0))
    await alone.services.blobs.discard_unnamed()
    assert not path.exists()
    assert alone.foundation.storage.path(other.sha256).exists()


async def test_a_project_is_deleted_also_when_somebody_takes_the_same_rows_in_another_order(alone):
    place = await make_place(alone)
    document = (await upload(alone, place, b"The lamp is lit.", "note.txt")).document
    async with alone.foundation.engine.begin() as other:
        await other.execute(select(Document.id).where(Document.id == document.id).with_for_update())
        deleting = asyncio.create_task(alone.services.projects.delete(place.actor, place.project_id, expected=None))
        await asyncio.sleep(0.3)  # it has the project, and waits for the document
        await other.execute(select(Project.id).where(Project.id == place.project_id).with_for_update(key_share=True))
    await deleting
    with pytest.raises(NotFound):
        await alone.services.projects.get(place.actor, place.project_id)


async def test_reading_again_keeps_the_old_passages_until_the_new_ones_are_there(alone):
    place = await make_place(alone)
    document = (await upload(alone, place, make_pdf(LONG_PAGES[:4]))).document
    await run_queued_tasks(alone)
    first = await check_passages(alone, place, document.id)
    ingestion = await alone.services.documents.reingest(place.actor, document.id)
    assert (ingestion.document.status, ingestion.is_queued) == ("pending", True)
    again = await alone.services.documents.reingest(place.actor, document.id)
    assert (again.task.id, again.is_queued) == (ingestion.task.id, False)
    kept = await alone.services.documents.chunks(place.actor, document.id, after=-1, limit=1000)
    assert [chunk.id for chunk in kept] == [chunk.id for chunk in first]
    assert await alone.services.documents.text(place.actor, document.id)
    await run_queued_tasks(alone)
    second = await check_passages(alone, place, document.id)
    assert [chunk.text for chunk in second] == [chunk.text for chunk in first]
    assert {chunk.id for chunk in second}.isdisjoint(chunk.id for chunk in first)


async def test_a_cancelled_reading_fails_the_document_and_an_upload_starts_it_again(resources):
    place = await make_place(resources)
    ingestion = await upload(resources, place, b"To be or not to be.", "note.txt")
    await resources.services.tasks.cancel(place.actor, ingestion.task.id)
    document = await read(resources, place, ingestion.document.id)
    assert (document.status, document.error) == (
        "failed",
        {"code": "TASK_CANCELLED", "message": "Reading was cancelled."},
    )
    again = await upload(resources, place, b"To be or not to be.", "note.txt")
    await run_queued_tasks(resources)
    assert (await check_passages(resources, place, again.document.id))[0].text == "To be or not to be."


@asynccontextmanager
async def working(resources: Resources) -> AsyncIterator[None]:
    stop = asyncio.Event()
    worker = asyncio.create_task(run_worker(resources, stop))
    try:
        yield
    finally:
        stop.set()
        await worker


async def only_task(resources: Resources, place: Place) -> Task:
    tasks = await resources.services.tasks.list(
        place.actor, project_id=None, status=None, task_type=None, before=None, limit=2
    )
    assert len(tasks) == 1
    return tasks[0]


async def has_ended(resources: Resources, place: Place) -> bool:
    return (await only_task(resources, place)).status in ("succeeded", "failed", "cancelled")


async def is_done(resources: Resources, place: Place, document_id: UUID) -> bool:
    return (await read(resources, place, document_id)).status in ("ready", "failed")


async def has_more(resources: Resources, entity: type, document_id: UUID, *, than: int) -> bool:
    return await count(resources, entity, document_id) > than
