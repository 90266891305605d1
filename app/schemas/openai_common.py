"""Failures, ids and moments as OpenAI's clients know them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import AfterValidator, Field

from app.schemas.base import Schema

FILE_PREFIX: Final = "file-"
STORE_PREFIX: Final = "vs_"
HEX: Final = "[0-9a-f]{32}"
DEEPEST: Final = 50  # levels of JSON that is passed on
Item = TypeVar("Item")
Kind = TypeVar("Kind")


class OpenAIError(Schema):
    message: str
    type: str = Field(examples=["invalid_request_error"])
    param: str | None
    code: str | None = Field(examples=["resource_not_found"])


class OpenAIErrorResponse(Schema):
    """The form of every error below `/v1`."""

    error: OpenAIError


FileId = Annotated[str, Field(pattern=f"^{FILE_PREFIX}{HEX}$", max_length=37, examples=[f"{FILE_PREFIX}{'0' * 32}"])]
"""Of a document: the digits of its id, behind `file-`."""
StoreId = Annotated[str, Field(pattern=f"^{STORE_PREFIX}{HEX}$", max_length=35, examples=[f"{STORE_PREFIX}{'0' * 32}"])]
"""Of a project: the digits of its id, behind `vs_`."""


def file_id(document_id: UUID) -> str:
    return f"{FILE_PREFIX}{document_id.hex}"


def store_id(project_id: UUID) -> str:
    return f"{STORE_PREFIX}{project_id.hex}"


def uuid_of(given: str) -> UUID:
    """What a `FileId` or a `StoreId` stands for."""
    return UUID(hex=given[-32:])


def epoch(moment: datetime) -> int:
    """Whole seconds since 1970."""
    return int(moment.timestamp())


def require_shallow(value: Any) -> Any:
    """Whatever walks through JSON calls itself once a level."""
    level: list[Any] = [value]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in _inside(outer)]
    if level:
        raise ValueError(f"must be at most {DEEPEST} levels deep")
    return value


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list) else ()


JsonObject = Annotated[dict[str, Any], AfterValidator(require_shallow)]
ModelName = Annotated[str, Field(min_length=1, max_length=200, examples=["hearth"])]


class ListOf(Schema, Generic[Item]):
    """All of it at once."""

    object: Literal["list"] = "list"
    data: list[Item]


class PageOf(ListOf[Item], Generic[Item]):
    """Part of a list; `last_id` goes into `?after=` for what follows."""

    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedRead(Schema, Generic[Kind]):
    id: str
    object: Kind
    deleted: Literal[True] = True


def page_of(rows: Sequence[Any], limit: int) -> PageOf[Any]:
    """A page of at most `limit` rows out of `limit + 1` that were asked for."""
    shown = rows[:limit]
    first, last = (shown[0].id, shown[-1].id) if shown else (None, None)
    return PageOf(data=shown, first_id=first, last_id=last, has_more=len(rows) > limit)
