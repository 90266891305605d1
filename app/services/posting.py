"""Messages that people send at the same time, stored in one transaction: most of what one costs is shared."""

from collections.abc import Collection, Sequence
from typing import Final
from uuid import UUID

from sqlalchemy.exc import DBAPIError, IntegrityError

from app.events import MessageReceived, around_number
from app.gathering import Gathering
from app.models import Message
from app.permissions import Principal
from app.repositories import OpenUnitOfWork
from app.repositories.engine import is_deadlock
from app.repositories.posts import Post

MOST_AT_ONCE: Final = 100
TRANSACTIONS: Final = 2  # at once: while one is being committed, the next is under way


class Posting:
    """Stores messages about which there is nothing to decide; the others are left to whoever can."""

    def __init__(self, uow: OpenUnitOfWork) -> None:
        self._uow = uow
        self._gathering = Gathering(self._store, most=MOST_AT_ONCE, at_once=TRANSACTIONS)

    async def store(
        self, actor: Principal, message: Message, event: MessageReceived, *, not_in: Collection[str]
    ) -> bool:
        """Number and store the message, and tell the room. False: nothing was done, since there is more to it.

        That is so where the author may not talk there, where it was sent before, in rooms of the spirit modes `not_in`,
        and where the room is being changed at this moment.
        """
        return await self._gathering.ask(Post(actor, message, not_in, *around_number(event)))

    async def _store(self, posts: Sequence[Post]) -> Sequence[bool]:
        kept = _without_doubles(posts)
        try:
            async with self._uow() as uow:
                stored = dict(zip(kept, await uow.posts.store([posts[index] for index in kept]), strict=True))
        except IntegrityError:  # one was sent on another connection at the same moment, or its author is removed
            stored = {}
        except DBAPIError as error:
            if not is_deadlock(error):  # with the removal of a project
                raise
            stored = {}
        return [stored.get(index, False) for index in range(len(posts))]


def _without_doubles(posts: Sequence[Post]) -> Sequence[int]:
    """Which to store: of what is sent twice at once, the first."""
    first: dict[tuple[UUID, UUID, str], int] = {}
    for index, post in enumerate(posts):
        first.setdefault(
            (post.message.session_id, post.actor.user_id, post.message.client_id or str(post.message.id)), index
        )
    return list(first.values())
