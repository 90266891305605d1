"""What a memory was, as JSON: kept at every change, and put back by undo."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.models import Memory
from app.repositories.memories import Links, Surroundings

TEXTS = ("title", "content", "precision")
TIMES = ("occurred_at", "occurred_end", "begins", "ends")


@dataclass(frozen=True, slots=True)
class Known:
    """What a state names, as far as it is still there."""

    person_ids: Sequence[UUID]
    location_id: UUID | None
    links: Links


def state_of(memory: Memory, around: Surroundings) -> Mapping[str, Any]:
    times = {name: getattr(memory, name) for name in TIMES}
    return {
        **{name: getattr(memory, name) for name in TEXTS},
        **{name: time.isoformat() if time else None for name, time in times.items()},
        "tags": list(memory.tags),
        "person_ids": [str(person.id) for person in around.people],
        "location_id": str(memory.location_id) if memory.location_id else None,
        "links": {
            "documents": [str(one) for one in around.links.document_ids],
            "messages": [str(one) for one in around.links.message_ids],
            "memories": [str(one) for one in around.links.memory_ids],
        },
    }


def apply_state(memory: Memory, state: Mapping[str, Any], known: Known) -> None:
    """People and links are rows of their own: whoever calls this sets them."""
    for name in TEXTS:
        setattr(memory, name, state[name])
    for name in TIMES:
        setattr(memory, name, datetime.fromisoformat(state[name]) if state[name] else None)
    memory.tags = list(state["tags"])
    memory.location_id = known.location_id
