"""Some of what waits, for one of many who take from it."""

from uuid import UUID

from sqlalchemy import Select, select


def taken(some: Select[UUID]) -> Select[UUID]:
    """The rows of `some`, to be changed: locked, without those that somebody else holds, and no more than its limit.

    PostgreSQL may run a subquery again for every row that it compares, and each time its LIMIT lets other rows through,
    for those of the time before are changed by now. A common table expression is run once, however it is planned.
    """
    locked = some.with_for_update(skip_locked=True).cte("taken")
    return select(locked.c[0])
