"""The one place where everything is mounted."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import starlette_compress
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.routing import APIRoute
from starlette.middleware import Middleware
from starlette_compress import CompressMiddleware

from app import __version__
from app.api import complete_routes, health, include_mcp, include_v1, sockets
from app.api.draining import Drain
from app.api.errors import add_error_handlers
from app.api.idempotency import IdempotencyMiddleware
from app.api.limits import RateLimitHeadersMiddleware, RouteLimits
from app.api.middleware import RequestMiddleware, SecurityHeadersMiddleware, TooLargeMiddleware
from app.api.openapi import describe
from app.api.pages import add_pages
from app.api.proxies import ForwardedMiddleware
from app.observability import configure_logging
from app.repositories.engine import warm_up
from app.resources import Resources, open_resources
from app.schemas.base import complete_schemas
from app.services.queue_numbers import QueueNumbers
from app.settings import Settings, load_settings
from app.telemetry.tracing import open_tracing
from app.telemetry.watching import Watch

DESCRIPTION = """
AI conversations that know your documents and remember your life: documents in, cited answers out, live rooms where
several people and an AI talk. Press **Authorize** to sign in; make the first account with `POST /api/v1/auth/register`.
"""
EXPOSED_HEADERS = (
    "X-Request-ID",
    "Location",
    "ETag",
    "Retry-After",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
)
COMPRESS_FROM = 1000  # bytes
GARBAGE_FROM = 20_000  # objects more than before


def create_app(settings: Settings | None = None, *, resources: Resources | None = None) -> FastAPI:
    """Build the application: `uvicorn --factory app.main:create_app`. Tests hand in resources of their own."""
    if settings is None:
        settings = resources.settings if resources else load_settings()
    configure_logging(settings)
    drain = Drain(settings.drain_seconds)
    app = FastAPI(
        title="Hearth",
        version=__version__,
        description=DESCRIPTION,
        lifespan=None if resources else _lifespan(settings, drain),
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=_operation_id,
        middleware=_middleware(settings, drain),
        telemetry={"tracing": False, "metrics": False, "logs": False},  # app/telemetry tells more, and costs less
    )
    app.state.drain = drain
    app.state.route_limits = RouteLimits(settings.rate_limit)
    app.state.resources = resources
    add_error_handlers(app)
    app.include_router(health.orchestrators)
    app.include_router(sockets.router)
    include_v1(app, max_body_size=settings.max_body_bytes)
    include_mcp(app, max_body_size=settings.max_body_bytes)
    add_pages(app)
    describe(app, settings)
    return app


def _lifespan(settings: Settings, drain: Drain) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_tracing(settings, "hearth-server"), open_resources(settings) as app.state.resources:
            resources: Resources = app.state.resources
            resources.services.health.begin()
            await warm_up(resources.foundation.engine)
            watching = [
                asyncio.create_task(_complete(app)),
                asyncio.create_task(Watch(resources.numbers).run()),
                asyncio.create_task(QueueNumbers(resources.uow).watch()),
            ]
            gc.collect()
            gc.freeze()  # what is there now stays: looking through it again and again would stop the event loop
            gc.set_threshold(GARBAGE_FROM)  # most of what a request makes goes with it, without anybody looking for it
            with drain.watching():
                yield
            for task in watching:
                task.cancel()

    return lifespan


async def _complete(app: FastAPI) -> None:
    """What a start does not wait for, and a first request should not have to make."""
    await complete_schemas()
    await complete_routes(app)


def _middleware(settings: Settings, drain: Drain) -> list[Middleware]:
    """Outermost first."""
    starlette_compress.remove_compress_type("text/event-stream")  # a compressor would hold events back
    return [
        Middleware(ForwardedMiddleware, trusted=settings.trusted_proxies),
        Middleware(RateLimitHeadersMiddleware),
        Middleware(RequestMiddleware, settings=settings.log, drain=drain),
        Middleware(SecurityHeadersMiddleware),
        Middleware(TooLargeMiddleware),
        Middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            allow_credentials="*" not in settings.cors_origins,  # any page of anybody, as anybody
            expose_headers=EXPOSED_HEADERS,
        ),
        Middleware(CompressMiddleware, minimum_size=COMPRESS_FROM),
        Middleware(IdempotencyMiddleware),  # keeps answers as they were before compression
    ]


def _operation_id(route: APIRoute) -> str:
    """The function's name, which becomes the method's name in generated clients."""
    return route.name
