"""PostgreSQL: questions with names, and the one unit of work that asks them."""

from collections.abc import Callable
from functools import cached_property
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.events import Frame
from app.repositories.admissions import AdmissionRepository
from app.repositories.answers import AnswerRepository
from app.repositories.audit import AuditRepository
from app.repositories.blobs import BlobRepository
from app.repositories.candidates import CandidateRepository
from app.repositories.chunks import ChunkRepository
from app.repositories.documents import DocumentRepository
from app.repositories.encrypted import EncryptedRepository
from app.repositories.engine import Sessions
from app.repositories.erasure import ErasureRepository
from app.repositories.events import EventRepository
from app.repositories.exports import ExportRepository
from app.repositories.files import FileRepository
from app.repositories.functions import FunctionRepository
from app.repositories.idempotency import IdempotencyRepository
from app.repositories.identities import IdentityRepository
from app.repositories.imports import ImportRepository
from app.repositories.keys import APIKeyRepository
from app.repositories.limits import RoleLimitRepository
from app.repositories.locations import LocationRepository
from app.repositories.logins import LoginRepository
from app.repositories.mails import MailRepository
from app.repositories.media import MediaRepository
from app.repositories.memories import MemoryRepository
from app.repositories.messages import MessageRepository
from app.repositories.people import PersonRepository
from app.repositories.posts import PostRepository
from app.repositories.projects import ProjectRepository
from app.repositories.recall import RecallRepository
from app.repositories.registration import RegistrationRepository
from app.repositories.retrieval import RetrievalRepository
from app.repositories.room_summaries import RoomSummaryRepository
from app.repositories.schedules import ScheduleRepository
from app.repositories.schema import SchemaRepository
from app.repositories.sessions import SessionRepository
from app.repositories.statistics import StatisticsRepository
from app.repositories.task_orders import TaskOrderRepository
from app.repositories.task_queue import TaskQueue
from app.repositories.tasks import TaskRepository
from app.repositories.timeline import TimelineRepository
from app.repositories.users import UserRepository
from app.repositories.vectors import VectorRepository
from app.repositories.webhooks import WebhookRepository

Publish = Callable[[Frame], None]
Repository = TypeVar("Repository")


class Lazy(Generic[Repository]):
    """A repository of a unit of work, made when it is first asked for: hardly any unit needs more than two of them."""

    def __init__(self, kind: Callable[[AsyncSession], Repository]) -> None:
        self._kind = kind

    def __set_name__(self, owner: "type[UnitOfWork]", name: str) -> None:
        self._name = name

    def __get__(self, unit: "UnitOfWork", owner: "type[UnitOfWork]") -> Repository:
        made = self._kind(unit._session)
        unit.__dict__[self._name] = made  # where Python finds it before it asks here again
        return made


class UnitOfWork:
    """One transaction: commits on a clean exit, and only then tells the world.

    With `is_reading` there is none, and nothing may be changed: each statement sees what is committed by then, as it
    does in our transactions, and two of three round trips are saved.
    """

    admissions = Lazy(AdmissionRepository)
    answers = Lazy(AnswerRepository)
    api_keys = Lazy(APIKeyRepository)
    audit = Lazy(AuditRepository)
    blobs = Lazy(BlobRepository)
    candidates = Lazy(CandidateRepository)
    chunks = Lazy(ChunkRepository)
    documents = Lazy(DocumentRepository)
    encrypted = Lazy(EncryptedRepository)
    erasure = Lazy(ErasureRepository)
    events = Lazy(EventRepository)
    exports = Lazy(ExportRepository)
    files = Lazy(FileRepository)
    functions = Lazy(FunctionRepository)
    idempotency = Lazy(IdempotencyRepository)
    identities = Lazy(IdentityRepository)
    imports = Lazy(ImportRepository)
    locations = Lazy(LocationRepository)
    logins = Lazy(LoginRepository)
    mails = Lazy(MailRepository)
    media = Lazy(MediaRepository)
    memories = Lazy(MemoryRepository)
    messages = Lazy(MessageRepository)
    people = Lazy(PersonRepository)
    projects = Lazy(ProjectRepository)
    queue = Lazy(TaskQueue)
    recall = Lazy(RecallRepository)
    registration = Lazy(RegistrationRepository)
    retrieval = Lazy(RetrievalRepository)
    role_limits = Lazy(RoleLimitRepository)
    room_summaries = Lazy(RoomSummaryRepository)
    schedules = Lazy(ScheduleRepository)
    schema = Lazy(SchemaRepository)
    sessions = Lazy(SessionRepository)
    statistics = Lazy(StatisticsRepository)
    task_orders = Lazy(TaskOrderRepository)
    tasks = Lazy(TaskRepository)
    timeline = Lazy(TimelineRepository)
    users = Lazy(UserRepository)
    vectors = Lazy(VectorRepository)
    webhooks = Lazy(WebhookRepository)

    def __init__(self, sessions: Sessions, publish: Publish, *, is_reading: bool = False) -> None:
        self._sessions = sessions
        self._publish = publish
        self._is_reading = is_reading

    async def __aenter__(self) -> Self:
        self._session = self._sessions.reading() if self._is_reading else self._sessions.changing()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        async with self._session:  # always closes, and rolls back what was not committed
            if exc_type is not None:
                return
            if self._is_reading:
                assert not self._has_changes, "nothing may be changed while reading"
                return
            await self._session.commit()
        for frame in self.events.outgoing:
            self._publish(frame)  # never blocks or fails: who misses it sees the gap and asks the log

    @cached_property
    def posts(self) -> PostRepository:
        return PostRepository(self._session, self.events.outgoing)

    async def ping(self) -> None:
        """Ask the database the shortest question there is."""
        await self._session.execute(text("SELECT 1"))

    async def flush(self) -> None:
        """Send what was added so far, so that a violated constraint shows here.

        Raises:
            sqlalchemy.exc.IntegrityError: the row contradicts one that is there.
        """
        await self._session.flush()

    @property
    def _has_changes(self) -> bool:
        session = self._session
        return bool(session.new or session.dirty or session.deleted or self.events.outgoing)


class OpenUnitOfWork(Protocol):
    def __call__(self, *, is_reading: bool = False) -> UnitOfWork: ...
