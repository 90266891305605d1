"""What answers by which name: all documents, those of one project, or the language model alone."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from app.adapters.llm import LanguageModel, RelayingModel
from app.errors import ModelNotFound
from app.models import Project
from app.permissions import Principal
from app.repositories import OpenUnitOfWork

GROUNDED: Final = "hearth"
RAW: Final = "hearth-raw"
OF_PROJECT: Final = f"{GROUNDED}/"
MOST_LISTED: Final = 100  # projects: the newest
SINCE: Final = datetime.fromisoformat("2026-01-01T00:00:00+00:00")


@dataclass(frozen=True, slots=True)
class Answerer:
    """`project_ids` is where it searches: None for all that the caller may see. `is_raw`: it does not search."""

    name: str
    created_at: datetime = SINCE
    project_ids: Sequence[UUID] | None = None
    is_raw: bool = False


class ModelNames:
    """`llm` is None where no language model is configured, and then there is no raw one."""

    def __init__(self, uow: OpenUnitOfWork, llm: LanguageModel | None, *, embedding_model: str) -> None:
        self._uow = uow
        self._has_raw = isinstance(llm, RelayingModel)
        self._embedding_model = embedding_model

    async def list(self, actor: Principal) -> Sequence[Answerer]:
        """With a model for each of the newest projects, and the one that makes embeddings."""
        async with self._uow() as uow:
            projects = await uow.projects.list_visible(actor, before=None, limit=MOST_LISTED)
        names = Counter(project.name for project in projects)
        own = [Answerer(GROUNDED), *([Answerer(RAW, is_raw=True)] if self._has_raw else ())]
        return [*own, *(_of(project, is_only=names[project.name] == 1) for project in projects), self._embedding()]

    async def get(self, actor: Principal, name: str) -> Answerer:
        """Raises ModelNotFound."""
        return self._embedding() if name == self._embedding_model else await self.choose(actor, name)

    async def choose(self, actor: Principal, name: str) -> Answerer:
        """Who answers by this name. A project is named by its id, or by its name where one alone has it.

        Raises:
            ModelNotFound: nobody, or a project that the actor may not see.
        """
        if name == GROUNDED or (name == RAW and self._has_raw):
            return Answerer(name, is_raw=name == RAW)
        project = (
            await self._find_project(actor, name.removeprefix(OF_PROJECT)) if name.startswith(OF_PROJECT) else None
        )
        if project is None:
            raise ModelNotFound(name)
        return Answerer(name, project.created_at, [project.id])

    async def _find_project(self, actor: Principal, name: str) -> Project | None:
        async with self._uow() as uow:
            by_id = _as_id(name)
            if by_id is not None:
                return await uow.projects.get_visible(actor, by_id)
            named = await uow.projects.list_visible_named(actor, name, limit=2) if "\0" not in name else []
        return named[0] if len(named) == 1 else None

    def _embedding(self) -> Answerer:
        return Answerer(self._embedding_model, is_raw=True)


def _of(project: Project, *, is_only: bool) -> Answerer:
    """By its name where that says which one is meant, and fits into a path."""
    is_name = is_only and _as_id(project.name) is None
    return Answerer(OF_PROJECT + (project.name if is_name else str(project.id)), project.created_at, [project.id])


def _as_id(name: str) -> UUID | None:
    try:
        return UUID(name.removeprefix("vs_"))
    except ValueError:
        return None
