"""Whether the tables are those that this code was written for, or newer ones that it still gets along with.

A migration writes into the comment of `alembic_version` from which schema on code may still use the database
(docs/decisions/0018-migrations.md): code that does not know the database's schema finds there whether it is too old.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

VERSIONS: Final = Path(__file__).parents[2] / "alembic" / "versions"
IS_THERE: Final = text("SELECT to_regclass('alembic_version') IS NOT NULL")
STATE: Final = text("SELECT version_num, obj_description('alembic_version'::regclass, 'pg_class') FROM alembic_version")


@cache
def known_revisions() -> Sequence[str]:
    """All schemas that this code can migrate from, the newest, which it expects, first."""
    return sorted((path.name.partition("_")[0] for path in VERSIONS.glob("[0-9]*_*.py")), reverse=True)


class SchemaRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def find_problem(self) -> str | None:
        """Why this code cannot use the database, and what to do; None where it can."""
        expected = known_revisions()[0]
        state = None
        if await self._session.scalar(IS_THERE):
            state = (await self._session.execute(STATE)).one_or_none()
        if state is None:
            return "the database has no tables yet: run `hearth migrate`"
        revision, oldest_code = state
        if revision == expected:
            return None
        if revision in known_revisions():
            return f"the database has the schema {revision}, and this version needs {expected}: run `hearth migrate`"
        if oldest_code in known_revisions():
            return None  # it is newer, and has only got more so far
        return f"the database has the schema {revision}, which is too new for this version: install a newer one"
