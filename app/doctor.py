"""`hearth doctor`: looks at every dependency and says what to do."""

import asyncio
import sys
from collections.abc import Awaitable, Callable

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy import text

from app.foundation import Foundation, open_foundation
from app.migrations import current_revision, expected_revision
from app.settings import Settings

PATIENCE = 20.0  # seconds for one examination


class Unwell(Exception):
    """A finding, in words that say what to do."""


async def _database(foundation: Foundation) -> str:
    async with foundation.engine.connect() as connection:
        version = (await connection.execute(text("SHOW server_version"))).scalar_one()
        extension = await connection.scalar(text("SELECT extversion FROM pg_extension WHERE extname = 'vector'"))
        revision = await connection.run_sync(current_revision)
    if extension is None:
        raise Unwell("pgvector is missing: install it, then run `hearth migrate`")
    if revision != expected_revision():
        raise Unwell(f"schema is at {revision}, expected {expected_revision()}: run `hearth migrate`")
    return f"PostgreSQL {version}, pgvector {extension}, schema {revision}"


async def _redis(foundation: Foundation) -> str:
    information = await foundation.redis.info("server")
    name = information.get("server_name", "redis")
    return f"{name} {information.get(f'{name}_version', information['redis_version'])}"


async def _storage(foundation: Foundation) -> str:
    await foundation.storage.check()
    return str(foundation.settings.data_dir.resolve())


async def _embedder(foundation: Foundation) -> str:
    await foundation.embedder.check()
    return f"{foundation.embedder.model}, {foundation.embedder.dimensions} dimensions"


async def _language_model(foundation: Foundation) -> str:
    if foundation.llm is None:
        return "none: answers quote the best passages (set LLM_BASE_URL and LLM_MODEL for a model)"
    await foundation.llm.check()
    return foundation.llm.name


EXAMINATIONS: dict[str, tuple[Callable[[Foundation], Awaitable[str]], str]] = {
    "database": (_database, "check DATABASE_URL, and that PostgreSQL accepts connections from here"),
    "redis": (_redis, "check REDIS_URL, and that Redis or Valkey accepts connections from here"),
    "workspace": (_storage, "make DATA_DIR writable for this user, and look for free space"),
    "embedder": (_embedder, "run `make install` again, or check EMBEDDING_BASE_URL and EMBEDDING_API_KEY"),
    "llm": (_language_model, "check LLM_BASE_URL, LLM_API_KEY and LLM_MODEL"),
}


async def examine(settings: Settings, console: Console) -> bool:
    """Print a line for each dependency; True when all are well."""
    table = Table("what", "state", "details", box=None)
    table.add_row("python", "[green]ok[/]", sys.version.split()[0])
    is_well = True
    async with open_foundation(settings) as foundation:
        for name, (look, advice) in EXAMINATIONS.items():
            try:
                async with asyncio.timeout(PATIENCE):
                    table.add_row(name, "[green]ok[/]", escape(await look(foundation)))
            except Exception as error:
                is_well = False
                reason = str(error) if isinstance(error, Unwell) else f"{error or type(error).__name__}\n→ {advice}"
                table.add_row(name, "[red]ill[/]", escape(reason))
    console.print(table)
    return is_well
