"""The places in somebody's memories."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.errors import NotFound
from app.models import Location
from app.permissions import Principal
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.repositories.locations import LocationRow, memories_at
from app.repositories.memory_filters import Near
from app.schemas.memories import Coordinates, LocationCreate, LocationUpdate, PlaceById, PlaceGiven
from app.services.versions import Versions, require_version


@dataclass(frozen=True, slots=True)
class LocationView:
    """A place, in how many memories it is, and how many metres away, where that was asked."""

    id: UUID
    name: str
    coordinates: Mapping[str, float] | None
    memory_count: int
    distance: float | None
    created_at: datetime
    updated_at: datetime
    version: str

    @classmethod
    def of(cls, row: LocationRow) -> "LocationView":
        place, count, away = row
        return cls(
            place.id,
            place.name,
            place.coordinates,
            count,
            None if away is None else round(away, 1),
            place.created_at,
            place.updated_at,
            f"{place.version}-{count}",
        )


class LocationService:
    def __init__(self, uow: OpenUnitOfWork) -> None:
        self._uow = uow

    async def create(self, actor: Principal, data: LocationCreate) -> LocationView:
        async with self._uow() as uow:
            place = _located(Location(owner_id=actor.user_id, name=data.name), data.coordinates)
            await uow.locations.add(place)
            return await _view(uow, actor, place.id)

    async def get(self, actor: Principal, location_id: UUID) -> LocationView:
        """Raises NotFound."""
        async with self._uow(is_reading=True) as uow:
            return await _view(uow, actor, location_id)

    async def list(
        self, actor: Principal, near: Near | None, *, words: str | None, before: UUID | None, limit: int
    ) -> Sequence[LocationView]:
        """The actor's own, the newest first; with `near` the nearest first, from the beginning."""
        async with self._uow(is_reading=True) as uow:
            if near is None:
                rows = await uow.locations.list_owned(actor.user_id, words=words, before=before, limit=limit)
            else:
                rows = await uow.locations.list_near(actor.user_id, near, words=words, limit=limit)
            return [LocationView.of(row) for row in rows]

    async def update(
        self, actor: Principal, location_id: UUID, changes: LocationUpdate, *, expected: Versions | None
    ) -> LocationView:
        """Raises NotFound, PreconditionFailed."""
        async with self._uow() as uow:
            place = await _locked(uow, actor, location_id, expected)
            place.name = changes.name or place.name
            _located(place, changes.coordinates)
            await uow.flush()
            await uow.memories.touch(memories_at(location_id))
            return await _view(uow, actor, location_id)

    async def delete(self, actor: Principal, location_id: UUID, *, expected: Versions | None) -> None:
        """The memories stay, without it. Raises NotFound, PreconditionFailed."""
        async with self._uow() as uow:
            await _locked(uow, actor, location_id, expected)
            await uow.memories.touch(memories_at(location_id))
            await uow.locations.delete(location_id)


async def find_or_add_place(uow: UnitOfWork, owner_id: UUID, given: PlaceGiven) -> UUID:
    """The place that is meant; a name that is new becomes one. Raises NotFound: an id is none of the owner's."""
    if isinstance(given, PlaceById):
        if await uow.locations.lock_owned(owner_id, given.location_id) is None:
            raise NotFound("Location not found", location_id=str(given.location_id))
        return given.location_id
    place = await uow.locations.find_named(owner_id, given.name)
    if place is None:
        place = _located(Location(owner_id=owner_id, name=given.name), given.coordinates)
        await uow.locations.add(place)
    return place.id


def _located(place: Location, coordinates: Coordinates | None) -> Location:
    """The place, where that is; it stays where it is known to be when nothing is said."""
    if coordinates is not None:
        place.latitude, place.longitude = coordinates.latitude, coordinates.longitude
    return place


async def _view(uow: UnitOfWork, actor: Principal, location_id: UUID) -> LocationView:
    row = await uow.locations.get_owned(actor.user_id, location_id)
    if row is None:
        raise NotFound("Location not found", location_id=str(location_id))
    return LocationView.of(row)


async def _locked(uow: UnitOfWork, actor: Principal, location_id: UUID, expected: Versions | None) -> Location:
    place = await uow.locations.lock_owned(actor.user_id, location_id)
    if place is None:
        raise NotFound("Location not found", location_id=str(location_id))
    require_version(place, None if expected is None else frozenset(one.split("-")[0] for one in expected))
    return place
