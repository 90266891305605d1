"""PostgreSQL and Valkey from wheels, for a machine that has neither.

What lies in the data folder, for PostgreSQL (`valkey…` likewise):

    postgres/           the cluster; a symbolic link to /var/lib/hearth/… when root's data folder is closed to others
    postgres.password   of its role `app`, readable by the owner only
    postgres.run/       the socket; a link to a temporary folder when this path is too long for one
    postgres.lock       held by the process that started it
    postgres.log        what it had to say
"""

import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

from pydantic import SecretStr

from app.embedded.errors import ServerNotStarted
from app.embedded.ownership import running
from app.embedded.postgres import Postgres
from app.embedded.valkey import Valkey
from app.settings import Settings

__all__ = ["ServerNotStarted", "embedded_servers"]


@contextlib.asynccontextmanager
async def embedded_servers(settings: Settings) -> AsyncIterator[Settings]:
    """Yield settings in which `database.url` and `redis.url` are filled in; what has a URL is left alone.

    The first process to come starts the servers (or adopts those of a killed one), keeps them running and stops them
    at the end of its block; others that share the data folder meanwhile just use them.

    Raises:
        ServerNotStarted: with words for the operator.
    """
    async with contextlib.AsyncExitStack() as stack:
        if not settings.database.url.get_secret_value():
            postgres = Postgres(
                _data_dir(settings) / "postgres",
                programs=settings.embedded.postgres_bin,
                durable=settings.environment != "testing",
            )
            await stack.enter_async_context(running(postgres))
            database = settings.database.model_copy(update={"url": SecretStr(postgres.url)})
            settings = settings.model_copy(update={"database": database})
        if not settings.redis.url.get_secret_value():
            valkey = Valkey(_data_dir(settings) / "valkey", program=settings.embedded.valkey_bin)
            await stack.enter_async_context(running(valkey))
            redis = settings.redis.model_copy(update={"url": SecretStr(valkey.url)})
            settings = settings.model_copy(update={"redis": redis})
        yield settings


def _data_dir(settings: Settings) -> Path:
    """The data folder, made when missing; closed to others, but as root passable for PostgreSQL's account."""
    folder = settings.data_dir.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o711 if os.geteuid() == 0 else 0o700)
    except OSError as error:
        raise ServerNotStarted(f"{folder}: {error.strerror}. Set DATA_DIR to a folder that can be written.") from error
    return folder
