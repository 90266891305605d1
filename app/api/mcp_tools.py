"""The tools of the MCP server: each is a call of a service, with what it takes and gives as schemas."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from mcp.types import Tool, ToolAnnotations

from app.api.memory_filters import decode_place, encode_place
from app.errors import InvalidInput
from app.permissions import RULES, Action, Principal, Scope
from app.rates import Budget
from app.repositories.memory_filters import MemoryFilter
from app.schemas.common import Page, decode_cursor
from app.schemas.mcp import (
    SHOWN_OF_MEMORY,
    AnswerWithCitations,
    Arguments,
    AskArguments,
    DocumentArguments,
    FoundPassage,
    FoundPassages,
    ListedMemories,
    ListedMemory,
    ListedProject,
    ListedProjects,
    ListedRoom,
    ListedRooms,
    MemoriesArguments,
    MemoryArguments,
    MessagesArguments,
    NewMemoryArguments,
    NewMessageArguments,
    ProjectsArguments,
    RoomsArguments,
    SaidMessage,
    SaidMessages,
    SearchArguments,
    TextRange,
)
from app.schemas.memories import MemoryCreate, PersonByName, PlaceByName
from app.schemas.messages import MessageCreate
from app.schemas.query import QueryRequest
from app.schemas.search import SearchFilters, SearchRequest
from app.services import Services
from app.services.memory_views import MemoryView
from app.services.moments import narrowed_by

Run = Callable[[Services, Principal, Any], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Door:
    """A tool: `run` is called with the arguments once they are valid; `budget` is counted beside that of requests."""

    title: str
    takes: type[Arguments]
    gives: type[Any]
    run: Run
    action: Action = Action.READ
    budget: Budget | None = None
    is_idempotent: bool = True

    @property
    def is_reading(self) -> bool:
        return RULES[self.action].scope is Scope.READ

    def described(self, name: str) -> Tool:
        """As clients see it; what the function says of itself is the description."""
        return Tool(
            name=name,
            title=self.title,
            description=" ".join((self.run.__doc__ or "").split()),
            input_schema=self.takes.model_json_schema(),
            output_schema=self.gives.model_json_schema(mode="serialization"),
            annotations=ToolAnnotations(
                title=self.title,
                read_only_hint=self.is_reading,
                destructive_hint=False,
                idempotent_hint=self.is_idempotent,
                open_world_hint=False,
            ),
        )


async def search(services: Services, actor: Principal, given: SearchArguments) -> FoundPassages:
    """Find passages by meaning and by words at once, in the documents and memories of the user. Cite them by their
    title and page; `fetch_document` shows what stands around them.
    """
    request = SearchRequest(
        query=given.query,
        sources=list(given.sources),
        project_ids=given.project_ids,
        filters=SearchFilters(document_ids=given.document_ids),
        top_k=given.top_k,
    )
    found = await services.retrieval.search(actor, request)
    return FoundPassages(items=[FoundPassage.model_validate(hit) for hit in found.items])


async def ask(services: Services, actor: Principal, given: AskArguments) -> AnswerWithCitations:
    """Answer a question from the user's documents and memories, with quotations that stand there word for word. What
    they do not answer is said to be not found (`grounded: false`).
    """
    request = QueryRequest(question=given.question, sources=list(given.sources), project_ids=given.project_ids)
    return AnswerWithCitations.model_validate(await services.replies.ask(actor, request))


async def fetch_document(services: Services, actor: Principal, given: DocumentArguments) -> TextRange:
    """Read a part of a document's text, from `char_start` on; `next_start` is where to go on."""
    found = await services.documents.excerpt(actor, given.document_id, start=given.char_start, length=given.length)
    return _range(given.document_id, found.document.title, found.text, found.start, found.total)


async def fetch_memory(services: Services, actor: Principal, given: MemoryArguments) -> TextRange:
    """Read a part of what a memory says, from `char_start` on; `next_start` is where to go on."""
    memory = await services.memories.get(actor, given.memory_id)
    text = memory.content[given.char_start : given.char_start + given.length]
    return _range(memory.id, memory.title, text, given.char_start, len(memory.content))


async def list_memories(services: Services, actor: Principal, given: MemoriesArguments) -> ListedMemories:
    """What the user has written down of their life, and what is shared with them, the newest first; with a `query`
    the best first, and times and names in it are read.
    """
    narrowing = MemoryFilter(project_id=given.project_id, tags=tuple(tag.strip().lower() for tag in given.tags or ()))
    filters = narrowed_by(narrowing, given.occurred_from, given.occurred_before)
    after = None if given.cursor is None else _place(given.cursor, decode_place)
    rows = await services.memories.list(
        actor, filters, question=given.query, order="occurred", after=after, limit=given.limit + 1
    )
    shown = rows[: given.limit]
    is_more = given.query is None and len(rows) > given.limit
    return ListedMemories(
        items=[_shown(memory) for memory in shown], next_cursor=encode_place(shown[-1]) if is_more else None
    )


async def list_projects(services: Services, actor: Principal, given: ProjectsArguments) -> ListedProjects:
    """The user's projects and those shared with them, the newest first. Searches can be narrowed to some of them."""
    before = None if given.cursor is None else _place(given.cursor, decode_cursor)
    rows = await services.projects.list(actor, before=before, limit=given.limit + 1)
    return ListedProjects.model_validate(Page[ListedProject].of(rows, given.limit), from_attributes=True)


async def list_rooms(services: Services, actor: Principal, given: RoomsArguments) -> ListedRooms:
    """Chat rooms that the user may enter, the newest first."""
    before = None if given.cursor is None else _place(given.cursor, decode_cursor)
    rows = await services.sessions.list(actor, before=before, limit=given.limit + 1)
    return ListedRooms.model_validate(Page[ListedRoom].of(rows, given.limit), from_attributes=True)


async def list_messages(services: Services, actor: Principal, given: MessagesArguments) -> SaidMessages:
    """What was said in a room, the newest first; `before_seq` leads further back."""
    rows = await services.chat.list(
        actor, given.session_id, after_seq=None, before_seq=given.before_seq, cursor=None, limit=given.limit
    )
    return SaidMessages(items=[SaidMessage.model_validate(row) for row in rows])


async def add_memory(services: Services, actor: Principal, given: NewMemoryArguments) -> ListedMemory:
    """Write something down that the user wants to be remembered. It is private unless a project is named."""
    fields = given.model_dump(include={"title", "content", "tags", "project_id"})
    data = MemoryCreate(
        **fields,
        occurred_at=given.occurred_at,
        occurred_end=given.occurred_end,
        people=[PersonByName(name=name) for name in given.people],
        location=None if given.location is None else PlaceByName(name=given.location),
    )
    return _shown(await services.memories.create(actor, data))


async def post_message(services: Services, actor: Principal, given: NewMessageArguments) -> SaidMessage:
    """Say something in a room in the user's name. Everybody there sees it at once, and the room's AI may answer."""
    data = MessageCreate(text=given.text, client_id=given.client_id)
    said = await services.chat.post(actor, given.session_id, data.text, client_id=data.client_id)
    return SaidMessage.model_validate(said)


TOOLS: Final[Mapping[str, Door]] = {
    "search": Door("Search", SearchArguments, FoundPassages, search, budget=Budget.QUERIES),
    "ask": Door("Ask", AskArguments, AnswerWithCitations, ask, budget=Budget.QUERIES, is_idempotent=False),
    "fetch_document": Door("Read a document", DocumentArguments, TextRange, fetch_document),
    "list_memories": Door("List memories", MemoriesArguments, ListedMemories, list_memories),
    "fetch_memory": Door("Read a memory", MemoryArguments, TextRange, fetch_memory),
    "list_projects": Door("List projects", ProjectsArguments, ListedProjects, list_projects),
    "list_rooms": Door("List rooms", RoomsArguments, ListedRooms, list_rooms, Action.READ_ROOM),
    "list_messages": Door("Read a room", MessagesArguments, SaidMessages, list_messages, Action.READ_ROOM),
    "add_memory": Door(
        "Add a memory", NewMemoryArguments, ListedMemory, add_memory, Action.MANAGE_SELF, is_idempotent=False
    ),
    "post_message": Door(
        "Post to a room",
        NewMessageArguments,
        SaidMessage,
        post_message,
        Action.TALK,
        Budget.MESSAGES,
        is_idempotent=False,
    ),
}
DESCRIBED: Final[Sequence[tuple[Tool, Action]]] = [(door.described(name), door.action) for name, door in TOOLS.items()]
"""Made once: schemas take longer than most calls."""


def _range(of: UUID, title: str, text: str, start: int, total: int) -> TextRange:
    end = min(start, total) + len(text)
    return TextRange(
        id=of,
        title=title,
        text=text,
        char_start=min(start, total),
        char_end=end,
        total_chars=total,
        next_start=end if end < total else None,
    )


def _shown(memory: MemoryView) -> ListedMemory:
    return ListedMemory(
        id=memory.id,
        title=memory.title,
        content=memory.content[:SHOWN_OF_MEMORY],
        content_chars=len(memory.content),
        occurred_at=memory.occurred_at,
        precision=memory.precision,
        tags=memory.tags,
        people=[person.name for person in memory.people],
        location=memory.location.name if memory.location else None,
        project_id=memory.project_id,
    )


def _place(cursor: str, decode: Callable[[str], Any]) -> Any:
    """Raises InvalidInput."""
    try:
        return decode(cursor)
    except ValueError as error:
        raise InvalidInput(f"This is {error}.", field="cursor") from error
