"""The audit log over HTTP."""

import csv
import io
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Annotated, Final
from uuid import UUID

from fastapi import Depends, Query
from fastapi.responses import StreamingResponse

from app.api.deps import Admin, Cursor, Limit, ServicesDep
from app.api.routing import Router
from app.event_base import Instant
from app.models import AuditEntry
from app.repositories.audit import AuditFilter
from app.schemas.admin import AuditEntryRead, ExportFormat
from app.schemas.common import Page
from app.services.audit import actions_like

router = Router(prefix="/admin/audit", tags=["administration"])

COLUMNS: Final = tuple(AuditEntryRead.model_fields)
FORMULA_STARTS: Final = (
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
    "\n",
    "＝",
    "＋",
    "－",
    "＠",
)  # spreadsheets read the wide ones, too
MEDIA_TYPES: Final[Mapping[ExportFormat, str]] = {
    ExportFormat.JSONL: "application/x-ndjson",
    ExportFormat.CSV: "text/csv; charset=utf-8",
}


async def _filter(
    actor_id: UUID | None = None,
    action: Annotated[
        str | None,
        Query(
            max_length=50,
            pattern=r"^[a-z_.]*$",
            description="An action, or the group before its dot.",
            examples=["login"],
        ),
    ] = None,
    target_type: Annotated[str | None, Query(max_length=30, pattern=r"^[a-z_]*$")] = None,
    target_id: UUID | None = None,
    address: Annotated[str | None, Query(max_length=64, pattern=r"^[^\x00]*$")] = None,
    since: Annotated[Instant | None, Query(alias="from")] = None,
    until: Annotated[Instant | None, Query(alias="to", description="Not part of it any more.")] = None,
) -> AuditFilter:
    return AuditFilter(
        actor_id=actor_id,
        actions=actions_like(action),
        target_type=target_type,
        target_id=target_id,
        address=address,
        since=since,
        until=until,
    )


Filter = Annotated[AuditFilter, Depends(_filter)]


@router.get("")
async def list_audit_entries(
    actor: Admin, services: ServicesDep, narrowing: Filter, limit: Limit = 20, cursor: Cursor = None
) -> Page[AuditEntryRead]:
    """Who did what, the newest first."""
    rows = await services.audit.list(actor, narrowing, before=cursor, limit=limit + 1)
    return Page[AuditEntryRead].of(rows, limit)


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {}, "text/csv": {}}, "description": "One entry a line"}},
)
async def export_audit_entries(
    actor: Admin,
    services: ServicesDep,
    narrowing: Filter,
    file_format: Annotated[ExportFormat, Query(alias="format")] = ExportFormat.JSONL,
) -> StreamingResponse:
    """Everything that matches, the newest first, as JSON Lines or CSV."""
    batches = await services.audit.export(actor, narrowing)
    headers = {"Content-Disposition": f'attachment; filename="audit.{file_format}"', "Cache-Control": "no-store"}
    return StreamingResponse(WRITERS[file_format](batches), media_type=MEDIA_TYPES[file_format], headers=headers)


async def _json_lines(batches: AsyncIterator[Sequence[AuditEntry]]) -> AsyncIterator[str]:
    async for batch in batches:
        yield "".join(AuditEntryRead.model_validate(entry).model_dump_json() + "\n" for entry in batch)


async def _csv_lines(batches: AsyncIterator[Sequence[AuditEntry]]) -> AsyncIterator[str]:
    yield _csv([COLUMNS])
    async for batch in batches:
        yield _csv([_cells(AuditEntryRead.model_validate(entry).model_dump(mode="json")) for entry in batch])


def _csv(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _cells(entry: Mapping[str, object]) -> Sequence[str]:
    return [_harmless(_text_of(entry[column])) for column in COLUMNS]


def _text_of(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _harmless(cell: str) -> str:
    """A spreadsheet runs what begins like a formula, and a request id is chosen by whoever calls."""
    return f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell


WRITERS: Final[Mapping[ExportFormat, Callable[[AsyncIterator[Sequence[AuditEntry]]], AsyncIterator[str]]]] = {
    ExportFormat.JSONL: _json_lines,
    ExportFormat.CSV: _csv_lines,
}
