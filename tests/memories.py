"""Memories for tests, through the public door."""

from typing import Any

from httpx import AsyncClient

from app.resources import Resources
from tests.factories import User


async def remember(client: AsyncClient, user: User, content: str, **fields: Any) -> dict[str, Any]:
    """A new memory of `user`."""
    response = await client.post("/api/v1/memories", json={"content": content, **fields}, headers=user.headers)
    assert response.status_code == 201, response.text
    return response.json()


async def index(resources: Resources) -> None:
    """What a worker does as soon as something was written."""
    await resources.services.memory_indexing.run_due()


async def search(client: AsyncClient, user: User, query: str, **fields: Any) -> dict[str, Any]:
    body = {"query": query, "sources": ["memories"], **fields}
    response = await client.post("/api/v1/search", json=body, headers=user.headers)
    assert response.status_code == 200, response.text
    return response.json()


async def listed(client: AsyncClient, user: User, path: str = "/memories", **params: Any) -> dict[str, Any]:
    response = await client.get(f"/api/v1{path}", params=params, headers=user.headers)
    assert response.status_code == 200, response.text
    return response.json()
