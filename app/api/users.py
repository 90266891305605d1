"""The caller's own account."""

from typing import Any

from fastapi import status
from fastapi.responses import StreamingResponse

from app.api.conditional import ConditionalDep, IfMatch
from app.api.deps import Actor, ServicesDep, SignedInPerson
from app.api.routing import Router
from app.events import utc_now
from app.models import User
from app.schemas.common import ErrorResponse
from app.schemas.users import AccountDeletion, UserRead, UserUpdate

ARCHIVE_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"description": "A ZIP archive", "content": {"application/zip": {"schema": {"type": "string"}}}}
}

router = Router(prefix="/users/me", tags=["accounts"])


@router.get("", response_model=UserRead)
async def get_me(actor: Actor, services: ServicesDep, conditional: ConditionalDep) -> User:
    """Your account."""
    return conditional.tag(await services.users.get(actor))


@router.patch("", response_model=UserRead)
async def update_me(
    actor: Actor, services: ServicesDep, changes: UserUpdate, expected: IfMatch, conditional: ConditionalDep
) -> User:
    """Change your profile, your settings or your preferences; address, password and role are changed elsewhere."""
    return conditional.tag(await services.users.update(actor, changes, expected=expected))


@router.delete(
    "",
    status_code=status.HTTP_204_NO_CONTENT,
    responses={409: {"model": ErrorResponse, "description": "The last admin, or others work in what would be deleted"}},
)
async def delete_me(
    actor: SignedInPerson, services: ServicesDep, expected: IfMatch, wishes: AccountDeletion | None = None
) -> None:
    """Delete your account and everything that it alone owns.

    With the answer, every log-in and key has ended, nobody sees anything of it any more, and the address is free.
    Rows and files are removed right after, by a worker.
    """
    await services.users.delete(actor, actor.user_id, wishes or AccountDeletion(), expected=expected)


@router.get("/export", response_class=StreamingResponse, responses=ARCHIVE_ANSWER)
async def export_me(actor: SignedInPerson, services: ServicesDep) -> StreamingResponse:
    """Everything that you own as one ZIP archive, made while you download it; its `README.txt` explains the rest."""
    pieces = await services.exports.export(actor)
    headers = {
        "Content-Disposition": f'attachment; filename="hearth-{utc_now():%Y-%m-%d}.zip"',
        "Cache-Control": "no-store",
    }
    return StreamingResponse(pieces, media_type="application/zip", headers=headers)
