"""Real PostgreSQL and Valkey for every test. `client` rolls all back; `live` is a real server on a real socket."""

import asyncio
import gc
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

import asyncpg
import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from pydantic import SecretStr
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, async_sessionmaker
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.embedded import embedded_servers
from app.foundation import Foundation, open_foundation
from app.main import create_app
from app.migrations import migrate
from app.rates import Budget
from app.repositories import OpenUnitOfWork, Publish, UnitOfWork
from app.repositories.engine import Sessions
from app.resources import Resources, open_resources, open_services
from app.settings import LockoutSettings, PasswordSettings, RateLimitSettings, RedisSettings, Settings
from tests.data_dirs import remove_abandoned_data_dirs, temporary_data_dir
from tests.factories import User, make_user
from tests.processes import LiveServer, start_server

REPOSITORY = Path(__file__).parent.parent
NO_LIMIT = "1000000/minute"
ENDLESS = re.compile(r"/(chat|tasks)/[^/]*/events$")
SHARED = Path(os.environ.get("HEARTH_SHARED", REPOSITORY.parent / "shared")) / "data"


PRISTINE = "pristine"


def pytest_collection_finish() -> None:
    """What was imported stays: looking through it again and again held tests up for half a second at a time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def shared_data() -> Path:
    """Real documents and question sets, for measuring; they are not part of the project."""
    if not SHARED.exists():
        pytest.skip(f"measuring data is absent: {SHARED} (set HEARTH_SHARED)")
    return SHARED


@pytest.fixture(scope="session")
def session_data_dir() -> Iterator[Path]:
    remove_abandoned_data_dirs()
    with temporary_data_dir() as folder:
        yield folder


@pytest.fixture(scope="session")
async def settings(session_data_dir: Path) -> AsyncIterator[Settings]:
    """Settings whose servers run for this test session alone, with cheap password hashes."""
    base = Settings(
        _env_file=None,
        environment="testing",
        data_dir=session_data_dir,
        password=PasswordSettings(memory_kib=64, time_cost=1, min_strength=0),  # zxcvbn takes longer than most tests
        lockout=LockoutSettings(network_failures=1_000_000),  # all tests come from one address
        rate_limit=RateLimitSettings(**dict.fromkeys(Budget, NO_LIMIT)),
    )
    async with embedded_servers(base) as running:
        prefixed = RedisSettings(url=running.redis.url, prefix=f"test-{uuid4().hex}:")
        ready = running.model_copy(update={"redis": prefixed})
        await migrate(ready)
        await _keep_pristine(ready)
        yield ready


async def _keep_pristine(settings: Settings) -> None:
    """A template to which nobody ever connects: one that is in use cannot be copied."""
    url = make_url(settings.database.url.get_secret_value())
    postgres = url.set(drivername="postgresql", database="postgres")
    admin = await asyncpg.connect(postgres.render_as_string(hide_password=False))
    await admin.execute(f'CREATE DATABASE "{PRISTINE}" TEMPLATE "{url.database}"')
    await admin.close()


@asynccontextmanager
async def cloned_database(settings: Settings, *, template: str = PRISTINE) -> AsyncIterator[Settings]:
    """A committed database of its own, made from that of `settings`; for tests of locks, races and whole processes."""
    url = make_url(settings.database.url.get_secret_value())
    name = f"clone_{uuid4().hex}"
    postgres = url.set(drivername="postgresql", database="postgres")
    admin = await asyncpg.connect(postgres.render_as_string(hide_password=False))
    try:
        await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        clone = SecretStr(url.set(database=name).render_as_string(hide_password=False))
        database = settings.database.model_copy(update={"url": clone})
        redis = settings.redis.model_copy(update={"prefix": f"{name}:"})
        yield settings.model_copy(update={"database": database, "redis": redis})
        await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await admin.close()


@pytest.fixture(scope="session")
async def committed_settings(settings: Settings) -> AsyncIterator[Settings]:
    async with cloned_database(settings) as cloned:
        yield cloned


@pytest.fixture(scope="session")
async def foundation(settings: Settings, committed_settings: Settings) -> AsyncIterator[Foundation]:
    """Opened after the clone was made: a template may have no other connections."""
    async with open_foundation(settings) as opened:
        yield opened


@pytest.fixture(scope="session")
async def shared_connection(foundation: Foundation) -> AsyncIterator[AsyncConnection]:
    async with foundation.engine.connect() as connection:
        yield connection


class OneAtATime(UnitOfWork):
    """All units of work of a test share one connection, so they take turns."""

    turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        async with asyncio.timeout(5):  # a unit of work inside a unit of work ends here
            await self.turn.acquire()
        return await super().__aenter__()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await super().__aexit__(exc_type, exc, traceback)
        finally:
            self.turn.release()


@pytest.fixture
async def resources(foundation: Foundation, shared_connection: AsyncConnection) -> AsyncIterator[Resources]:
    """Every commit inside the test is a savepoint of one outer transaction that never commits."""
    outer = await shared_connection.begin()
    inside = async_sessionmaker(shared_connection, expire_on_commit=False, join_transaction_mode="create_savepoint")
    sessions = Sessions(inside, inside)

    def make_uow(publish: Publish) -> OpenUnitOfWork:
        return partial(OneAtATime, sessions, publish)

    OneAtATime.turn = asyncio.Lock()
    async with open_services(foundation, make_uow) as opened:
        yield opened
    await outer.rollback()


@pytest.fixture
async def committed(committed_settings: Settings) -> AsyncIterator[Resources]:
    """Resources over the committed database: real locks, real races, several units of work at once."""
    async with open_resources(committed_settings) as opened:
        yield opened


@pytest.fixture(scope="session")
def application(settings: Settings) -> FastAPI:
    """Made once: it takes longer than most tests."""
    return create_app(settings)


def hanging_up(application: ASGIApp) -> ASGIApp:
    """The same, whose callers leave streams without an end as soon as these have begun."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        async def leave() -> Message:
            return {"type": "http.disconnect"}

        await application(scope, leave if ENDLESS.search(scope["path"]) else receive, send)

    return serve


@pytest.fixture
async def client(application: FastAPI, resources: Resources) -> AsyncIterator[AsyncClient]:
    """The shipped application in this process; nobody is signed in."""
    application.state.resources = resources
    transport = ASGITransport(hanging_up(application), raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://test") as opened:
        yield opened


@pytest.fixture
async def admin(client: AsyncClient) -> User:
    """The first account."""
    return await make_user(client, name="Admin")


@pytest.fixture
async def owner(client: AsyncClient, admin: User) -> User:
    """Somebody with an account, and no admin."""
    return await make_user(client, name="Owner")


@pytest.fixture(scope="session")
async def live(committed_settings: Settings) -> AsyncIterator[LiveServer]:
    """A server process with one worker beside it, on a free port, over the committed database."""
    async with start_server(committed_settings, worker=True) as server:
        yield server


@pytest.fixture
async def start_another(committed_settings: Settings) -> AsyncIterator[Callable[..., "asyncio.Future[LiveServer]"]]:
    """Start further server processes over the same database and Redis; they end with the test."""
    async with AsyncExitStack() as stack:

        async def start(*, worker: bool = False, **overrides: str) -> LiveServer:
            return await stack.enter_async_context(start_server(committed_settings, worker=worker, **overrides))

        yield start
