"""The doors for HTTP and WebSockets: they translate, and never decide."""

import asyncio
from typing import Final

from fastapi import Depends, FastAPI

from app.api import (
    api_keys,
    auth,
    candidates,
    chat,
    devices,
    documents,
    files,
    function_calls,
    health,
    imports,
    locations,
    mcp,
    media,
    memories,
    openai_chat,
    openai_files,
    openai_models,
    openai_responses,
    openai_vector_stores,
    people,
    project_states,
    projects,
    query,
    schedules,
    sessions,
    tasks,
    tickets,
    users,
    webhooks,
)
from app.api.admin import router as admin_router
from app.api.audit import router as audit_router
from app.api.followers import router as followers_router
from app.api.limits import check_limits
from app.api.oidc import router as oidc_router
from app.api.recovery import router as recovery_router
from app.api.role_limits import router as role_limits_router
from app.api.task_followers import router as task_followers_router

V1: Final = (
    chat.router,
    sessions.router,
    query.router,
    candidates.router,  # before memories, one of which could have this name
    imports.router,  # before memories, as well
    memories.router,
    documents.router,
    users.router,
    projects.router,
    tasks.router,
    health.router,
    auth.router,
    tickets.router,
    devices.router,
    oidc_router,
    recovery_router,
    api_keys.router,
    project_states.router,
    files.router,
    function_calls.router,
    webhooks.router,
    media.router,
    people.router,
    locations.router,
    schedules.router,
    followers_router,
    task_followers_router,
    role_limits_router,
    admin_router,
    audit_router,
)
"""Everything below `/api/v1`; what is asked most comes first, since a path is compared with one after another."""

OPENAI: Final = (
    openai_models.router,
    openai_chat.router,
    openai_responses.router,
    openai_files.router,
    openai_vector_stores.router,
)
"""Everything below `/v1`, where OpenAI's clients look for it."""


def include_mcp(app: FastAPI, *, max_body_size: int) -> None:
    """At `/mcp`, where clients look for it; with the limits of the API."""
    app.include_router(mcp.router, dependencies=[Depends(check_limits)], max_body_size=max_body_size)


def include_v1(app: FastAPI, *, max_body_size: int) -> None:
    """Side by side: each level of routers costs every request as much again."""
    for router in V1:
        app.include_router(router, prefix="/api/v1", dependencies=[Depends(check_limits)], max_body_size=max_body_size)
    for router in OPENAI:
        app.include_router(router, prefix="/v1", dependencies=[Depends(check_limits)], max_body_size=max_body_size)


async def complete_routes(app: FastAPI) -> None:
    """Make the routes that nobody has asked for yet, a router at a time between other work."""
    for router in (*V1, *OPENAI):
        asked = {"type": "http", "method": "GET", "path": router.heads[0], "root_path": "", "headers": []}
        for route in app.routes:
            route.matches(dict(asked))
        await asyncio.sleep(0)
