"""What authentication and the limiter add to a request, and whether hashing passwords holds anything up.

python -m benchmarks.protection

Requests go straight into the applications, in one process and in turn, without a socket and a server before them: the
microseconds are those of the application alone, so the ratios are larger than any client sees.
"""

import asyncio
import json
import os
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

import httpx
from argon2 import PasswordHasher
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.main import create_app
from app.permissions import Principal
from app.resources import Resources, open_resources
from app.security import Passwords
from app.services.callers import CallerService, Credentials
from app.settings import Settings
from app.settings.operation import LogSettings
from benchmarks.measuring import machine, p50, prepared_settings, settle
from tests.factories import PASSWORD, User, login, make_key, make_user, with_fresh_accounts
from tests.processes import LiveServer, environment_of, free_port, stop_process, wait_until_live

WARMING, ROUNDS = 50, 500
PATHS: Final = ("/api/v1/task-types", "/api/v1/users/me")  # the second asks the database
QUIET: Final = LogSettings(level="warning")
NO_LIMIT: Final = "10000000/minute"  # counted all the same
LOGINS, LOGIN_ROUNDS = 20, 10
TICK = 0.005  # seconds

Headers = Mapping[str, str]


# --- ways in: each makes the headers of somebody who came that way --------------------------------------------------


async def token_headers(_: httpx.AsyncClient, user: User) -> Headers:
    return user.headers


async def key_headers(client: httpx.AsyncClient, user: User) -> Headers:
    return {"X-API-Key": (await make_key(client, user))["key"]}


async def cookie_headers(client: httpx.AsyncClient, user: User) -> Headers:
    form = {"username": user.email, "password": PASSWORD}
    response = (await client.post("/api/v1/auth/session", data=form)).raise_for_status()
    client.cookies.clear()
    return {"Cookie": response.headers["set-cookie"].partition(";")[0]}


WAYS_IN: Final[Mapping[str, Callable[[httpx.AsyncClient, User], Awaitable[Headers]]]] = {
    "access token": token_headers,
    "API key": key_headers,
    "cookie": cookie_headers,
}


# --- a request, and what it costs -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Variant:
    """`is_forgetful`: callers are looked up at each request, as after two seconds of silence."""

    app: FastAPI
    headers: Headers
    is_forgetful: bool = False


async def get(variant: Variant, path: str) -> float:
    """Seconds until the whole answer was given."""
    headers = [(name.lower().encode(), value.encode()) for name, value in variant.headers.items()]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost"), *headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    status = 0
    if variant.is_forgetful:
        variant.app.state.resources = with_fresh_accounts(variant.app.state.resources)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)

    started = time.perf_counter()
    await variant.app(scope, receive, send)
    took = time.perf_counter() - started
    assert status == 200, (path, status)
    return took


def bare_app() -> FastAPI:
    """What the framework takes for answering like the first path."""

    class Kind(BaseModel):
        name: str
        description: str

    app = FastAPI()

    @app.get(PATHS[0])
    @app.get(PATHS[1])
    async def list_kinds() -> list[Kind]:
        return [Kind(name="ingest_document", description="Reads a document and makes its passages searchable.")]

    return app


class Everybody(CallerService):
    """Takes whoever calls for `principal`, without looking."""

    def __init__(self, principal: Principal) -> None:
        self._principal = principal

    async def identify(self, _: Credentials) -> Principal:
        return self._principal


def without_authentication(resources: Resources, user: User) -> FastAPI:
    callers = Everybody(Principal(UUID(user.id), user.name))
    return create_app(resources=replace(resources, services=replace(resources.services, callers=callers)))


async def make_variants(unlimited: Resources, limited: Resources) -> Mapping[str, Variant]:
    """The first is the reference; the second is the same again."""
    plain, forgetting, counting = (create_app(resources=each) for each in (unlimited, unlimited, limited))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(plain), base_url="http://localhost") as client:
        user = await make_user(client)
        callers = {name: await way_in(client, user) for name, way_in in WAYS_IN.items()}
    open_to_all = without_authentication(unlimited, user)
    variants = {
        "neither": Variant(open_to_all, {}),
        "neither, again": Variant(open_to_all, {}),
        "bare FastAPI": Variant(bare_app(), {}),
        "limiter": Variant(without_authentication(limited, user), {}),
    }
    for name, headers in callers.items():
        variants[name] = Variant(plain, headers)
        variants[f"{name}, looked up"] = Variant(forgetting, headers, is_forgetful=True)
        variants[f"{name} and limiter"] = Variant(counting, headers)
    return variants


async def measure_requests(settings: Settings) -> None:
    def limited_by(**limits: Any) -> Settings:
        return settings.model_copy(update={"rate_limit": settings.rate_limit.model_copy(update=limits), "log": QUIET})

    without, within = limited_by(enabled=False), limited_by(requests=NO_LIMIT, login=NO_LIMIT)
    async with open_resources(without) as unlimited, open_resources(within) as limited:
        variants = await make_variants(unlimited, limited)
        await settle()
        for path in PATHS:
            await compare(variants, path)


async def compare(variants: Mapping[str, Variant], path: str) -> None:
    took: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(-WARMING, ROUNDS):
        for name in random.sample(list(variants), len(variants)):
            seconds = await get(variants[name], path)
            if number >= 0:
                took[name].append(seconds)
    reference = took["neither"]
    print(f"GET {path}: p50 {p50(reference) * 1e6:.0f} µs, p10 {p10(reference) * 1e6:.0f} µs with neither")
    print(f"  {'what is added':<26} {'p50':>10} {'ratio':>6} {'p10':>10} {'ratio':>6}")
    for name, each in took.items():
        pairs = list(zip(reference, each, strict=True))
        added = statistics.median(mine - other for other, mine in pairs) * 1e6
        ratio = statistics.median(mine / other for other, mine in pairs)
        undisturbed = (p10(each) - p10(reference)) * 1e6
        row = f"{added:+7.0f} µs {ratio:6.2f} {undisturbed:+7.0f} µs {p10(each) / p10(reference):6.2f}"
        print(f"  {name:<26} {row}", flush=True)


def p10(seconds: Sequence[float]) -> float:
    """What it takes while nobody else wants the machine: others only ever add to a time."""
    return statistics.quantiles(seconds, n=10)[0]


# --- the loop while people sign in ----------------------------------------------------------------------------------


class Ticking:
    """The application, a clock that tells how late the event loop is (`/lags`), and a bad idea (`/on-the-loop`)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._lags: list[float] = []
        self._hasher = PasswordHasher(memory_cost=19456, time_cost=2, parallelism=1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path")
        if scope["type"] == "lifespan":
            ticking = asyncio.create_task(self._tick())
            await self._app(scope, receive, send)
            ticking.cancel()
        elif path == "/lags":
            lags, self._lags = self._lags, []
            await self._answer(send, lags)
        elif path == "/on-the-loop":
            await self._answer(send, self._hasher.hash(PASSWORD))
        else:
            await self._app(scope, receive, send)

    async def _tick(self) -> None:
        while True:
            due = time.perf_counter() + TICK
            await asyncio.sleep(TICK)
            self._lags.append(time.perf_counter() - due)

    async def _answer(self, send: Send, value: object) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(value).encode()})


def create_ticking_app() -> ASGIApp:
    return Ticking(create_app())


@asynccontextmanager
async def ticking_server(settings: Settings) -> AsyncIterator[LiveServer]:
    port = free_port()
    environment = environment_of(settings, RATE_LIMIT_ENABLED="false", PATH=os.environ["PATH"])
    options = ("--factory", "--port", str(port), "--log-level", "warning", "--no-access-log")
    command = (sys.executable, "-m", "uvicorn", "benchmarks.protection:create_ticking_app", *options)
    server = LiveServer(port, await asyncio.create_subprocess_exec(*command, env=environment), None, environment)
    try:
        await wait_until_live(server)
        yield server
    finally:
        await stop_process(server.process)


def lateness(lags: Sequence[float]) -> str:
    ordered = statistics.quantiles(lags, n=100, method="inclusive")
    return f"p50 {ordered[49] * 1000:.1f}, p99 {ordered[98] * 1000:.1f}, max {max(lags) * 1000:.1f} ms"


async def measure_loop(settings: Settings) -> None:
    async with ticking_server(settings) as server, server.client() as client:
        users = [await make_user(client, f"Reader {number}") for number in range(LOGINS)]
        passwords = Passwords(settings.password)
        stored = await passwords.hash(PASSWORD)

        async def sign_in() -> None:
            answers = await asyncio.gather(*(login(client, user.email) for user in users))
            assert all(answer.status_code == 200 for answer in answers)

        async def hash_on_the_loop() -> None:
            await asyncio.gather(*(client.get("/on-the-loop") for _ in users))

        async def verify() -> None:
            await asyncio.gather(*(passwords.verify(PASSWORD, stored) for _ in users))

        states = {
            "idle": lambda: asyncio.sleep(0.5),
            f"{LOGINS} log-ins at once": sign_in,
            f"{LOGINS} hashes on the loop": hash_on_the_loop,
            f"{LOGINS} hashes elsewhere": verify,  # so many seconds the machine needs for nothing but hashing
        }
        lags: dict[str, list[float]] = {name: [] for name in states}
        took: dict[str, list[float]] = {name: [] for name in states}
        for _ in range(LOGIN_ROUNDS):
            for name, work in states.items():
                await client.get("/lags")
                started = time.perf_counter()
                await work()
                took[name].append(time.perf_counter() - started)
                lags[name] += (await client.get("/lags")).json()
    print(f"how late a tick of {TICK * 1000:.0f} ms comes")
    for name, each in lags.items():
        print(f"  {name:<26} {lateness(each)}; {LOGINS / p50(took[name]):.0f} a second")


async def main() -> None:
    print(machine())
    async with prepared_settings() as settings:
        await measure_requests(settings)
        await measure_loop(settings)


if __name__ == "__main__":
    asyncio.run(main())
