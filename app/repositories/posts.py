"""Messages of many people in many rooms, stored by one statement, however many they are."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ARRAY, String, Text, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from app.events import Frame
from app.models import Message
from app.permissions import Principal

COLUMNS: Final = (
    *("id", "session_id", "user_id", "user_name", "text", "is_spirit", "citations", "client_id"),
    *("created_at", "updated_at"),
)

# Rooms come before their channels, and both by id, as everybody locks them: the other way round, two would block each
# other. A room that is being changed at this moment is passed over: nobody waits here for what takes its time.
STORE: Final = text(
    f"""
    WITH wanted AS (
        SELECT * FROM unnest(:session_ids, :user_ids, :guests_rooms, :client_ids, :spirit_modes, :rows, :heads, :tails)
        WITH ORDINALITY
        AS wanted (session_id, user_id, guests_room, client_id, spirit_modes, message, head, tail, number)
    ), admitted AS (
        SELECT wanted.* FROM wanted JOIN sessions ON sessions.id = wanted.session_id
        WHERE sessions.is_active AND sessions.spirit_mode <> ALL (string_to_array(wanted.spirit_modes, ','))
        AND NOT EXISTS (
            SELECT FROM restrictions
            WHERE restrictions.session_id = sessions.id AND restrictions.user_id = wanted.user_id)
        AND (wanted.guests_room IS NULL OR wanted.guests_room = wanted.session_id)
        AND (
            EXISTS (SELECT FROM members
                    WHERE members.project_id = sessions.project_id AND members.user_id = wanted.user_id)
            OR EXISTS (SELECT FROM participants
                       WHERE participants.session_id = sessions.id AND participants.user_id = wanted.user_id))
        AND (wanted.client_id IS NULL OR NOT EXISTS (
            SELECT FROM messages
            WHERE messages.session_id = wanted.session_id AND messages.user_id = wanted.user_id
            AND messages.client_id = wanted.client_id))
    ), room AS MATERIALIZED (
        SELECT id FROM sessions WHERE id IN (SELECT session_id FROM admitted) AND is_active
        ORDER BY id FOR KEY SHARE SKIP LOCKED
    ), channel AS MATERIALIZED (
        SELECT id, last_seq FROM channels WHERE id IN (SELECT id FROM room) ORDER BY id FOR NO KEY UPDATE
    ), numbered AS MATERIALIZED (
        SELECT admitted.number, admitted.session_id, admitted.message, admitted.head, admitted.tail,
               channel.last_seq + row_number() OVER (PARTITION BY channel.id ORDER BY admitted.number) AS seq
        FROM admitted JOIN channel ON channel.id = admitted.session_id
    ), counted AS (
        UPDATE channels SET last_seq = latest.seq
        FROM (SELECT session_id, max(seq) AS seq FROM numbered GROUP BY session_id) AS latest
        WHERE channels.id = latest.session_id
    ), said AS (
        INSERT INTO messages ({", ".join(COLUMNS)}, seq)
        SELECT {", ".join(f"row.{name}" for name in COLUMNS)}, numbered.seq
        FROM numbered, jsonb_populate_record(NULL::messages, numbered.message) AS row
    ), logged AS (
        INSERT INTO events (channel_id, seq, frame) SELECT session_id, seq, head || seq || tail FROM numbered
    )
    SELECT number, seq FROM numbered ORDER BY session_id, seq
    """  # noqa: S608 - names of ours
).bindparams(
    bindparam("session_ids", type_=ARRAY(Uuid())),
    bindparam("user_ids", type_=ARRAY(Uuid())),
    bindparam("guests_rooms", type_=ARRAY(Uuid())),
    bindparam("client_ids", type_=ARRAY(String())),
    bindparam("spirit_modes", type_=ARRAY(String())),
    bindparam("rows", type_=ARRAY(JSONB())),
    bindparam("heads", type_=ARRAY(Text())),
    bindparam("tails", type_=ARRAY(Text())),
)


@dataclass(frozen=True, slots=True)
class Post:
    """A message without a number; `head` and `tail` are the room's event before and after it."""

    actor: Principal
    message: Message
    not_in: Collection[str]
    """Spirit modes of rooms in which there is more to do than to store it."""
    head: str
    tail: str


class PostRepository:
    """`outgoing` is shared with the event log: what this transaction has to say."""

    def __init__(self, session: AsyncSession, outgoing: list[Frame]) -> None:
        self._session = session
        self._outgoing = outgoing

    async def store(self, posts: Sequence[Post]) -> Sequence[bool]:
        """Number and store the messages of which it is plain that they may be; the others are left as they are.

        Raises:
            sqlalchemy.exc.IntegrityError: one of them was sent at the same time on another connection.
        """
        columns: dict[str, list[Any]] = {
            "session_ids": [post.message.session_id for post in posts],
            "user_ids": [post.actor.user_id for post in posts],
            "guests_rooms": [post.actor.room_id for post in posts],
            "client_ids": [post.message.client_id for post in posts],
            "spirit_modes": [",".join(post.not_in) for post in posts],
            "rows": [_row(post.message) for post in posts],
            "heads": [post.head for post in posts],
            "tails": [post.tail for post in posts],
        }
        stored = [False] * len(posts)
        for number, seq in await self._session.execute(STORE, columns):
            post = posts[number - 1]
            post.message.seq = seq
            self._outgoing.append(Frame(post.message.session_id, seq, f"{post.head}{seq}{post.tail}"))
            stored[number - 1] = True
        return stored


def _row(message: Message) -> Mapping[str, Any]:
    return {name: _plain(getattr(message, name)) for name in COLUMNS}


def _plain(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    return value.isoformat() if hasattr(value, "isoformat") else value
