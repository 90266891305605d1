"""The connection pool."""

from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.settings import DatabaseSettings


def create_engine(settings: DatabaseSettings) -> AsyncEngine:
    return create_async_engine(
        settings.url.get_secret_value(),
        pool_size=settings.pool_size,
        max_overflow=settings.max_overflow,
        pool_timeout=settings.pool_timeout.total_seconds(),
        echo=settings.echo,
        hide_parameters=True,  # what people wrote, and their passwords' hashes, would stand in the log
        connect_args={
            "timeout": settings.connect_timeout.total_seconds(),
            "command_timeout": settings.statement_timeout.total_seconds(),
            "server_settings": {"application_name": "hearth"},
        },
    )
