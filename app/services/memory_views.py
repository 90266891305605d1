"""Memories as somebody sees them, with what belongs to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.models import Location, Memory, Person
from app.permissions import Principal
from app.repositories import UnitOfWork
from app.repositories.media import SeenMedia
from app.repositories.memories import Links, Surroundings

TITLE_FROM_CONTENT = 80  # characters


@dataclass(frozen=True, slots=True)
class MemoryView:
    """A memory with what belongs to it, as somebody sees it."""

    memory: Memory
    around: Surroundings

    def __getattr__(self, name: str) -> Any:
        return getattr(self.memory, name)

    @property
    def version(self) -> str:
        return self.memory.version

    @property
    def id(self) -> UUID:
        return self.memory.id

    @property
    def occurred_local(self) -> str:
        return self.memory.begins.isoformat()

    @property
    def people(self) -> Sequence[Person]:
        return self.around.people

    @property
    def location(self) -> Location | None:
        return self.around.location

    @property
    def links(self) -> Links:
        return self.around.links

    @property
    def media(self) -> Sequence[SeenMedia]:
        return self.around.media


async def views(uow: UnitOfWork, user_id: UUID, memories: Sequence[Memory]) -> Sequence[MemoryView]:
    around = await uow.memories.surroundings(user_id, memories) if memories else {}
    return [MemoryView(memory, around[memory.id]) for memory in memories]


async def view_of(uow: UnitOfWork, actor: Principal, memory: Memory) -> MemoryView:
    return (await views(uow, actor.user_id, [memory]))[0]


def title_of(content: str) -> str:
    """How the content begins."""
    lines = (" ".join(line.split()) for line in content.splitlines())
    first = next((line for line in lines if line), "Untitled")
    return first if len(first) <= TITLE_FROM_CONTENT else first[: TITLE_FROM_CONTENT - 1].rstrip() + "\u2026"
