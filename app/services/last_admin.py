"""A house without an admin cannot be repaired from inside."""

from uuid import UUID

from app.errors import Conflict
from app.repositories import UnitOfWork


async def require_another_admin(uow: UnitOfWork, user_id: UUID) -> None:
    """Called in the transaction that disables, demotes or deletes `user_id`, before it locks any row.

    Raises:
        Conflict: nobody else is an active admin.
    """
    await uow.users.lock_admins()
    if await uow.users.is_admin(user_id) and not await uow.users.has_other_admin(user_id):
        raise Conflict("This is the last admin: make somebody else one first.", user_id=str(user_id))
