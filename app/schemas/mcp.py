"""What the tools of the MCP server take and give: flat and bounded, since it all goes through a model's context.

The rules for texts are those of the resources that are made from them, and apply there.
"""

from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from app.commands import ClientId
from app.events import Citation
from app.models import Precision
from app.permissions import ProjectRole
from app.schemas.base import Schema
from app.schemas.common import Read, Timestamp
from app.schemas.memories import LONGEST_CONTENT
from app.schemas.moments import When
from app.schemas.search import MAX_QUESTION_LENGTH
from app.schemas.texts import ONLY_NUMBERS

MOST_HITS: Final = 20
MOST_ITEMS: Final = 50
LONGEST_RANGE: Final = 20_000  # characters of one answer
SHOWN_OF_MEMORY: Final = 2_000  # characters of its content in a list
LAST_CHARACTER: Final = 2**31 - 2

Source = Literal["documents", "memories"]
Sources = Annotated[list[Source], Field(min_length=1, max_length=2)]
Question = Annotated[str, Field(min_length=1, max_length=MAX_QUESTION_LENGTH)]
Projects = Annotated[list[UUID], Field(max_length=100)]
Limit = Annotated[int, ONLY_NUMBERS, Field(ge=1, le=MOST_ITEMS, description="Items on one page.")]
Cursor = Annotated[str, Field(max_length=64, description="`next_cursor` of the page before.")]
Start = Annotated[int, ONLY_NUMBERS, Field(ge=0, le=LAST_CHARACTER, description="First character, from 0.")]
Length = Annotated[int, ONLY_NUMBERS, Field(ge=1, le=LONGEST_RANGE, description="Characters, at most.")]

IN_PROJECTS: Final = "Ids of projects to look in; else all that you are a member of."


class Arguments(Schema):
    model_config = ConfigDict(extra="forbid")


class SearchArguments(Arguments):
    query: Question
    sources: Sources = Field(["documents"])
    project_ids: Projects | None = Field(None, description=IN_PROJECTS)
    document_ids: Annotated[list[UUID], Field(max_length=100)] | None = Field(None, description="Only in these.")
    top_k: Annotated[int, ONLY_NUMBERS, Field(ge=1, le=MOST_HITS)] = 8


class AskArguments(Arguments):
    question: Question
    sources: Sources = Field(["documents"])
    project_ids: Projects | None = Field(None, description=IN_PROJECTS)


class DocumentArguments(Arguments):
    document_id: UUID
    char_start: Start = 0
    length: Length = 8_000


class MemoryArguments(Arguments):
    memory_id: UUID
    char_start: Start = 0
    length: Length = 8_000


class MemoriesArguments(Arguments):
    query: Question | None = Field(None, description="Asks: the best come first, and there is one page.")
    occurred_from: When | None = Field(None, description="Occurred then or later: 2023, 2023-03, 2023-03-05, …")
    occurred_before: When | None = Field(None, description="Occurred before then.")
    tags: Annotated[list[Annotated[str, Field(min_length=1, max_length=50)]], Field(max_length=20)] | None = Field(
        None, description="All of them."
    )
    project_id: UUID | None = Field(None, description="Shared with this project.")
    limit: Limit = 10
    cursor: Cursor | None = None


class ProjectsArguments(Arguments):
    limit: Limit = 20
    cursor: Cursor | None = None


class RoomsArguments(Arguments):
    limit: Limit = 20
    cursor: Cursor | None = None


class MessagesArguments(Arguments):
    session_id: UUID = Field(description="The room.")
    before_seq: Annotated[int, ONLY_NUMBERS, Field(ge=1, le=2**53)] | None = Field(
        None, description="Older than the message with this number."
    )
    limit: Limit = 20


class NewMemoryArguments(Arguments):
    content: str = Field(min_length=1, max_length=LONGEST_CONTENT, description="What is to be remembered.")
    title: str | None = Field(None, max_length=300, description="Without one, how the content begins.")
    occurred_at: When | None = Field(None, description="When it happened: 2023, 2023-03, 2023-03-05, …; now, if not.")
    occurred_end: When | None = None
    tags: list[str] = Field(default_factory=list, max_length=50)
    people: list[str] = Field(default_factory=list, max_length=100, description="Names of who was there.")
    location: str | None = Field(None, max_length=200, description="Name of the place.")
    project_id: UUID | None = Field(None, description="Shares it with the members of this project; else private.")


class NewMessageArguments(Arguments):
    session_id: UUID = Field(description="The room.")
    text: str = Field(min_length=1, max_length=100_000)
    client_id: ClientId | None = Field(None, description="Choose one, and the same call again makes no second message.")


class FoundPassage(Read):
    """`text` stands at `char_start`:`char_end` of the document's text, or of the memory's content."""

    source: Source
    document_id: UUID | None
    memory_id: UUID | None
    title: str
    page: int | None
    heading: str | None
    char_start: int
    char_end: int
    text: str
    score: float = Field(description="0 to 1, relative to the other passages of this search.")


class FoundPassages(Read):
    """The best first."""

    items: list[FoundPassage]


class AnswerWithCitations(Read):
    """`answer` holds markers `[n]`, one citation for each, whose quote stands there word for word. Not `grounded`:
    nothing in the documents bears it out.
    """

    id: UUID
    answer: str
    grounded: bool
    citations: list[Citation]
    model: str


class TextRange(Read):
    """`text` is the part from `char_start` to `char_end` (code points) of `total_chars`; `next_start` leads on."""

    id: UUID
    title: str
    text: str
    char_start: int
    char_end: int
    total_chars: int
    next_start: int | None


class ListedMemory(Read):
    """`content` is cut where it is long: `fetch_memory` gives all of `content_chars`."""

    id: UUID
    title: str
    content: str
    content_chars: int
    occurred_at: Timestamp
    precision: Precision
    tags: list[str]
    people: list[str]
    location: str | None
    project_id: UUID | None


class ListedMemories(Read):
    items: list[ListedMemory]
    next_cursor: str | None


class ListedProject(Read):
    """`role` is yours."""

    id: UUID
    name: str
    description: str
    is_default: bool
    role: ProjectRole


class ListedProjects(Read):
    items: list[ListedProject]
    next_cursor: str | None


class ListedRoom(Read):
    id: UUID
    name: str
    project_id: UUID
    is_active: bool
    created_at: Timestamp


class ListedRooms(Read):
    items: list[ListedRoom]
    next_cursor: str | None


class SaidMessage(Read):
    """`seq` is its number in the room. A deleted message has no text."""

    id: UUID
    session_id: UUID
    seq: int
    user_name: str
    is_spirit: bool
    text: str
    created_at: Timestamp


class SaidMessages(Read):
    """The newest first."""

    items: list[SaidMessage]
