"""What runners of functions say over HTTP. Their credentials are the token of one call, and nothing else."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path, Request, Response, status
from fastapi.security import APIKeyHeader

from app.api.deps import Actor, ServicesDep
from app.api.files import PUT_BODY, UPLOAD_BYTES
from app.api.routing import Router
from app.models import ProjectFile
from app.schemas.files import FileRead, ProjectPath
from app.schemas.functions import FunctionFailure, FunctionProgress, FunctionResult, FunctionSecretRead

router = Router(tags=["functions"])

callback_scheme = APIKeyHeader(name="X-Callback-Token", scheme_name="CallbackToken", auto_error=False)


async def get_callback_token(token: Annotated[str | None, Depends(callback_scheme)]) -> str:
    return token or ""


CallbackToken = Annotated[str, Depends(get_callback_token)]
"""Of one call; the service decides whether it is good."""
PREFIX = "/function-calls/{task_id}"


@router.post("/projects/{project_id}/function-secret", response_model=FunctionSecretRead, tags=["projects"])
async def read_function_secret(actor: Actor, services: ServicesDep, project_id: UUID) -> FunctionSecretRead:
    """What the runners of a project's functions verify its calls with, as webhooks are verified; for owners."""
    return await services.productions.function_callbacks.secret(actor, project_id)


@router.post(f"{PREFIX}/progress", status_code=status.HTTP_204_NO_CONTENT)
async def report_function_progress(
    token: CallbackToken, services: ServicesDep, task_id: UUID, data: FunctionProgress
) -> None:
    """How far the function is."""
    await services.productions.function_callbacks.report(task_id, token, data)


@router.post(f"{PREFIX}/complete", status_code=status.HTTP_204_NO_CONTENT)
async def complete_function(token: CallbackToken, services: ServicesDep, task_id: UUID, data: FunctionResult) -> None:
    """What the function came to; the token is good no more."""
    await services.productions.function_callbacks.complete(task_id, token, data)


@router.post(f"{PREFIX}/fail", status_code=status.HTTP_204_NO_CONTENT)
async def fail_function(token: CallbackToken, services: ServicesDep, task_id: UUID, data: FunctionFailure) -> None:
    """Why the function has failed; the token is good no more."""
    await services.productions.function_callbacks.fail(task_id, token, data)


@router.put(
    f"{PREFIX}/files/{{path:path}}",
    status_code=status.HTTP_201_CREATED,
    response_model=FileRead,
    openapi_extra={"requestBody": PUT_BODY},
    max_body_size=UPLOAD_BYTES,
)
async def deliver_function_file(
    token: CallbackToken,
    services: ServicesDep,
    request: Request,
    response: Response,
    task_id: UUID,
    path: Annotated[ProjectPath, Path()],
) -> ProjectFile:
    """Keep the body as a file in the folder of the call."""
    file = await services.productions.function_callbacks.deliver(task_id, token, path, request.stream())
    response.headers["Location"] = FileRead.model_validate(file).url
    return file
