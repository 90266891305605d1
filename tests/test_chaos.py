"""Everything that can fail, fails: what callers are told, and that all is well again by itself.

In full by `make chaos`, for CHAOS_SECONDS; here for as long as a test may take.
"""

import asyncio
import os
import random
import resource
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import pytest
from httpx import AsyncClient, HTTPError, Response

from app.services.health import DEFAULT_FRESHNESS
from app.settings import Settings
from tests.chaos_house import BOUNDED, RECOVERY, House, chaos_house, refusal, until
from tests.conftest import cloned_database
from tests.data_dirs import temporary_data_dir
from tests.factories import User, make_user
from tests.processes import (
    LiveServer,
    environment_of,
    free_port,
    start_process,
    start_server,
    stop_process,
    wait_until_live,
)
from tests.rooms import make_room, visit

SECONDS = float(os.environ.get("CHAOS_SECONDS", "12"))
SEED = int(os.environ.get("CHAOS_SEED", time.time_ns() % 1_000_000 if SECONDS > 60 else 1))
ROUNDS = max(1, round(SECONDS / 60))
TEXT = b"The keeper lights the lamp at nine in the evening."
pytestmark = pytest.mark.chaos


@pytest.fixture(scope="module")
async def shared_house(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with (
        cloned_database(settings) as cloned,
        chaos_house(cloned, tmp_path_factory.mktemp("objects")) as opened,
    ):
        yield opened


@pytest.fixture
async def house(shared_house: House) -> AsyncIterator[House]:
    """Well at the end, too, however the test went."""
    yield shared_house
    for proxy in shared_house.proxies.values():
        await proxy.mend()


async def timed(call: Awaitable[Response]) -> Response:
    async with asyncio.timeout(BOUNDED):
        return await call


async def works(call: Callable[[], Awaitable[Response]]) -> bool:
    return (await call()).is_success


@pytest.mark.parametrize("_", range(ROUNDS))
async def test_postgresql_refused_hung_and_slow(house: House, _: int):
    proxy, text = house.proxies["database"], f"{time.time_ns()}"
    await asyncio.sleep(DEFAULT_FRESHNESS.total_seconds())  # what health was told by the round before is forgotten
    await proxy.refuse()
    refusal(await timed(house.say("nobody hears")))
    assert (await house.check("database"), await ready(house)) == ("unhealthy", 503)
    await proxy.mend()
    await until(lambda: works(lambda: house.say(f"one {text}")), "no recovery after a refusal")

    await proxy.hang()
    for answer in await asyncio.gather(*(timed(house.say(f"lost {text}")) for _ in range(4))):
        refusal(answer)
    await until(is_ill(house, "database"), "health does not tell", patience=BOUNDED)
    await proxy.mend()
    await until(lambda: works(lambda: house.say(f"two {text}")), "no recovery after a hang")

    await proxy.slow()
    assert (await timed(house.say(f"three {text}"))).status_code == 201
    await proxy.mend()
    await until(is_well(house, "database"), "health does not tell")
    texts = await said(house)
    assert [f"{number} {text}" for number in ("one", "two", "three")] == [one for one in texts if one.endswith(text)], (
        "what was refused was not said, what was acknowledged is there"
    )


async def said(house: House) -> list[str]:
    answer = await house.client.get(f"/api/v1/chat/{house.room}/messages?limit=20", headers=house.owner.headers)
    return [item["text"] for item in sorted(answer.json()["items"], key=lambda item: item["seq"])]


def is_ill(house: House, name: str) -> Callable[[], Awaitable[bool]]:
    async def ask() -> bool:
        return await house.check(name) == "unhealthy"

    return ask


def is_well(house: House, name: str) -> Callable[[], Awaitable[bool]]:
    async def ask() -> bool:
        return await house.check(name) == "healthy"

    return ask


async def ready(house: House) -> int:
    return (await house.client.get("/health/ready")).status_code


@pytest.mark.parametrize("_", range(ROUNDS))
async def test_without_redis_rooms_go_on(house: House, _: int):
    proxy = house.proxies["redis"]
    async with visit(house.server, f"chat/{house.room}", house.owner.headers) as visitor:
        await visitor.next()  # the seat is taken
        for number, break_it in enumerate((proxy.refuse, proxy.hang, proxy.slow)):
            await break_it()
            assert (await timed(house.say(f"{number} still here"))).status_code == 201
            assert (await visitor.next_of("message_received"))["text"] == f"{number} still here"
            assert await ready(house) == 200, "degraded is no reason to send traffic elsewhere"
            if break_it != proxy.slow:
                await until(is_ill(house, "redis"), "health does not tell", patience=BOUNDED)
            await proxy.mend()
            await until(is_well(house, "redis"), "no recovery")


@pytest.mark.parametrize("_", range(ROUNDS))
async def test_the_language_model_refused_hung_and_slow(house: House, _: int):
    await house.upload("lamp.txt", TEXT)

    async def ask() -> Response:
        body = {"question": f"When does the keeper light the lamp? ({time.time_ns()})"}
        return await house.client.post("/api/v1/query", json=body, headers=house.owner.headers)

    proxy = house.proxies["llm"]
    await until(lambda: answers(ask), "the document is not read", patience=30)
    for break_it in (proxy.refuse, proxy.hang):
        await break_it()
        refusal(await timed(ask()))
        assert (await house.say("people can talk")).status_code == 201
        await proxy.mend()
        await until(lambda: works(ask), "no recovery")
    await proxy.slow()
    assert (await timed(ask())).is_success
    await proxy.mend()


async def answers(ask: Callable[[], Awaitable[Response]]) -> bool:
    answer = await ask()
    return answer.is_success and bool(answer.json()["citations"])


@pytest.mark.parametrize("_", range(ROUNDS))
async def test_the_store_of_files_refused_hung_and_slow(house: House, _: int):
    proxy, number = house.proxies["storage"], time.time_ns()
    for break_it in (proxy.refuse, proxy.hang):
        await break_it()
        refusal(await timed(house.upload("never.txt", TEXT + b" %d" % number)))
        assert (await house.say("people can talk")).status_code == 201
        await proxy.mend()
        again = partial(house.upload, "again.txt", TEXT + b" %d" % time.time_ns())
        await until(partial(works, again), "no recovery")
    await proxy.slow()
    uploaded = await timed(house.upload(f"{number}.txt", TEXT + b" slow %d" % number))
    await proxy.mend()
    assert uploaded.status_code == 202
    document = uploaded.json()["document"]["id"]
    await until(lambda: is_read(house.client, house.owner, document), "it is not read", patience=30)
    await until(is_well(house, "workspace"), "health does not tell")


async def is_read(client: AsyncClient, owner: User, document: str) -> bool:
    answer = await client.get(f"/api/v1/documents/{document}", headers=owner.headers)
    return answer.json().get("status") == "ready"


@pytest.mark.parametrize("_", range(ROUNDS))
async def test_mails_go_out_as_soon_as_their_server_is_back(house: House, _: int):
    proxy = house.proxies["mail"]

    async def forget() -> Response:
        return await house.client.post("/api/v1/auth/password/forgot", json={"email": house.owner.email})

    for break_it in (proxy.refuse, proxy.hang, proxy.slow):
        before = len(house.mails.received)
        await break_it()
        assert (await timed(forget())).status_code == 202
        await asyncio.sleep(2.5)  # in which it is tried in vain, twice or so
        if break_it != proxy.slow:
            assert len(house.mails.received) == before
        await proxy.mend()

        async def came(least: int = before + 1) -> bool:
            return len(house.mails.received) >= least

        await until(came, "the mail does not come")


@pytest.fixture(scope="module")
async def lone(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveServer]:
    """A server and a worker, with files on the disk."""
    async with cloned_database(settings) as cloned:
        alone = cloned.model_copy(update={"data_dir": tmp_path_factory.mktemp("lone")})
        async with start_server(alone, worker=True) as server:
            yield server


async def test_a_full_disk_is_told_and_what_is_small_enough_goes_on(lone: LiveServer):
    """A limit for the size of files stands for the end of the disk: writing fails in the middle."""
    async with lone.client() as client:
        user = await make_user(client)
        resource.prlimit(lone.process.pid, resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))

        async def upload(size: int) -> Response:
            files = {"file": (f"{size}.txt", TEXT * size)}
            return await client.post("/api/v1/documents", files=files, headers=user.headers)

        refusal(await upload(10_000))
        assert (await upload(10)).status_code == 202
        incoming = Path(lone.environment["DATA_DIR"]) / "blobs" / "incoming"
        assert not list(incoming.iterdir()), "half a file stays behind"
        resource.prlimit(lone.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        assert (await upload(10_000)).status_code == 202


class Talkers:
    """People who say something again and again, and keep what was acknowledged."""

    def __init__(self, client: AsyncClient, owner: User, room: str) -> None:
        self._client, self._owner, self._room = client, owner, room
        self.acknowledged: list[str] = []
        self.documents: list[str] = []
        self.statuses: set[int] = set()

    async def talk(self, name: int, *, is_over: asyncio.Event) -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            text = f"{name}: {number}"
            path = f"/api/v1/chat/{self._room}/messages"
            answer = await self._try(self._client.post(path, json={"text": text}, headers=self._owner.headers))
            if answer is not None and answer.status_code == 201:
                self.acknowledged.append(text)
            if number % 10 == 0:
                files = {"file": (f"{name}-{number}.txt", TEXT + text.encode())}
                uploaded = await self._try(
                    self._client.post("/api/v1/documents", files=files, headers=self._owner.headers)
                )
                if uploaded is not None and uploaded.status_code == 202:
                    self.documents.append(uploaded.json()["document"]["id"])
            await asyncio.sleep(0.05)

    async def _try(self, call: Awaitable[Response]) -> Response | None:
        try:
            answer = await call
        except HTTPError:  # the connection went with its process
            await asyncio.sleep(0.1)
            return None
        if not answer.is_success:
            assert answer.status_code == 503, answer.text
            refusal(answer)
        return answer

    async def verify(self) -> None:
        """Everything that was acknowledged is there, once, and everything uploaded is read."""
        texts: list[str] = []
        cursor = None
        while True:
            params = {"limit": "100"} | ({"cursor": cursor} if cursor else {})
            path = f"/api/v1/chat/{self._room}/messages"
            page = (await self._client.get(path, params=params, headers=self._owner.headers)).json()
            texts += [item["text"] for item in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert set(self.acknowledged) - set(texts) == set(), "acknowledged, and lost"
        for document in self.documents:
            await until(partial(is_read, self._client, self._owner, document), f"{document} is lost", patience=60)


async def test_a_stop_under_load_loses_nothing(lone: LiveServer):
    async with lone.client() as client:
        owner = await make_user(client)
        talkers = Talkers(client, owner, await make_room(client, owner))
        going = asyncio.Event()
        talking = [asyncio.create_task(talkers.talk(name, is_over=going)) for name in range(6)]
        await asyncio.sleep(1)
        lone.process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(lone.process.wait(), 10)
        lone.process = await start_process(lone.environment, "serve")
        await wait_until_live(lone)
        await asyncio.sleep(0.5)
        going.set()
        await asyncio.gather(*talking)
        assert len(talkers.acknowledged) > 20
        await talkers.verify()


async def test_whatever_is_killed_comes_back_and_nothing_acknowledged_is_lost(settings: Settings):
    """`hearth run`: its server, its worker, PostgreSQL, Valkey and what it forks from, killed at random points."""
    with temporary_data_dir() as folder:
        port = free_port()
        own = settings.model_copy(update={"data_dir": folder})
        environment = environment_of(
            own, PORT=str(port), ENVIRONMENT="development", DATABASE_URL="", REDIS_URL="", LOG_LEVEL="error"
        )
        process = await start_process(environment, "run")
        server = LiveServer(port, process, None, environment)
        try:
            await wait_until_live(server)
            async with server.client() as client:
                owner = await make_user(client)
                talkers = Talkers(client, owner, await make_room(client, owner))
                is_over = asyncio.Event()
                talking = [asyncio.create_task(talkers.talk(name, is_over=is_over)) for name in range(3)]
                killed = await kill_at_random(process.pid, server, time.monotonic() + SECONDS)
                is_over.set()
                await asyncio.gather(*talking)
                assert len(talkers.acknowledged) > 10, killed
                await talkers.verify()
        finally:
            await stop_process(process)


KINDS = ("hearth serve", "hearth worker", "valkey-server", "postgres", "multiprocessing.forkserver")


async def kill_at_random(supervisor: int, server: LiveServer, until_when: float) -> list[str]:
    """Each of them as often as the others, in an order and after pauses that `CHAOS_SEED` decides."""
    chance, killed, to_come = random.Random(SEED), [], []
    while time.monotonic() < until_when:
        to_come = to_come or chance.sample(KINDS, len(KINDS))
        kind = to_come.pop()
        await asyncio.sleep(chance.uniform(0.05, 1.5))
        for child in psutil.Process(supervisor).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if kind in " ".join([child.name(), *child.cmdline()]):
                    child.kill()
                    killed.append(kind)
                    break
        async with server.client() as client:
            await until(
                partial(is_healthy, client), f"{kind} does not come back (CHAOS_SEED={SEED})", patience=RECOVERY + 15
            )
    assert len(set(killed)) == min(len(KINDS), len(killed)), killed
    return killed


async def is_healthy(client: AsyncClient) -> bool:
    with suppress(HTTPError):
        return (await client.get("/health")).json()["status"] == "healthy"
    return False
