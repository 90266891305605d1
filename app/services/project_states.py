"""The state of a project: a JSON object that its members' programs share, replaced or merged in one step."""

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from app.errors import InvalidInput, PayloadTooLarge, PreconditionFailed
from app.events import Frame, StateChanged
from app.permissions import Principal
from app.realtime.hub import Hub
from app.realtime.project_state import Change, ProjectStates, StoredState
from app.repositories import OpenUnitOfWork
from app.services.projects import require_editor, visible_project
from app.services.versions import Versions
from app.settings.workspace import ProjectSettings

Object = dict[str, Any]
LONGEST_TOLD: Final = 8_192  # characters of a patch that everybody is told


class ProjectStateService:
    def __init__(self, uow: OpenUnitOfWork, states: ProjectStates, hub: Hub, settings: ProjectSettings) -> None:
        self._uow = uow
        self._states = states
        self._hub = hub
        self._settings = settings

    async def get(self, actor: Principal, project_id: UUID) -> StoredState:
        """Version 0, an empty object, where there is none. Raises NotFound, ServiceUnavailable."""
        async with self._uow(is_reading=True) as uow:
            await visible_project(uow, actor, project_id)
        return await self._states.get(project_id)

    async def replace(
        self, actor: Principal, project_id: UUID, state: Object, *, expected: Versions | None, life: timedelta | None
    ) -> StoredState:
        """Put another in its place.

        Raises:
            NotFound, PermissionDenied, ProjectArchived, PreconditionFailed, ServiceUnavailable
            InvalidInput, PayloadTooLarge: it is nested too deep, too large, or holds what JSON cannot.
        """
        text = self._encoded(state)

        def make(before: StoredState) -> str:
            _require(before, expected)
            return text

        return await self._change(actor, project_id, make, life, told=None)

    async def merge(
        self, actor: Principal, project_id: UUID, patch: Object, *, expected: Versions | None, life: timedelta | None
    ) -> StoredState:
        """Change what the merge patch (RFC 7396) names, whatever others change at the same time. Raises as before."""
        told = self._encoded(patch)

        def make(before: StoredState) -> str:
            _require(before, expected)
            return self._encoded(merged(json.loads(before.text), patch))

        return await self._change(actor, project_id, make, life, told=patch if len(told) <= LONGEST_TOLD else None)

    async def delete(self, actor: Principal, project_id: UUID, *, expected: Versions | None) -> None:
        """Raises NotFound, PermissionDenied, ProjectArchived, PreconditionFailed, ServiceUnavailable."""
        async with self._uow() as uow:
            await require_editor(uow, actor, project_id)
        before = await self._states.delete(project_id, lambda state: _require(state, expected))
        if before:
            self._tell(actor, project_id, Change(before, StoredState()), None)

    async def _change(
        self,
        actor: Principal,
        project_id: UUID,
        make: Callable[[StoredState], str],
        life: timedelta | None,
        *,
        told: Object | None,
    ) -> StoredState:
        async with self._uow() as uow:
            await require_editor(uow, actor, project_id)
        longest = self._settings.state_ttl
        change = await self._states.change(project_id, make, min(life or longest, longest))
        self._tell(actor, project_id, change, told)
        return change.after

    def _tell(self, actor: Principal, project_id: UUID, change: Change, patch: Object | None) -> None:
        event = StateChanged(
            project_id=project_id,
            version=change.after.number,
            previous_version=change.before,
            changes=patch,
            by=actor.user_id,
        )
        self._hub.publish(Frame(project_id, None, event.model_dump_json()))

    def _encoded(self, state: Object) -> str:
        limits = self._settings
        if _is_deeper(state, limits.state_max_depth):
            message = f"A state may be nested {limits.state_max_depth} levels deep."
            raise InvalidInput(message, field="state", max_depth=limits.state_max_depth)
        try:
            text = json.dumps(state, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
            size = len(text.encode())
        except ValueError as error:  # not a number, infinity, half a character
            raise InvalidInput("This holds a value that JSON cannot.", field="state") from error
        if size > limits.state_max_bytes:
            message = f"A state may have at most {limits.state_max_bytes:,} bytes."
            raise PayloadTooLarge(message, max_bytes=limits.state_max_bytes, bytes=size)
        return text


def merged(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def _is_deeper(value: Any, most: int) -> bool:
    level = [value]
    for _ in range(most + 1):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return bool(level)


def _require(state: StoredState, expected: Versions | None) -> None:
    if expected is not None and state.version not in expected:
        message = "This was changed meanwhile: read it again, then decide."
        raise PreconditionFailed(message, current_etag=state.version)
