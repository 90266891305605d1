"""What operators and clients ask first: is it well, what is it, how much does it do."""

from fastapi import Response
from prometheus_client import CONTENT_TYPE_LATEST

from app import __version__
from app.adapters.media_types import SUPPORTED
from app.api.deps import Actor, DrainDep, ResourcesDep, ServicesDep
from app.api.routing import Router
from app.events import utc_now
from app.schemas.health import CheckRead, HealthRead, InfoRead, Limits, LiveRead
from app.services.health import Health
from app.telemetry.exposition import render

router = Router(tags=["operations"])
orchestrators = Router(tags=["operations"])

STATUS_CODES = {"healthy": 200, "degraded": 200, "unhealthy": 503}
FEATURES = ["documents", "search", "query", "sessions", "websocket", "tasks", "api_keys", "projects"]


@orchestrators.get("/health", responses={503: {"model": HealthRead}})
@router.get("/health", responses={503: {"model": HealthRead}}, operation_id="read_health_v1")
async def read_health(services: ServicesDep, response: Response) -> HealthRead:
    """200 while the service does its work, also if a part is degraded; 503 when it cannot."""
    return _told(await services.health.check(), response)


@orchestrators.get("/health/live")
async def read_liveness() -> LiveRead:
    """The process answers; says nothing about what it depends on."""
    return LiveRead(status="alive")


@orchestrators.get("/health/ready", responses={503: {"model": HealthRead}})
async def read_readiness(services: ServicesDep, drain: DrainDep, response: Response) -> HealthRead:
    """Whether to send traffic here: no more once the server was told to stop, though it still serves for a while."""
    return _told(await services.health.check_readiness(is_stopping=drain.is_on), response)


@router.get("/info")
async def read_info(resources: ResourcesDep) -> InfoRead:
    """Name, versions, features and limits; for clients that adapt to the server."""
    settings = resources.settings
    return InfoRead(
        name="Hearth",
        version=__version__,
        api_version="v1",
        environment=settings.environment,
        registration=settings.registration,
        sign_in_with=settings.oidc.name if settings.oidc.issuer else None,
        embedding_model=settings.embedding.model,
        llm_model=settings.llm.model or None,
        features=[*FEATURES, *(["mail"] if settings.sends_mail else [])],
        media_types=sorted(SUPPORTED),
        limits=Limits(
            document_bytes=settings.document.max_bytes,
            media_bytes=settings.media.max_bytes,
            media_per_memory=settings.media.per_memory,
            body_bytes=settings.max_body_bytes,
            message_characters=settings.chat.message_max_length,
            frame_bytes=settings.realtime.max_frame_bytes,
        ),
    )


@router.get(
    "/metrics", response_class=Response, responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
)
def read_metrics(_: Actor) -> Response:
    """Prometheus text format."""
    return Response(render(), media_type=CONTENT_TYPE_LATEST)


def _told(health: Health, response: Response) -> HealthRead:
    response.status_code = STATUS_CODES[health.status]
    checks = {name: CheckRead.model_validate(check) for name, check in health.checks.items()}
    return HealthRead(status=health.status, version=__version__, timestamp=utc_now(), checks=checks)
