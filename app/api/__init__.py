"""The doors for HTTP and WebSockets: they translate, and never decide."""

from fastapi import APIRouter, Depends

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
    locations,
    memories,
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


def v1_router() -> APIRouter:
    """Everything below `/api/v1`."""
    router = APIRouter(prefix="/api/v1", dependencies=[Depends(check_limits)])
    router.include_router(tasks.router)  # first: every router before the one that is wanted is asked
    router.include_router(health.router)
    router.include_router(auth.router)
    router.include_router(tickets.router)
    router.include_router(devices.router)
    router.include_router(oidc_router)
    router.include_router(recovery_router)
    router.include_router(users.router)
    router.include_router(api_keys.router)
    router.include_router(projects.router)
    router.include_router(project_states.router)
    router.include_router(files.router)
    router.include_router(function_calls.router)
    router.include_router(webhooks.router)
    router.include_router(documents.router)
    router.include_router(query.router)
    router.include_router(candidates.router)  # before memories, one of which could have this name
    router.include_router(memories.router)
    router.include_router(people.router)
    router.include_router(locations.router)
    router.include_router(schedules.router)
    router.include_router(sessions.router)
    router.include_router(chat.router)
    router.include_router(followers_router)
    router.include_router(task_followers_router)
    router.include_router(role_limits_router)
    router.include_router(admin_router)
    router.include_router(audit_router)
    return router
