"""`hearth doctor` looks at every dependency and says what to do; `hearth rotate-keys` does what it says of keys."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from functools import partial

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from app.foundation import Foundation, open_foundation
from app.migrations import current_revision, expected_revision
from app.repositories import UnitOfWork
from app.repositories.engine import create_engine
from app.security import make_cipher
from app.services.encryption import EncryptionService
from app.services.indexing import Indexer, RenewalService
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
    sparse = foundation.sparse
    if sparse is not None:
        await sparse.check()
    indexer = Indexer(foundation.embedder, sparse)
    uow = partial(UnitOfWork, async_sessionmaker(foundation.engine, expire_on_commit=False), lambda _: None)
    waiting = await RenewalService(uow, indexer, batch_size=1).count_waiting()
    dense = f"{foundation.embedder.model}, {foundation.embedder.dimensions} dimensions"
    models = f"{dense}, and {sparse.model if sparse else 'no sparse model'}"
    return f"{models}; {waiting} passages wait to be renewed by a worker" if waiting else models


async def _reranker(foundation: Foundation) -> str:
    if foundation.reranker is None:
        return "none (set RERANK_BASE_URL for one)"
    await foundation.reranker.rerank("check", ["check"])
    return foundation.settings.rerank.model or foundation.settings.rerank.base_url


async def _language_model(foundation: Foundation) -> str:
    if foundation.llm is None:
        return "none: answers quote the best passages (set LLM_BASE_URL and LLM_MODEL for a model)"
    await foundation.llm.check()
    return foundation.llm.name


async def _answer_engine(foundation: Foundation) -> str:
    return foundation.answer_engine.name if foundation.answer_engine else foundation.settings.answer.engine


async def _provider(foundation: Foundation) -> str:
    if foundation.provider is None:
        return "none: people sign in with passwords (set OIDC_ISSUER for a provider)"
    await foundation.provider.check()
    return f"{foundation.provider.name}, {foundation.provider.issuer}"


async def _encryption(foundation: Foundation) -> str:
    standings = await _encryption_service(foundation.engine, foundation.settings).survey()
    current, old, lost = (sum(getattr(each, name) for each in standings) for name in ("current", "old", "lost"))
    if lost:
        names = ", ".join(f"{each.name} ({each.lost})" for each in standings if each.lost)
        raise Unwell(f"no key decrypts {names}: put the key that is missing into ENCRYPTION_PREVIOUS_KEYS")
    if old:
        return f"{current} values under the newest key, {old} under earlier ones: run `hearth rotate-keys`"
    return f"{current} values, all under the newest key: ENCRYPTION_PREVIOUS_KEYS may be empty"


def _encryption_service(engine: AsyncEngine, settings: Settings) -> EncryptionService:
    uow = partial(UnitOfWork, async_sessionmaker(engine, expire_on_commit=False), lambda _: None)
    return EncryptionService(uow, make_cipher(settings))


EXAMINATIONS: dict[str, tuple[Callable[[Foundation], Awaitable[str]], str]] = {
    "database": (_database, "check DATABASE_URL, and that PostgreSQL accepts connections from here"),
    "redis": (_redis, "check REDIS_URL, and that Redis or Valkey accepts connections from here"),
    "workspace": (_storage, "make DATA_DIR writable for this user, and look for free space"),
    "embedder": (_embedder, "run `make install` again, or check EMBEDDING_BASE_URL and EMBEDDING_API_KEY"),
    "reranker": (_reranker, "check RERANK_BASE_URL, RERANK_API_KEY and RERANK_MODEL"),
    "llm": (_language_model, "check LLM_BASE_URL, LLM_API_KEY and LLM_MODEL"),
    "answers": (_answer_engine, "check ANSWER_ENGINE"),
    "sign-in": (_provider, "check OIDC_ISSUER, spelt as in its discovery document, and that it answers from here"),
    "encryption": (_encryption, "run `hearth migrate`, and look at the database"),
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


async def rotate(settings: Settings, console: Console) -> bool:
    """Encrypt everything with the newest key and print how much; True when nothing is left under another."""
    engine = create_engine(settings.database)
    try:
        rotations = await _encryption_service(engine, settings).rotate()
    finally:
        await engine.dispose()
    table = Table("column", "renewed", "changed meanwhile", "undecryptable", box=None)
    for each in rotations:
        table.add_row(each.name, str(each.renewed), str(each.passed_over), str(each.lost))
    console.print(table)
    if any(each.lost for each in rotations):
        console.print("Some values cannot be decrypted: put the key that is missing into ENCRYPTION_PREVIOUS_KEYS.")
        return False
    console.print("ENCRYPTION_PREVIOUS_KEYS may be empty now, once every process runs with the new ENCRYPTION_KEY.")
    return True
