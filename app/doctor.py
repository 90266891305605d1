"""`hearth doctor` looks at every dependency and says what to do; `hearth rotate-keys` does what it says of keys."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app import __version__
from app.foundation import Foundation, open_foundation
from app.migrations import current_revision
from app.repositories import OpenUnitOfWork, UnitOfWork
from app.repositories.engine import Sessions, create_engine
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
    async with _open_uow(foundation.engine)(is_reading=True) as reading:
        problem = await reading.schema.find_problem()
    if problem is not None:
        raise Unwell(problem)
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
    waiting = await RenewalService(_open_uow(foundation.engine), indexer, batch_size=1).count_waiting()
    dense = f"{foundation.embedder.model}, {foundation.embedder.dimensions} dimensions"
    models = f"{dense}, and {sparse.model if sparse else 'no sparse model'}"
    return f"{models}; {waiting} passages wait to be renewed by a worker" if waiting else models


async def _reranker(foundation: Foundation) -> str:
    if foundation.reranker is None:
        return "none (set RERANK_BASE_URL for one)"
    await foundation.reranker.rerank("check", ["check"])
    return foundation.settings.rerank.model or foundation.settings.rerank.base_url


async def _vectors(foundation: Foundation) -> str:
    if foundation.vectors is None:
        return "pgvector (VECTOR_STORE=chroma for a Chroma server)"
    await foundation.vectors.check()
    uow = partial(UnitOfWork, Sessions.over(foundation.engine), lambda _: None)
    async with uow(is_reading=True) as reading:
        waiting = await reading.vectors.count_waiting()
    told = f"{waiting} documents wait to be told to it by a worker" if waiting else "it knows every document"
    return f"Chroma at {foundation.settings.chroma.url}; {told}"


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
    return EncryptionService(_open_uow(engine), make_cipher(settings))


def _open_uow(engine: AsyncEngine) -> OpenUnitOfWork:
    return partial(UnitOfWork, Sessions.over(engine), lambda _: None)


EXAMINATIONS: dict[str, tuple[Callable[[Foundation], Awaitable[str]], str]] = {
    "database": (_database, "check DATABASE_URL, and that PostgreSQL accepts connections from here"),
    "redis": (_redis, "check REDIS_URL, and that Redis or Valkey accepts connections from here"),
    "workspace": (_storage, "make DATA_DIR writable for this user, and look for free space"),
    "embedder": (_embedder, "run `make install` again, or check EMBEDDING_BASE_URL and EMBEDDING_API_KEY"),
    "vectors": (_vectors, "check CHROMA_URL and CHROMA_TOKEN; until then PostgreSQL compares the vectors itself"),
    "reranker": (_reranker, "check RERANK_BASE_URL, RERANK_API_KEY and RERANK_MODEL"),
    "llm": (_language_model, "check LLM_BASE_URL, LLM_API_KEY and LLM_MODEL"),
    "answers": (_answer_engine, "check ANSWER_ENGINE"),
    "sign-in": (_provider, "check OIDC_ISSUER, spelt as in its discovery document, and that it answers from here"),
    "encryption": (_encryption, "run `hearth migrate`, and look at the database"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """`state` is `ok` or `ill`; `advice` says what to do, where there is something to do."""

    name: str
    state: Literal["ok", "ill"]
    details: str
    advice: str | None = None


async def examine(settings: Settings, console: Console) -> bool:
    """Print a line for each dependency; True when all are well."""
    findings = await _look_at_all(settings)
    table = Table("what", "state", "details", box=None)
    for finding in findings:
        colour = "green" if finding.state == "ok" else "red"
        details = "\n→ ".join(part for part in (finding.details, finding.advice) if part)
        table.add_row(finding.name, f"[{colour}]{finding.state}[/]", escape(details))
    console.print(table)
    return _is_well(findings)


async def examine_for_machines(settings: Settings, write: Callable[[str], object]) -> bool:
    """The same as one JSON object: `{"is_well", "version", "checks": [{"name", "state", "details", "advice"}]}`."""
    findings = await _look_at_all(settings)
    is_well = _is_well(findings)
    checks = [asdict(finding) for finding in findings]
    write(json.dumps({"is_well": is_well, "version": __version__, "checks": checks}, indent=2) + "\n")
    return is_well


async def _look_at_all(settings: Settings) -> Sequence[Finding]:
    python = Finding("python", "ok", sys.version.split()[0])
    async with open_foundation(settings) as foundation:
        return [python, *[await _look(foundation, name) for name in EXAMINATIONS]]


async def _look(foundation: Foundation, name: str) -> Finding:
    look, advice = EXAMINATIONS[name]
    try:
        async with asyncio.timeout(PATIENCE):
            return Finding(name, "ok", await look(foundation))
    except Unwell as error:
        return Finding(name, "ill", str(error))
    except Exception as error:
        return Finding(name, "ill", str(error) or type(error).__name__, advice)


def _is_well(findings: Sequence[Finding]) -> bool:
    return all(finding.state == "ok" for finding in findings)


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
