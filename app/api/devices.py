"""Where the caller is signed in."""

from uuid import UUID

from fastapi import status

from app.api.deps import Cursor, Limit, ServicesDep, SignedInPerson
from app.api.routing import Router
from app.schemas.auth import DeviceRead
from app.schemas.common import Page

router = Router(prefix="/users/me/devices", tags=["accounts"])


@router.get("")
async def list_devices(
    actor: SignedInPerson, services: ServicesDep, cursor: Cursor = None, limit: Limit = 20
) -> Page[DeviceRead]:
    """Your log-ins that are open, the newest first."""
    rows = await services.logins.list_devices(actor, before=cursor, limit=limit + 1)
    return Page[DeviceRead].of(rows, limit)


@router.delete("/{device_id}", status_code=status.HTTP_204_NO_CONTENT)
async def sign_out_device(actor: SignedInPerson, services: ServicesDep, device_id: UUID) -> None:
    """Sign out there: its tokens and cookie stop working, and its sockets close within five seconds."""
    await services.logins.end_device(actor, device_id)


@router.delete("", status_code=status.HTTP_204_NO_CONTENT)
async def sign_out_other_devices(actor: SignedInPerson, services: ServicesDep) -> None:
    """Sign out everywhere but here."""
    await services.logins.end_other_devices(actor)
