"""An open socket lasts as long as the right to be there: whoever loses it is shown out within five seconds."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from httpx import AsyncClient
from sqlalchemy import update

from app.models import User as UserRow
from app.permissions import Principal
from app.realtime.outbox import CloseCode, Outbox
from app.realtime.visits import Visit, Visits
from app.resources import Resources
from tests.factories import PASSWORD, User, execute, login, make_key, make_project, make_user, share
from tests.processes import LiveServer
from tests.rooms import Visitor, invite_guest, make_room, visit

LONGEST = 5.0  # seconds


@dataclass
class House:
    """A room in a project of Ada's, which Bob is a member of."""

    http: AsyncClient
    resources: Resources
    ada: User
    bob: User
    project: str
    room: str

    async def delete(self, path: str, user: User, **options: object) -> None:
        response = await self.http.request("DELETE", f"/api/v1{path}", headers=user.headers, **options)
        assert response.status_code == 204, response.text

    async def sign_in(self, user: User) -> dict:
        return (await login(self.http, user.email)).json()


async def make_house(http: AsyncClient, resources: Resources) -> House:
    ada, bob = await make_user(http, name="Ada"), await make_user(http, name="Bob")
    project = (await make_project(http, ada))["id"]
    await share(http, ada, project, bob, "editor")
    return House(http, resources, ada, bob, project, await make_room(http, ada, project_id=project))


@pytest.fixture
async def house(live: LiveServer, committed: Resources) -> AsyncIterator[House]:
    async with live.client() as http:
        yield await make_house(http, committed)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


Loss = Callable[[House], Awaitable[tuple[dict[str, str], Callable[[], Awaitable[object]], int]]]
"""Gives headers to come in with, what takes the right away, and the code the socket then closes with."""


async def logging_out(house: House):
    tokens = await house.sign_in(house.bob)
    leave = house.http.post("/api/v1/auth/logout", headers=bearer(tokens["access_token"]))
    return bearer(tokens["access_token"]), lambda: leave, 4401


async def the_second_use_of_a_refresh_token(house: House):
    tokens = await house.sign_in(house.bob)

    async def use_twice() -> None:
        for _ in range(2):
            await house.http.post("/api/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})

    return bearer(tokens["access_token"]), use_twice, 4401


async def signing_out_other_devices(house: House):
    tokens = await house.sign_in(house.bob)
    return bearer(tokens["access_token"]), lambda: house.delete("/users/me/devices", house.bob), 4401


async def deleting_the_key(house: House):
    key = await make_key(house.http, house.bob)
    return {"X-API-Key": key["key"]}, lambda: house.delete(f"/api-keys/{key['id']}", house.bob), 4401


async def a_key_that_expires(house: House):
    soon = datetime.now(UTC) + timedelta(seconds=1)
    key = await make_key(house.http, house.bob, expires_at=soon.isoformat())
    return {"X-API-Key": key["key"]}, lambda: asyncio.sleep(1), 4401


async def a_disabled_account(house: House):
    disable = update(UserRow).where(UserRow.id == house.bob.id).values(is_active=False)
    return house.bob.headers, lambda: execute(house.resources, disable), 4401


async def leaving_the_project(house: House):
    path = f"/projects/{house.project}/members/{house.bob.id}"
    return house.bob.headers, lambda: house.delete(path, house.ada), 4404


async def the_end_of_the_project(house: House):
    return house.bob.headers, lambda: house.delete(f"/projects/{house.project}", house.ada), 4404


async def the_end_of_the_room_for_a_guest(house: House):
    guest = await invite_guest(house.http, house.ada, house.room)
    return guest, lambda: house.delete(f"/sessions/{house.room}", house.ada), 4404


LOSSES = [
    logging_out,
    the_second_use_of_a_refresh_token,
    signing_out_other_devices,
    deleting_the_key,
    a_key_that_expires,
    a_disabled_account,
    leaving_the_project,
    the_end_of_the_project,
    the_end_of_the_room_for_a_guest,
]


async def close_within(visitor: Visitor, seconds: float) -> int:
    async with asyncio.timeout(seconds):
        return await visitor.closed()


async def test_whoever_loses_the_right_is_shown_out_and_nobody_else(live: LiveServer, committed: Resources):
    """All at once, each in a house of its own, so that the seconds are waited for once."""

    async def lose(stack: AsyncExitStack, loss: Loss) -> None:
        house = await make_house(await stack.enter_async_context(live.client()), committed)
        headers, take_away, code = await loss(house)
        visitor = await stack.enter_async_context(visit(live, house.room, headers))
        witness = await stack.enter_async_context(visit(live, house.room, house.ada.headers))
        await visitor.next_of("welcome")
        await take_away()
        started = time.monotonic()
        assert await close_within(visitor, LONGEST) == code, loss.__name__
        assert time.monotonic() - started < LONGEST
        if not loss.__name__.startswith("the_end"):
            await witness.say("still here")
            assert await witness.hear(1) == ["still here"]

    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        for loss in LOSSES:
            group.create_task(lose(stack, loss))


async def test_a_follower_of_a_project_is_shown_out_too(live: LiveServer, house: House):
    async with visit(live, house.project, house.bob.headers) as follower:
        await follower.next_of("welcome")
        await house.delete(f"/projects/{house.project}/members/{house.bob.id}", house.ada)
        assert await close_within(follower, LONGEST) == 4404


async def test_a_cookie_opens_a_socket_for_our_pages_only_until_it_ends(live: LiveServer, house: House):
    async with live.client() as browser:
        await browser.post("/api/v1/auth/session", data={"username": house.bob.email, "password": PASSWORD})
        cookie = {"Cookie": f"hearth_session={browser.cookies['hearth_session']}"}
        for origin in (None, "https://evil.example", "null"):
            async with visit(live, house.room, cookie, origin=origin) as refused:
                assert await refused.closed() == 4403, origin
        async with visit(live, house.room, cookie, origin="http://localhost:3000") as visitor:
            assert (await visitor.next_of("welcome"))["you"]["id"] == house.bob.id
            token = (await browser.get("/api/v1/auth/session")).json()["csrf_token"]
            await browser.post("/api/v1/auth/logout", headers={"X-CSRF-Token": token})
            assert await close_within(visitor, LONGEST) == 4401


async def test_a_bad_token_is_not_made_good_by_a_cookie(live: LiveServer, house: House):
    async with live.client() as browser:
        await browser.post("/api/v1/auth/session", data={"username": house.bob.email, "password": PASSWORD})
        cookie = {"Cookie": f"hearth_session={browser.cookies['hearth_session']}"}
    async with visit(live, house.room, cookie | bearer("x.y.z"), origin="http://localhost:3000") as refused:
        assert await refused.closed() == 4401


async def test_while_nobody_can_say_who_has_to_go_everybody_stays():
    asked_often = asyncio.Event()
    number = itertools.count(1)

    async def fail(visits: Sequence[Visit]) -> Sequence[CloseCode | None]:
        if next(number) == 3:
            asked_often.set()
        raise ConnectionError("away")

    async with Visits(fail, interval=0.01) as visits, asyncio.timeout(5):
        outbox = Outbox(8)
        with visits.stay(Principal(uuid4(), "Ada"), uuid4(), outbox):
            await asked_often.wait()
            assert not outbox.is_cut_off
