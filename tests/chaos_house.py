"""A server and a worker whose every dependency stands behind a proxy that can be broken."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from httpx import AsyncClient, Response
from sqlalchemy import make_url

from app.settings import Settings
from tests.factories import User, make_user
from tests.faulty_proxy import FaultyProxy, before
from tests.llm_server import LanguageServer, Script, serve_language_model
from tests.mails import MailServer, mail_server
from tests.object_store import serve_objects
from tests.processes import LiveServer, start_server
from tests.rooms import make_room

RECOVERY = 5.0  # seconds after the return of a dependency
BOUNDED = 12.0  # seconds in which every request is answered, whatever hangs, with the time-outs below
HASTE = {
    "DATABASE_CONNECT_TIMEOUT": "1",
    "DATABASE_POOL_TIMEOUT": "2",
    "DATABASE_STATEMENT_TIMEOUT": "2",
    "REDIS_TIMEOUT": "1",
    "LLM_CONNECT_TIMEOUT": "1",
    "LLM_TOKEN_TIMEOUT": "2",
    "STORAGE_TIMEOUT": "2",
    "SMTP_TIMEOUT": "2",
}


@dataclass
class House:
    server: LiveServer
    proxies: dict[str, FaultyProxy]
    language: LanguageServer
    mails: MailServer
    client: AsyncClient
    owner: User
    room: str

    async def say(self, text: str) -> Response:
        path = f"/api/v1/chat/{self.room}/messages"
        return await self.client.post(path, json={"text": text}, headers=self.owner.headers)

    async def upload(self, name: str, content: bytes) -> Response:
        files = {"file": (name, content)}
        return await self.client.post("/api/v1/documents", files=files, headers=self.owner.headers)

    async def check(self, name: str) -> str:
        """What /health says of one dependency; it never takes long."""
        started = time.monotonic()
        answer = await self.client.get("/health")
        assert time.monotonic() - started < 1.5, "health hung"
        return str(answer.json()["checks"][name]["status"])


async def until(condition: Callable[[], Awaitable[bool]], what: str, patience: float = RECOVERY) -> None:
    """Ask again and again until `condition` is true."""
    started = time.monotonic()
    while not await condition():
        assert time.monotonic() - started < patience, what
        await asyncio.sleep(0.05)


@asynccontextmanager
async def chaos_house(settings: Settings, folder: Path) -> AsyncIterator[House]:
    url = make_url(settings.database.url.get_secret_value())
    postgres_socket = Path(str(url.query["host"])) / ".s.PGSQL.5432"
    redis_socket = Path(settings.redis.url.get_secret_value().removeprefix("unix://").partition("?")[0])
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        language = await enter(serve_language_model())
        language.answer = lambda _: Script(["The keeper lights ", "the lamp at nine. [1]"])
        mails = await enter(mail_server())
        objects = await enter(serve_objects(folder))
        proxies = {
            "database": await enter(before(postgres_socket)),
            "redis": await enter(before(redis_socket)),
            "llm": await enter(before(("127.0.0.1", int(language.url.rpartition(":")[2].removesuffix("/v1"))))),
            "mail": await enter(before(("127.0.0.1", mails.port))),
            "storage": await enter(before(("127.0.0.1", int(objects.endpoint.rpartition(":")[2])))),
        }
        through = url.set(host="127.0.0.1", port=proxies["database"].port, query={})
        environment = HASTE | {
            "DATABASE_URL": through.render_as_string(hide_password=False),
            "REDIS_URL": f"redis://{proxies['redis'].address}/0",
            "LLM_BASE_URL": f"http://{proxies['llm'].address}/v1",
            "LLM_MODEL": "scripted",
            "SMTP_URL": f"smtp://{proxies['mail'].address}",
            "STORAGE_BACKEND": "s3",
            "STORAGE_BUCKET": objects.bucket,
            "STORAGE_ENDPOINT": f"http://{proxies['storage'].address}",
            "STORAGE_ACCESS_KEY": objects.access_key.get_secret_value(),
            "STORAGE_SECRET_KEY": objects.secret_key.get_secret_value(),
        }
        server = await enter(start_server(settings, worker=True, **environment))
        client = await enter(server.client())
        owner = await make_user(client)
        yield House(server, proxies, language, mails, client, owner, await make_room(client, owner))


def refusal(answer: Response) -> None:
    """What a caller is told while a dependency is away."""
    assert answer.status_code == 503, (answer.status_code, answer.text)
    assert answer.json()["error"]["code"] == "SERVICE_UNAVAILABLE"
    assert int(answer.headers["Retry-After"]) > 0
