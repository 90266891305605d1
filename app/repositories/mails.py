"""Mails that wait to be sent, and the secrets in them, found by digest."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Select, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import MailPurpose, MailToken, OutgoingMail


class MailRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    # --- mails ---

    def add(self, mail: OutgoingMail) -> None:
        self._session.add(mail)

    async def take_due(self, *, hold: timedelta) -> OutgoingMail | None:
        """The mail that has waited longest; nobody else takes it for the time of `hold`."""
        due = select(OutgoingMail.id).where(OutgoingMail.run_after <= _now()).order_by(OutgoingMail.run_after).limit(1)
        return await self._session.scalar(
            update(OutgoingMail)
            .where(OutgoingMail.id == due.with_for_update(skip_locked=True).scalar_subquery())
            .values(attempts=OutgoingMail.attempts + 1, run_after=_now() + hold)
            .returning(OutgoingMail)
            .execution_options(synchronize_session=False, populate_existing=True)
        )

    async def postpone(self, mail_id: UUID, delay: timedelta) -> None:
        await self._session.execute(
            update(OutgoingMail).where(OutgoingMail.id == mail_id).values(run_after=_now() + delay)
        )

    async def delete(self, mail_id: UUID) -> None:
        await self._session.execute(delete(OutgoingMail).where(OutgoingMail.id == mail_id))

    # --- secrets in them ---

    def add_token(self, token: MailToken) -> None:
        self._session.add(token)

    async def get_token(self, purpose: MailPurpose, digest: bytes) -> MailToken | None:
        return await self._session.scalar(_with_digest(purpose, digest))

    async def use_token(self, purpose: MailPurpose, digest: bytes) -> MailToken | None:
        """Use it up; None when it is unknown, used or expired. Of two at once one wins."""
        good = _with_digest(purpose, digest).where(MailToken.used_at.is_(None), MailToken.expires_at > _now())
        token = await self._session.scalar(good.with_for_update())
        if token is not None:
            token.used_at = await self._session.scalar(select(_now()))
        return token

    async def discard_tokens(self, user_id: UUID, *, email: str | None) -> None:
        """Those that a new password or address makes worthless: all but the confirmation of the address `email`."""
        worthless = or_(MailToken.purpose == MailPurpose.RESET_PASSWORD, MailToken.email.is_distinct_from(email))
        await self._session.execute(delete(MailToken).where(MailToken.user_id == user_id, worthless))

    async def delete_expired_tokens(self) -> None:
        await self._session.execute(delete(MailToken).where(MailToken.expires_at < _now()))


def _now() -> ColumnElement[datetime]:
    return func.clock_timestamp()


def _with_digest(purpose: MailPurpose, digest: bytes) -> Select[MailToken]:
    return select(MailToken).where(MailToken.purpose == purpose, MailToken.digest == digest)
