"""People and what they make, through the public door."""

from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from httpx import AsyncClient
from redis.asyncio import Redis
from sqlalchemy import Executable, Select

from app.realtime.presence import Presence
from app.resources import Resources
from app.services import build_services, build_ways_in
from app.services.known_callers import KnownCallers
from app.settings import RateLimitSettings

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class User:
    id: str
    email: str
    name: str
    access_token: str
    refresh_token: str
    password: str = PASSWORD

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.access_token}"}


async def register(client: AsyncClient, email: str, *, name: str = "Ada", password: str = PASSWORD):
    return await client.post("/api/v1/auth/register", json={"email": email, "password": password, "name": name})


async def login(client: AsyncClient, email: str, password: str = PASSWORD):
    return await client.post("/api/v1/auth/login", data={"username": email, "password": password})


async def make_user(client: AsyncClient, name: str = "Ada") -> User:
    """A new account, signed in. The first one in a database is the admin."""
    email = f"{name.lower().replace(' ', '.')}-{uuid4().hex[:12]}@example.com"
    registered = await register(client, email, name=name)
    assert registered.status_code == 201, registered.text
    tokens = (await login(client, email)).json()
    return User(registered.json()["id"], email, name, tokens["access_token"], tokens["refresh_token"])


async def make_key(client: AsyncClient, user: User, **fields: object) -> dict:
    response = await client.post("/api/v1/api-keys", json={"name": "script", **fields}, headers=user.headers)
    assert response.status_code == 201, response.text
    return response.json()


async def make_project(client: AsyncClient, user: User, name: str = "Lighthouse") -> dict:
    response = await client.post("/api/v1/projects", json={"name": name}, headers=user.headers)
    assert response.status_code == 201, response.text
    return response.json()


async def share(client: AsyncClient, owner: User, project_id: str, user: User, role: str) -> None:
    """Make `user` a member of the project (`viewer`, `editor` or `owner`)."""
    member = {"email": user.email, "role": role}
    response = await client.post(f"/api/v1/projects/{project_id}/members", json=member, headers=owner.headers)
    assert response.is_success, response.text


async def execute(resources: Resources, statement: Executable) -> Any:
    """What no door does: disable an account, move a time. Returns the first value that a question finds."""
    async with resources.uow() as uow:
        result = await uow._session.execute(statement)
        return result.scalar() if isinstance(statement, Select) else None


def with_fresh_accounts(resources: Resources, **settings: Any) -> Resources:
    """As another process would have them: nobody is remembered; other settings, if given."""
    changed = resources.settings.model_copy(update=settings)
    foundation = replace(resources.foundation, settings=changed)
    ways_in = build_ways_in(foundation, resources.uow, KnownCallers(), resources.services.limits)
    services = replace(
        resources.services,
        accounts=ways_in.accounts,
        logins=ways_in.logins,
        callers=ways_in.callers,
        mails=ways_in.mails,
        recovery=ways_in.recovery,
    )
    return replace(resources, foundation=foundation, services=services)


def with_limits(resources: Resources, rates: RateLimitSettings, redis: Redis | None = None) -> Resources:
    """The same resources with other limits, as another process would have them; `redis` may be another one."""
    settings = resources.settings.model_copy(update={"rate_limit": rates})
    foundation = replace(resources.foundation, settings=settings, redis=redis or resources.foundation.redis)
    presence = Presence(foundation.redis, resources.hub.publish, settings.realtime, prefix=settings.redis.prefix)
    services = build_services(foundation, resources.uow, resources.hub, presence)
    return replace(resources, foundation=foundation, services=services)
