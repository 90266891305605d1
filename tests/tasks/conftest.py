from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

import pytest

from app.foundation import Foundation
from app.migrations import migrate
from app.repositories import OpenUnitOfWork, Publish, UnitOfWork
from app.repositories.engine import Sessions, create_engine
from app.resources import Resources, open_services
from app.settings import Settings
from tests.conftest import cloned_database


@pytest.fixture
async def alone(settings: Settings, foundation: Foundation) -> AsyncIterator[Resources]:
    """Resources over a database of their own, in which no worker works but those that the test starts."""
    async with cloned_database(settings, template="template1") as empty:
        await migrate(empty)
        engine = create_engine(empty.database)
        sessions = Sessions.over(engine)

        def make_uow(publish: Publish) -> OpenUnitOfWork:
            return partial(UnitOfWork, sessions, publish)

        async with open_services(replace(foundation, settings=empty, engine=engine), make_uow) as opened:
            yield opened
        await engine.dispose()
