"""Whether those who are connected still have the right to be."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.permissions import Principal

STILL_ADMITTED: Final = text(
    """
    SELECT coalesce(users.is_active, false)
           AND (visit.login_id IS NULL OR EXISTS (
               SELECT FROM logins WHERE logins.id = visit.login_id
               AND logins.revoked_at IS NULL AND logins.expires_at > clock_timestamp()))
           AND (visit.key_id IS NULL OR EXISTS (
               SELECT FROM api_keys WHERE api_keys.id = visit.key_id
               AND (api_keys.expires_at IS NULL OR api_keys.expires_at > clock_timestamp()))) AS is_authenticated,
           NOT EXISTS (
               SELECT FROM restrictions
               WHERE restrictions.session_id = visit.channel_id AND restrictions.user_id = visit.user_id
               AND restrictions.kind = 'removed')
           AND (EXISTS (
               SELECT FROM participants
               WHERE participants.session_id = visit.channel_id AND participants.user_id = visit.user_id)
           OR EXISTS (
               SELECT FROM members
               WHERE members.user_id = visit.user_id AND members.project_id = coalesce(
                   (SELECT sessions.project_id FROM sessions WHERE sessions.id = visit.channel_id),
                   visit.channel_id))) AS is_admitted,
           coalesce((SELECT sessions.is_active FROM sessions WHERE sessions.id = visit.channel_id), true) AS is_open
    FROM unnest(:user_ids, :login_ids, :key_ids, :channel_ids)
         WITH ORDINALITY AS visit (user_id, login_id, key_id, channel_id, number)
    LEFT JOIN users ON users.id = visit.user_id
    ORDER BY visit.number
    """
).bindparams(*(bindparam(name, type_=ARRAY(Uuid())) for name in ("user_ids", "login_ids", "key_ids", "channel_ids")))


class AdmissionRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def list_admitted(self, visits: Sequence[tuple[Principal, UUID]]) -> Sequence[tuple[bool, bool, bool]]:
        """For each caller in a room's or project's channel: are the credentials good, is it visible, is it open?"""
        columns = {
            "user_ids": [actor.user_id for actor, _ in visits],
            "login_ids": [actor.login_id for actor, _ in visits],
            "key_ids": [actor.key_id for actor, _ in visits],
            "channel_ids": [channel_id for _, channel_id in visits],
        }
        rows = await self._session.execute(STILL_ADMITTED, columns)
        return [(row.is_authenticated, row.is_admitted, row.is_open) for row in rows]
