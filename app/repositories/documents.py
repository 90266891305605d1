"""Documents and their extracted text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Document, DocumentStatus, DocumentText, DocumentTextDraft, Member
from app.permissions import Principal
from app.repositories.pages import newest_first

WITHOUT_SYNCHRONIZING = {"synchronize_session": False}


@dataclass(frozen=True, slots=True)
class DocumentFilter:
    """What a list is narrowed to by whatever is not None; `words` stand somewhere in the title or the file name."""

    project_id: UUID | None = None
    status: str | None = None
    media_type: str | None = None
    words: str | None = None


class DocumentRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add_or_get(self, document: Document) -> tuple[Document, bool]:
        """The document with these bytes in this project, locked, and whether it is the given one, new.

        Raises:
            sqlalchemy.exc.IntegrityError: the project is gone.
        """
        values = {
            "id": document.id,
            "project_id": document.project_id,
            "owner_id": document.owner_id,
            "title": document.title,
            "filename": document.filename,
            "source_url": document.source_url,
            "media_type": document.media_type,
            "size": document.size,
            "sha256": document.sha256,
            "status": DocumentStatus.PENDING,
            "attributes": document.attributes,
        }
        add = insert(Document).values(values).on_conflict_do_nothing(index_elements=["project_id", "sha256"])
        same = select(Document).where(Document.project_id == document.project_id, Document.sha256 == document.sha256)
        while True:  # until nobody deletes between these two statements what was in the way of the first
            if added := await self._session.scalar(add.returning(Document)):
                return added, True
            if found := await self._session.scalar(same.with_for_update(key_share=True)):
                return found, False

    async def get(self, document_id: UUID) -> Document | None:
        """For tasks, which act on any document."""
        return await self._session.get(Document, document_id, populate_existing=True)

    async def get_visible(self, actor: Principal, document_id: UUID) -> Document | None:
        rows = await self._session.scalars(_visible_to(actor).where(Document.id == document_id))
        return rows.one_or_none()

    async def lock_visible(self, actor: Principal, document_id: UUID) -> Document | None:
        """The document, to be changed by this transaction."""
        query = _visible_to(actor).where(Document.id == document_id).with_for_update(key_share=True)
        return (await self._session.scalars(query)).one_or_none()

    async def list_visible(
        self, actor: Principal, narrowing: DocumentFilter, *, before: UUID | None, limit: int
    ) -> Sequence[Document]:
        query = _visible_to(actor)
        exact = {
            Document.project_id: narrowing.project_id,
            Document.status: narrowing.status,
            Document.media_type: narrowing.media_type,
        }
        query = query.where(*(column == value for column, value in exact.items() if value is not None))
        if narrowing.words:
            found = (
                column.icontains(narrowing.words, autoescape=True) for column in (Document.title, Document.filename)
            )
            query = query.where(or_(*found))
        return await newest_first(self._session, query, Document, before=before, limit=limit)

    async def list_visible_among(self, actor: Principal, document_ids: Sequence[UUID]) -> Sequence[Document]:
        """Those of them that the actor may see."""
        return (await self._session.scalars(_visible_to(actor).where(Document.id.in_(document_ids)))).all()

    async def get_with_bytes(self, project_id: UUID, sha256: str) -> Document | None:
        """The project's document with these bytes."""
        same = select(Document).where(Document.project_id == project_id, Document.sha256 == sha256)
        return (await self._session.scalars(same)).one_or_none()

    async def count_of(self, project_ids: Sequence[UUID]) -> Sequence[Row[UUID, str, int, int]]:
        """`project_id`, `status`, the number of its documents with it, and their bytes."""
        query = select(Document.project_id, Document.status, func.count(), func.sum(Document.size))
        grouped = query.where(Document.project_id.in_(project_ids)).group_by(Document.project_id, Document.status)
        return (await self._session.execute(grouped)).all()

    async def list_ids(self, project_id: UUID, *, status: str | None) -> Sequence[UUID]:
        """Of a project's documents, the oldest first."""
        query = select(Document.id).where(Document.project_id == project_id).order_by(Document.id)
        query = query if status is None else query.where(Document.status == status)
        return (await self._session.scalars(query)).all()

    async def lock(self, document_id: UUID) -> Document | None:
        """For tasks; the document, to be changed by this transaction."""
        query = select(Document).where(Document.id == document_id).with_for_update(key_share=True)
        return (await self._session.scalars(query)).one_or_none()

    async def start_processing(self, document_id: UUID) -> Document | None:
        """The document, now being read; None when it is gone."""
        change = update(Document).where(Document.id == document_id)
        change = change.values(status=DocumentStatus.PROCESSING, error=None)
        return await self._session.scalar(
            change.returning(Document), execution_options={"synchronize_session": False, "populate_existing": True}
        )

    async def suggest_title(self, document_id: UUID, title: str) -> None:
        """Take the title that the file has, where nobody gave another than its name."""
        unnamed = update(Document).where(Document.id == document_id, Document.title == Document.filename)
        await self._session.execute(unnamed.values(title=title), execution_options=WITHOUT_SYNCHRONIZING)

    async def fail(self, document_id: UUID, error: Mapping[str, Any]) -> None:
        """Say why it could not be read, unless it was meanwhile."""
        unfinished = Document.status.in_((DocumentStatus.PENDING, DocumentStatus.PROCESSING))
        change = update(Document).where(Document.id == document_id, unfinished)
        await self._session.execute(
            change.values(status=DocumentStatus.FAILED, error=dict(error)), execution_options=WITHOUT_SYNCHRONIZING
        )

    async def delete(self, document_id: UUID) -> None:
        """With its text and its passages."""
        await self._session.execute(
            delete(Document).where(Document.id == document_id), execution_options=WITHOUT_SYNCHRONIZING
        )

    # --- the extracted text ---

    async def get_text(self, document_id: UUID) -> str | None:
        """What fits the document's passages."""
        return await self._session.scalar(select(DocumentText.text).where(DocumentText.document_id == document_id))

    async def get_text_range(self, document_id: UUID, *, start: int, length: int) -> tuple[str, int] | None:
        """`length` code points of it from `start` on, and how many there are; the text itself stays where it is."""
        text = DocumentText.text
        query = select(func.substr(text, start + 1, length), func.char_length(text))
        row = (await self._session.execute(query.where(DocumentText.document_id == document_id))).one_or_none()
        return None if row is None else (row[0], row[1])

    async def get_text_draft(self, document_id: UUID) -> DocumentTextDraft | None:
        return await self._session.get(DocumentTextDraft, document_id)

    async def put_text_draft(self, draft: DocumentTextDraft) -> None:
        """Keep what the parser found; what another attempt found before is replaced."""
        await self._session.merge(draft)
        await self._session.flush()

    async def publish_text_draft(self, document_id: UUID) -> None:
        """Put the draft in the place of the document's text."""
        columns = ("document_id", "text", "pages", "headings")
        draft = select(*(getattr(DocumentTextDraft, name) for name in columns))
        draft = draft.where(DocumentTextDraft.document_id == document_id)
        await self._delete(DocumentText, document_id)
        await self._session.execute(insert(DocumentText).from_select(columns, draft))
        await self.delete_text_draft(document_id)

    async def delete_text_draft(self, document_id: UUID) -> None:
        await self._delete(DocumentTextDraft, document_id)

    async def _delete(self, entity: type[DocumentText | DocumentTextDraft], document_id: UUID) -> None:
        statement = delete(entity).where(entity.document_id == document_id)
        await self._session.execute(statement, execution_options=WITHOUT_SYNCHRONIZING)


def _visible_to(actor: Principal) -> Select[Document]:
    own = select(Member.project_id).where(Member.user_id == actor.user_id)
    return select(Document).where(Document.project_id.in_(own))
