"""PostgreSQL: questions with names, and the one unit of work that asks them."""

from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from app.events import Frame
from app.repositories.admissions import AdmissionRepository
from app.repositories.answers import AnswerRepository
from app.repositories.audit import AuditRepository
from app.repositories.blobs import BlobRepository
from app.repositories.candidates import CandidateRepository
from app.repositories.chunks import ChunkRepository
from app.repositories.documents import DocumentRepository
from app.repositories.encrypted import EncryptedRepository
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


class UnitOfWork:
    """One transaction: commits on a clean exit, and only then tells the world.

    With `is_reading` there is none, and nothing may be changed: each statement sees what is committed by then, as it
    does in our transactions, and two of three round trips are saved.
    """

    def __init__(
        self, sessions: async_sessionmaker[AsyncSession], publish: Publish, *, is_reading: bool = False
    ) -> None:
        self._sessions = sessions
        self._publish = publish
        self._is_reading = is_reading

    async def __aenter__(self) -> Self:
        session = self._session = self._sessions()
        self.admissions = AdmissionRepository(session)
        self.answers = AnswerRepository(session)
        self.api_keys = APIKeyRepository(session)
        self.audit = AuditRepository(session)
        self.blobs = BlobRepository(session)
        self.candidates = CandidateRepository(session)
        self.chunks = ChunkRepository(session)
        self.documents = DocumentRepository(session)
        self.encrypted = EncryptedRepository(session)
        self.erasure = ErasureRepository(session)
        self.events = EventRepository(session)
        self.exports = ExportRepository(session)
        self.files = FileRepository(session)
        self.functions = FunctionRepository(session)
        self.idempotency = IdempotencyRepository(session)
        self.identities = IdentityRepository(session)
        self.imports = ImportRepository(session)
        self.locations = LocationRepository(session)
        self.logins = LoginRepository(session)
        self.mails = MailRepository(session)
        self.media = MediaRepository(session)
        self.memories = MemoryRepository(session)
        self.messages = MessageRepository(session)
        self.posts = PostRepository(session, self.events.outgoing)
        self.people = PersonRepository(session)
        self.projects = ProjectRepository(session)
        self.queue = TaskQueue(session)
        self.recall = RecallRepository(session)
        self.registration = RegistrationRepository(session)
        self.retrieval = RetrievalRepository(session)
        self.role_limits = RoleLimitRepository(session)
        self.room_summaries = RoomSummaryRepository(session)
        self.schedules = ScheduleRepository(session)
        self.schema = SchemaRepository(session)
        self.sessions = SessionRepository(session)
        self.statistics = StatisticsRepository(session)
        self.task_orders = TaskOrderRepository(session)
        self.tasks = TaskRepository(session)
        self.timeline = TimelineRepository(session)
        self.users = UserRepository(session)
        self.vectors = VectorRepository(session)
        self.webhooks = WebhookRepository(session)
        if self._is_reading:
            await self._read_only()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        async with self._session:  # always closes, and rolls back what was not committed
            if exc_type is not None:
                return
            assert not self._is_reading or not self._has_changes, "nothing may be changed while reading"
            await self._session.commit()
        for frame in self.events.outgoing:
            self._publish(frame)  # never blocks or fails: who misses it sees the gap and asks the log

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

    async def _read_only(self) -> None:
        try:
            await self._session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
        except BaseException:
            await self._session.close()
            raise


class OpenUnitOfWork(Protocol):
    def __call__(self, *, is_reading: bool = False) -> UnitOfWork: ...
