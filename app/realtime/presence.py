"""Who is in which room, across all processes.

A *seat* is one connection of one person; several connections of a person count once. Seats expire unless their process
renews them, and whoever notices that somebody's last seat has expired announces that this person left.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from uuid_utils.compat import uuid7

from app.errors import ServiceUnavailable, SessionFull
from app.events import EphemeralEvent, Frame, Person, UserJoined, UserLeft
from app.gathering import Gathering
from app.realtime.cancellation import cancel_until_done
from app.realtime.outages import REDIS_FAILURES
from app.realtime.script_calls import ScriptCall, ScriptCalls
from app.realtime.scripts import LEAVE_SEAT, LIST_PEOPLE, RENEW_SEATS, TAKE_SEAT
from app.settings import RealtimeSettings

log = structlog.get_logger(__name__)

RENEWALS_PER_LIFE = 3
MOST_LISTS = 1000  # that are asked for together
CALL_PATIENCE = 1.5  # seconds
RETRY_PAUSE = 0.5  # seconds
LEAVING_TIME = 0.2  # seconds
LEAVE_TRIES = 3  # after which the seat is left to expire


@dataclass(frozen=True, slots=True)
class Seat:
    session_id: UUID
    person: Person
    connection_id: UUID

    @property
    def key(self) -> str:
        return f"{self.person.id} {self.connection_id}"


class Presence:
    def __init__(
        self, redis: Redis, publish: Callable[[Frame], None], settings: RealtimeSettings, *, prefix: str
    ) -> None:
        self._publish = publish
        self._prefix = prefix
        self._life = settings.seat_ttl.total_seconds()
        self._take_seat, self._leave_seat, self._renew_seats, self._list_people = (
            redis.register_script(script) for script in (TAKE_SEAT, LEAVE_SEAT, RENEW_SEATS, LIST_PEOPLE)
        )
        self._calls = ScriptCalls(redis, patience=CALL_PATIENCE)
        self._lists = Gathering(self._list, most=MOST_LISTS)
        self._seats: set[Seat] = set()
        self._renewing = asyncio.Lock()
        self._is_renewed = True
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._renewal = asyncio.create_task(self._renew_forever())
        return self

    async def __aexit__(self, *_: object) -> None:
        await cancel_until_done([self._renewal])
        for seat in tuple(self._seats):
            self._vacate(seat)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @contextlib.asynccontextmanager
    async def seat(self, session_id: UUID, person: Person, *, max_users: int) -> AsyncIterator[None]:
        """Be in the room for the length of the block; leaving it never waits and never fails.

        Raises:
            SessionFull: there are `max_users` other people, and nobody is just leaving.
            ServiceUnavailable: Redis is away, so nobody knows.
        """
        seat = Seat(session_id, person, uuid7())
        try:
            await self._take_in_time(seat, max_users)
            self._seats.add(seat)
            yield
        finally:
            self._vacate(seat)

    async def people(self, session_id: UUID) -> Sequence[Person]:
        """Who is there now, by name.

        Raises:
            ServiceUnavailable: Redis is away.
        """
        gone, people = await self._lists.ask(session_id)
        self._announce_gone(session_id, gone)
        return people

    async def _list(self, session_ids: Sequence[UUID]) -> Sequence[tuple[Any, Sequence[Person]]]:
        """Once for each room, however many have just come in; the first of them announces who is gone."""
        rooms = list(set(session_ids))
        answers = await asyncio.gather(*(self._ask(self._list_people, id_) for id_ in rooms))
        gone = {id_: gone for id_, (gone, _) in zip(rooms, answers, strict=True)}
        people = {id_: _by_name(people) for id_, (_, people) in zip(rooms, answers, strict=True)}
        return [(gone.pop(id_, ()), people[id_]) for id_ in session_ids]

    async def _take_in_time(self, seat: Seat, max_users: int) -> None:
        """Somebody who has closed a connection is gone a moment later: a full room is asked twice."""
        try:
            await self._take(seat, max_users)
        except SessionFull:
            await asyncio.sleep(LEAVING_TIME)
            await self._take(seat, max_users)

    async def _take(self, seat: Seat, max_users: int) -> None:
        gone, outcome, count = await self._ask(
            self._take_seat, seat.session_id, seat.key, seat.person.name, str(max_users)
        )
        self._announce_gone(seat.session_id, gone)
        if outcome == "full":
            raise SessionFull("This room is full.", session_id=str(seat.session_id), max_users=max_users)
        if outcome == "new":
            self._announce(UserJoined(session_id=seat.session_id, user=seat.person, participants=count))

    def _vacate(self, seat: Seat) -> None:
        self._seats.discard(seat)
        task = asyncio.create_task(self._leave(seat))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _leave(self, seat: Seat) -> None:
        async with self._renewing:
            pass  # a renewal that still names this seat has ended
        for _ in range(LEAVE_TRIES):
            try:
                (gone,) = await self._ask(self._leave_seat, seat.session_id, seat.key)
            except ServiceUnavailable:
                await asyncio.sleep(RETRY_PAUSE)
            else:
                self._announce_gone(seat.session_id, gone)
                break

    async def _renew_forever(self) -> None:
        while True:
            await asyncio.sleep(self._life / RENEWALS_PER_LIFE if self._is_renewed else RETRY_PAUSE)
            try:
                async with self._renewing, asyncio.timeout(CALL_PATIENCE):
                    await self._renew()
                self._is_renewed = True
            except (ServiceUnavailable, TimeoutError) as error:
                if self._is_renewed:
                    log.warning("presence.not_renewed", error=repr(error))
                self._is_renewed = False

    async def _renew(self) -> None:
        """All rooms of this process together, in few round trips."""
        seats: defaultdict[UUID, list[str]] = defaultdict(list)
        for seat in self._seats:
            seats[seat.session_id] += [seat.key, seat.person.name]
        renewals = (self._ask(self._renew_seats, id_, *keys_and_names) for id_, keys_and_names in seats.items())
        replies = await asyncio.gather(*renewals)
        for session_id, (gone, back) in zip(seats, replies, strict=True):
            self._announce_gone(session_id, gone)
            for id_, name, count in back:
                user = Person(id=UUID(id_), name=name)
                self._announce(UserJoined(session_id=session_id, user=user, participants=count))

    async def _ask(self, script: AsyncScript, session_id: UUID, *values: str) -> Any:
        try:
            return await self._calls.run(ScriptCall(script, self._keys(session_id), self._arguments(values)))
        except REDIS_FAILURES as error:
            raise ServiceUnavailable("Who is in the room cannot be seen at the moment.") from error

    def _keys(self, session_id: UUID) -> tuple[str, ...]:
        return tuple(f"{self._prefix}session:{{{session_id}}}:{part}" for part in ("seats", "connections", "names"))

    def _arguments(self, values: Sequence[str]) -> tuple[str, ...]:
        """Seats that nobody could renew while Redis was away do not count as expired, until they can be again."""
        return str(int(self._life * 1000)), "1" if self._is_renewed else "0", *values

    def _announce_gone(self, session_id: UUID, gone: Iterable[tuple[str, str, int]]) -> None:
        for id_, name, count in gone:
            self._announce(UserLeft(session_id=session_id, user=Person(id=UUID(id_), name=name), participants=count))

    def _announce(self, event: EphemeralEvent) -> None:
        assert isinstance(event, UserJoined | UserLeft)
        self._publish(Frame(event.session_id, None, event.model_dump_json()))


def _by_name(ids_and_names: Sequence[str]) -> Sequence[Person]:
    pairs = zip(ids_and_names[::2], ids_and_names[1::2], strict=True)
    return sorted((Person(id=UUID(id_), name=name) for id_, name in pairs), key=lambda who: who.name)
