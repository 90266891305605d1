"""Files of memories, and what was made of pictures. Whoever sees a memory sees its files."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Media, MediaRendition, Memory
from app.permissions import Principal
from app.repositories.memory_filters import shelves_of

UNSYNCHRONIZED: Final = {"synchronize_session": False}


@dataclass(frozen=True, slots=True)
class SeenMedia:
    """A file as somebody sees it. What a picture says of itself is for who added it, unless that one lets it stay."""

    media: Media
    renditions: Sequence[MediaRendition]
    shows_metadata: bool

    def __getattr__(self, name: str) -> Any:
        return getattr(self.media, name)

    @property
    def id(self) -> UUID:
        return self.media.id

    @property
    def version(self) -> str:
        return self.media.version

    @property
    def sha256(self) -> str | None:
        return self.media.sha256 if self.shows_metadata else None

    @property
    def taken_at(self) -> str | None:
        return self.media.taken_at if self.shows_metadata else None

    @property
    def coordinates(self) -> Mapping[str, float] | None:
        latitude, longitude = self.media.latitude, self.media.longitude
        if not self.shows_metadata or latitude is None or longitude is None:
            return None
        return {"latitude": latitude, "longitude": longitude}

    @property
    def thumbnails(self) -> Sequence[MediaRendition]:
        """The smallest first."""
        return sorted((one for one in self.renditions if one.name != "shown"), key=lambda one: one.name, reverse=True)


class MediaRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, media: Media) -> None:
        """
        Raises:
            sqlalchemy.exc.IntegrityError: the memory is gone.
        """
        self._session.add(media)
        await self._session.flush()

    async def get(self, media_id: UUID) -> Media | None:
        """For tasks."""
        return await self._session.get(Media, media_id)

    async def lock(self, media_id: UUID) -> Media | None:
        """For tasks; to be changed by this transaction, which has locked the memory."""
        query = select(Media).where(Media.id == media_id).with_for_update(key_share=True)
        return (await self._session.scalars(query.execution_options(populate_existing=True))).one_or_none()

    async def get_visible(self, actor: Principal, memory_id: UUID, media_id: UUID) -> Media | None:
        return (await self._session.scalars(_visible(actor, memory_id).where(Media.id == media_id))).one_or_none()

    async def list_visible(
        self, actor: Principal, memory_id: UUID, *, after: UUID | None, limit: int
    ) -> Sequence[Media]:
        """In the order in which they were added."""
        query = _visible(actor, memory_id)
        query = query if after is None else query.where(Media.id > after)
        return (await self._session.scalars(query.order_by(Media.id).limit(limit))).all()

    async def find_same(self, memory_id: UUID, sha256: str) -> Media | None:
        query = select(Media).where(Media.memory_id == memory_id, Media.sha256 == sha256)
        return (await self._session.scalars(query)).one_or_none()

    async def count(self, memory_id: UUID) -> int:
        return await self._session.scalar(select(func.count()).where(Media.memory_id == memory_id)) or 0

    async def seen_by(self, user_id: UUID, media: Sequence[Media]) -> Sequence[SeenMedia]:
        pictures = [one.id for one in media if one.kind == "image"]
        made: dict[UUID, list[MediaRendition]] = defaultdict(list)
        if pictures:
            query = select(MediaRendition).where(MediaRendition.media_id.in_(pictures))
            for rendition in await self._session.scalars(query.execution_options(populate_existing=True)):
                made[rendition.media_id].append(rendition)
        return [SeenMedia(one, made[one.id], one.keeps_metadata or one.added_by == user_id) for one in media]

    async def seen_in(self, user_id: UUID, memory_ids: Collection[UUID]) -> Mapping[UUID, Sequence[SeenMedia]]:
        """Of each of these memories, which `user_id` may see."""
        query = select(Media).where(Media.memory_id.in_(memory_ids)).order_by(Media.id)
        found: dict[UUID, list[SeenMedia]] = defaultdict(list)
        for one in await self.seen_by(user_id, (await self._session.scalars(query)).all()):
            found[one.media.memory_id].append(one)
        return found

    async def list_owned(self, owner_id: UUID, *, after: UUID | None, limit: int) -> Sequence[Media]:
        """In the owner's memories, the oldest first; of those in the bin, too."""
        query = select(Media).join(Memory, Memory.id == Media.memory_id).where(Memory.owner_id == owner_id)
        query = query if after is None else query.where(Media.id > after)
        return (await self._session.scalars(query.order_by(Media.id).limit(limit))).all()

    async def get_rendition(self, media_id: UUID, name: str) -> MediaRendition | None:
        return await self._session.get(MediaRendition, (media_id, name))

    async def replace_renditions(self, media_id: UUID, made: Sequence[Mapping[str, Any]]) -> set[str]:
        """The hashes of what was there before."""
        gone = delete(MediaRendition).where(MediaRendition.media_id == media_id).returning(MediaRendition.sha256)
        before = set((await self._session.scalars(gone, execution_options=UNSYNCHRONIZED)).all())
        await self._session.execute(insert(MediaRendition), [{"media_id": media_id, **one} for one in made])
        return before

    async def list_blobs(self, memory_ids: Collection[UUID]) -> set[str]:
        """The hashes of all bytes that the files of these memories name."""
        there = Media.memory_id.in_(memory_ids)
        made = select(MediaRendition.sha256).join(Media, Media.id == MediaRendition.media_id).where(there)
        return set((await self._session.execute(select(Media.sha256).where(there).union(made))).scalars().all())

    async def delete(self, media_id: UUID) -> set[str]:
        """With what was made of it; the hashes that it named."""
        made = select(MediaRendition.sha256).where(MediaRendition.media_id == media_id)
        named = set((await self._session.scalars(made)).all())
        gone = delete(Media).where(Media.id == media_id).returning(Media.sha256)
        return named | set((await self._session.scalars(gone, execution_options=UNSYNCHRONIZED)).all())


def _visible(actor: Principal, memory_id: UUID) -> Select[Media]:
    there = (Memory.id == memory_id, Memory.deleted_at.is_(None), Memory.shelf_id.in_(shelves_of(actor.user_id)))
    return select(Media).join(Memory, Memory.id == Media.memory_id).where(*there)
