"""Whoever takes some of what waits gets as many as asked for, however PostgreSQL plans it."""

from datetime import timedelta

from httpx import AsyncClient
from sqlalchemy import text

from app.resources import Resources
from tests.factories import User
from tests.memories import remember

OTHER_PLANS = ("hashjoin", "mergejoin", "hashagg", "sort", "material")


async def test_no_more_are_taken_when_rows_are_compared_one_by_one(
    client: AsyncClient, resources: Resources, owner: User
):
    for number in range(20):
        await remember(client, owner, f"Number {number}")
    async with resources.services.memory_indexing._uow() as uow:
        for plan in OTHER_PLANS:
            await uow._session.execute(text(f"SET LOCAL enable_{plan} = off"))
        assert len(await uow.recall.take_wanted(limit=6, pause=timedelta(minutes=1))) == 6
    async with resources.services.memory_indexing._uow() as uow:
        assert len(await uow.recall.take_wanted(limit=64, pause=timedelta(minutes=1))) == 14
