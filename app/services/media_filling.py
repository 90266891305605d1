"""What a memory does not say, taken from a picture of it, where its owner asks for that."""

from collections.abc import Collection
from datetime import timedelta
from typing import Final
from uuid import UUID

from app.models import Location, Media, Memory, Precision
from app.permissions import Principal
from app.repositories import UnitOfWork
from app.repositories.memory_filters import Near
from app.schemas.media import Fill
from app.schemas.moments import parse_moment
from app.services.memory_changes import clock_of, set_span
from app.services.moments import span_of

UNSAID_WITHIN: Final = timedelta(seconds=5)  # of being written down: nobody said when it happened
SAME_PLACE: Final = 150.0  # metres


async def fill_memory(
    uow: UnitOfWork, actor: Principal, memory: Memory, media: Media, wanted: Collection[Fill]
) -> bool:
    """Give the actor's own memory the time or the place of the picture where it has none; whether that changed it."""
    is_changed = False
    if "occurred_at" in wanted and media.taken_at is not None and is_time_unsaid(memory):
        set_span(memory, span_of(parse_moment(media.taken_at), None, None, await clock_of(uow, actor)))
        is_changed = True
    is_place_wanted = "location" in wanted and memory.location_id is None
    if is_place_wanted and media.latitude is not None and media.longitude is not None:
        memory.location_id = await place_at(uow, memory.owner_id, media.latitude, media.longitude)
        is_changed = True
    return is_changed


def is_time_unsaid(memory: Memory) -> bool:
    """Whether it just says when it was written down."""
    is_exact = memory.precision == Precision.EXACT and memory.occurred_end is None
    return is_exact and abs(memory.created_at - memory.occurred_at) <= UNSAID_WITHIN


async def place_at(uow: UnitOfWork, owner_id: UUID, latitude: float, longitude: float) -> UUID:
    """The owner's place that is there, or a new one, called by its coordinates."""
    near = await uow.locations.list_near(owner_id, Near(latitude, longitude, SAME_PLACE), words=None, limit=1)
    if near:
        return near[0][0].id
    name = f"{latitude:.4f}, {longitude:.4f}"
    place = Location(owner_id=owner_id, name=name, latitude=latitude, longitude=longitude)
    await uow.locations.add(place)
    return place.id
