"""Whether whoever is connected may stay: credentials end, people leave projects, rooms are closed and deleted."""

from collections.abc import Sequence

from app.events import utc_now
from app.permissions import Principal
from app.realtime.outbox import CloseCode
from app.realtime.visits import Visit
from app.repositories import OpenUnitOfWork


class AdmissionService:
    def __init__(self, uow: OpenUnitOfWork) -> None:
        self._uow = uow

    async def judge(self, visits: Sequence[Visit]) -> Sequence[CloseCode | None]:
        """For each visit the code to end it with, or None where it may go on."""
        async with self._uow() as uow:
            found = await uow.admissions.list_admitted([(visit.actor, visit.channel_id) for visit in visits])
        return [
            _verdict(visit.actor, is_authenticated=is_authenticated, is_admitted=is_admitted, is_open=is_open)
            for visit, (is_authenticated, is_admitted, is_open) in zip(visits, found, strict=True)
        ]


def _verdict(actor: Principal, *, is_authenticated: bool, is_admitted: bool, is_open: bool) -> CloseCode | None:
    has_expired = actor.login_id is None and actor.expires_at is not None and actor.expires_at <= utc_now()
    if not is_authenticated or has_expired:
        return CloseCode.NOT_AUTHENTICATED
    if not is_admitted:
        return CloseCode.NO_SUCH_ROOM
    return None if is_open else CloseCode.NOT_ALLOWED
