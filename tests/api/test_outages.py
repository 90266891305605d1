"""What callers are told while PostgreSQL cannot be reached."""

from dataclasses import replace
from functools import partial

import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from pydantic import SecretStr

from app.foundation import Foundation
from app.repositories import UnitOfWork
from app.repositories.engine import Sessions, create_engine
from app.resources import open_services

ACCOUNT = {"email": "ada@example.org", "password": "correct horse 9", "name": "Ada"}


@pytest.mark.parametrize(
    "address",
    [
        "/hearth?host=/nowhere/to/be/found",  # a server on this machine that has stopped took its socket with it
        "database.invalid/hearth",  # a container that has stopped took its name with it
        "127.0.0.1:1/hearth",
    ],
)
async def test_a_database_that_cannot_be_reached_is_a_503_with_retry_after(
    client: AsyncClient, application: FastAPI, foundation: Foundation, address: str
):
    url = SecretStr(f"postgresql+asyncpg://app:secret@{address}")
    engine = create_engine(foundation.settings.database.model_copy(update={"url": url}))
    sessions = Sessions.over(engine)
    astray = replace(foundation, engine=engine)
    async with open_services(astray, lambda publish: partial(UnitOfWork, sessions, publish)) as resources:
        application.state.resources = resources
        response = await client.post("/api/v1/auth/register", json=ACCOUNT)
        health = await client.get("/health")
    assert (response.status_code, response.json()["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")
    assert int(response.headers["Retry-After"]) > 0
    assert (health.status_code, health.json()["checks"]["database"]["status"]) == (503, "unhealthy")
