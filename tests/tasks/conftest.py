from collections.abc import AsyncIterator

import pytest

from app.migrations import migrate
from app.resources import Resources, open_resources
from app.settings import Settings
from tests.conftest import cloned_database


@pytest.fixture
async def alone(settings: Settings) -> AsyncIterator[Resources]:
    """Resources over a database of their own, in which no worker works but those that the test starts."""
    async with cloned_database(settings, template="template1") as empty:
        await migrate(empty)
        async with open_resources(empty) as opened:
            yield opened
