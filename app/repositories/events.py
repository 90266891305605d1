"""The log of each channel: what happened there, numbered without gaps."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Text,
    Uuid,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal_column,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from app.errors import NotFound
from app.events import (
    WORKERS,
    DurableEvent,
    EphemeralEvent,
    Frame,
    ProjectEvent,
    TaskCompleted,
    TaskEvent,
    TaskFailed,
    Wanted,
    around_number,
)
from app.models import Base, Channel, EventRow

MOST_FORGOTTEN = 5000  # in one transaction

# Built once, and of plain tables: every message and every step of a task runs these two, and this takes a fifth off.
_channels, _events = Base.metadata.tables["channels"], Base.metadata.tables["events"]
_take_number = (
    update(_channels)
    .where(_channels.c.id == bindparam("channel_id"))
    .values(last_seq=_channels.c.last_seq + 1)
    .returning(_channels.c.last_seq)
)
_store_event = insert(_events)
_take_number_and_store = text(
    """
    WITH taken AS (UPDATE channels SET last_seq = last_seq + 1 WHERE id = :channel_id RETURNING last_seq)
    INSERT INTO events (channel_id, seq, frame)
    SELECT :channel_id, last_seq, :head || last_seq || :tail FROM taken
    RETURNING seq
    """
).bindparams(bindparam("channel_id", type_=Uuid()), bindparam("head", type_=Text()), bindparam("tail", type_=Text()))

# Events, and their way to the webhooks that want them, in one round trip. Whoever hears how a task ended need not hear
# any more how far it was.
_STORE_FOR_WEBHOOKS = text(
    """
    WITH told AS MATERIALIZED (
        SELECT * FROM unnest(:channel_ids, :seqs, :frames, :heads, :message_ids, :types, :task_ids, :ended_tasks)
        AS told (channel_id, seq, frame, head, message_id, event_type, task_id, ended_task)
    ), stored AS (
        INSERT INTO events (channel_id, seq, frame) SELECT channel_id, seq, frame FROM told
    ), overtaken AS (
        DELETE FROM webhook_deliveries
        WHERE task_id = ANY (:ended_tasks) AND event_type = 'progress' AND status = 'pending'
    )
    INSERT INTO webhook_deliveries (id, webhook_id, message_id, event_type, task_id, frame)
    SELECT (told.head || substr(replace(gen_random_uuid()::text, '-', ''), 17))::uuid, webhooks.id, told.message_id,
           told.event_type, told.task_id, told.frame
    FROM told JOIN webhooks ON webhooks.project_id = told.channel_id
    WHERE webhooks.is_active AND told.event_type = ANY (webhooks.events)
    RETURNING id
    """
).bindparams(
    *(bindparam(name, type_=ARRAY(Uuid())) for name in ("channel_ids", "message_ids", "task_ids", "ended_tasks")),
    *(bindparam(name, type_=ARRAY(Text())) for name in ("frames", "heads", "types")),
    bindparam("seqs", type_=ARRAY(BigInteger())),
)

_LIST_AFTER_EACH = text(
    """
    SELECT asked.number, asked.channel_id, event.seq, event.frame
    FROM unnest(:ids, :seqs, :limits) WITH ORDINALITY AS asked (channel_id, seq, most, number)
    CROSS JOIN LATERAL (
        SELECT events.seq, events.frame FROM events
        WHERE events.channel_id = asked.channel_id AND events.seq > asked.seq ORDER BY events.seq LIMIT asked.most
    ) AS event
    ORDER BY asked.number, event.seq
    """
).bindparams(
    bindparam("ids", type_=ARRAY(Uuid())),
    bindparam("seqs", type_=ARRAY(BigInteger())),
    bindparam("limits", type_=ARRAY(BigInteger())),
)

# Locked in the order of their ids, as everywhere that several are changed at once.
_TAKE_NUMBERS = text(
    """
    WITH wanted AS (
        SELECT * FROM unnest(:ids, :counts) AS wanted (channel_id, number)
    ), locked AS (
        SELECT channels.id, wanted.number FROM channels JOIN wanted ON wanted.channel_id = channels.id
        ORDER BY channels.id FOR UPDATE OF channels
    )
    UPDATE channels SET last_seq = last_seq + locked.number FROM locked WHERE channels.id = locked.id
    RETURNING channels.id, channels.last_seq
    """
).bindparams(bindparam("ids", type_=ARRAY(Uuid())), bindparam("counts", type_=ARRAY(BigInteger())))


class EventRepository:
    """`outgoing` is what this transaction has to say; the unit of work publishes it after the commit."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
        self.outgoing: list[Frame] = []

    def open(self, channel_id: UUID) -> None:
        """Give a new room, project or user its log."""
        self._session.add(Channel(id=channel_id))

    async def next_seq(self, channel_id: UUID) -> int:
        """Take the next number; the channel's row lock, held until the commit, keeps commit order = number order.

        Raises:
            NotFound: the room, project or user was removed meanwhile.
        """
        number: int | None = await self._session.scalar(_take_number, {"channel_id": channel_id})
        if number is None:
            raise _removed(channel_id)
        return number

    async def append(self, channel_id: UUID, event: DurableEvent, *, seq: int | None = None) -> int:
        """Number `event` (or give it the number already taken) and store it with this transaction. Raises NotFound."""
        if seq is None and not isinstance(event, ProjectEvent):
            return await self._append_at_once(channel_id, event)
        number = await self.next_seq(channel_id) if seq is None else seq
        text = event.model_copy(update={"seq": number}).model_dump_json()
        frame = Frame(channel_id, number, text)
        if isinstance(event, ProjectEvent):
            await self._store_for_webhooks([(frame, event)])
        else:
            await self._session.execute(_store_event, {"channel_id": channel_id, "seq": number, "frame": text})
        self.outgoing.append(frame)
        return number

    async def _append_at_once(self, channel_id: UUID, event: DurableEvent) -> int:
        head, tail = around_number(event)
        values = {"channel_id": channel_id, "head": head, "tail": tail}
        number: int | None = await self._session.scalar(_take_number_and_store, values)
        if number is None:
            raise _removed(channel_id)
        self.outgoing.append(Frame(channel_id, number, f"{head}{number}{tail}"))
        return number

    async def _store_for_webhooks(self, told: Sequence[tuple[Frame, DurableEvent]]) -> None:
        """Store numbered events, of projects among others, with all that is to be delivered of them."""
        task_ids = [event.task_id if isinstance(event, TaskEvent) else None for _, event in told]
        ends = [isinstance(event, TaskCompleted | TaskFailed) for _, event in told]
        columns = {
            "channel_ids": [frame.channel_id for frame, _ in told],
            "seqs": [frame.seq for frame, _ in told],
            "frames": [frame.text for frame, _ in told],
            "heads": [uuid7().hex[:16] for _ in told],
            "message_ids": [event.id for _, event in told],
            "types": [event.type for _, event in told],
            "task_ids": task_ids,
            "ended_tasks": [task_id if has_ended else None for task_id, has_ended in zip(task_ids, ends, strict=True)],
        }
        found = await self._session.execute(_STORE_FOR_WEBHOOKS, columns)
        if found.first() is not None:
            self.wake_workers(Wanted.WEBHOOKS)

    async def append_all(self, events: Sequence[tuple[UUID, DurableEvent]]) -> None:
        """`append` for events of several channels in two statements; in each channel they keep their order.

        Raises:
            NotFound: one of the rooms, projects or users was removed meanwhile.
        """
        if not events:
            return
        counts = Counter(channel_id for channel_id, _ in events)
        taken = {"ids": list(counts), "counts": list(counts.values())}
        last = {row.id: row.last_seq for row in await self._session.execute(_TAKE_NUMBERS, taken)}
        told: list[tuple[Frame, DurableEvent]] = []
        for channel_id, event in events:
            if channel_id not in last:
                raise _removed(channel_id)
            counts[channel_id] -= 1
            number = last[channel_id] - counts[channel_id]
            text = event.model_copy(update={"seq": number}).model_dump_json()
            told.append((Frame(channel_id, number, text), event))
        await self._store_for_webhooks(told)
        self.outgoing.extend(frame for frame, _ in told)

    async def rewrite(self, channel_id: UUID, seq: int, event: DurableEvent) -> None:
        """Put `event` in the place of the one with this number; nothing is done where the log has forgotten it."""
        text = event.model_copy(update={"seq": seq}).model_dump_json()
        there = update(EventRow).where(EventRow.channel_id == channel_id, EventRow.seq == seq)
        await self._session.execute(there.values(frame=text), execution_options={"synchronize_session": False})

    async def blank(self, channel_id: UUID, seq: int) -> None:
        """Take the text out of the event with this number; nothing is done where the log has forgotten it."""
        there = update(EventRow).where(EventRow.channel_id == channel_id, EventRow.seq == seq)
        without = func.jsonb_set(cast(EventRow.frame, JSONB), literal_column("'{text}'"), literal_column("'null'"))
        await self._session.execute(
            there.values(frame=cast(without, Text)), execution_options={"synchronize_session": False}
        )

    async def lock(self, channel_id: UUID) -> None:
        """Nothing is appended to the channel, nor taken out of it, by another transaction until this one ends."""
        await self._session.execute(select(Channel.id).where(Channel.id == channel_id).with_for_update())

    def announce(self, channel_id: UUID, event: EphemeralEvent) -> None:
        """Tell who is there now; nothing is stored."""
        self.outgoing.append(Frame(channel_id, None, event.model_dump_json()))

    def wake_workers(self, wanted: Wanted = Wanted.ANYTHING) -> None:
        """Say that there is work of this kind, once this transaction is committed."""
        frame = Frame(WORKERS, None, wanted)
        if frame not in self.outgoing:
            self.outgoing.append(frame)

    async def list_after(self, channel_id: UUID, seq: int, *, limit: int) -> Sequence[Frame]:
        query = (
            select(EventRow.seq, EventRow.frame)
            .where(EventRow.channel_id == channel_id, EventRow.seq > seq)
            .order_by(EventRow.seq)
            .limit(limit)
        )
        return [Frame(channel_id, number, text) for number, text in await self._session.execute(query)]

    async def list_of_task(
        self, project_id: UUID, task_id: UUID, *, since: datetime, after_seq: int
    ) -> Sequence[Frame]:
        """What the log of a project has of one of its tasks, which was made at `since`."""
        query = (
            select(EventRow.seq, EventRow.frame)
            .where(
                EventRow.channel_id == project_id,
                EventRow.seq > after_seq,
                EventRow.created_at >= since,
                EventRow.frame.contains(f'"task_id":"{task_id}"'),
            )
            .order_by(EventRow.seq)
        )
        return [Frame(project_id, number, text) for number, text in await self._session.execute(query)]

    async def list_after_each(self, asked: Sequence[tuple[UUID, int, int]]) -> Sequence[Sequence[Frame]]:
        """`list_after` for many channels in one question: of each its id, the number, and how many at most."""
        ids, seqs, limits = zip(*asked, strict=True)
        rows = await self._session.execute(_LIST_AFTER_EACH, {"ids": ids, "seqs": seqs, "limits": limits})
        found: list[list[Frame]] = [[] for _ in asked]
        for number, channel_id, seq, frame in rows:
            found[number - 1].append(Frame(channel_id, seq, frame))
        return found

    async def last_seqs(self, channel_ids: Sequence[UUID]) -> dict[UUID, int]:
        query = select(Channel.id, Channel.last_seq).where(Channel.id.in_(channel_ids))
        return {row.id: row.last_seq for row in await self._session.execute(query)}

    async def first_seq(self, channel_id: UUID) -> int | None:
        """Oldest number that can still be replayed; None when the log of the channel is empty."""
        return await self._session.scalar(select(func.min(EventRow.seq)).where(EventRow.channel_id == channel_id))

    async def forget_older_than(self, age: timedelta) -> bool:
        """Delete some; whether there may be more."""
        key = tuple_(EventRow.channel_id, EventRow.seq)
        old = select(EventRow.channel_id, EventRow.seq).where(EventRow.created_at < func.now() - age)
        gone = delete(EventRow).where(key.in_(old.limit(MOST_FORGOTTEN))).returning(EventRow.seq)
        options = {"synchronize_session": False}
        return len((await self._session.scalars(gone, execution_options=options)).all()) == MOST_FORGOTTEN


def _removed(channel_id: UUID) -> NotFound:
    return NotFound("This was removed meanwhile.", channel_id=str(channel_id))
