"""What the product does. Built once, stateless, called by every door: HTTP, WebSocket, tasks and the command line."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from app.adapters.engines import PromptedModel
from app.foundation import Foundation
from app.realtime.answers import AnswerLog
from app.realtime.hub import Hub
from app.realtime.identities import PendingSignIns
from app.realtime.limits import RateLimits
from app.realtime.lockouts import Lockouts
from app.realtime.logins import CookieSessions
from app.realtime.presence import Presence
from app.realtime.proven_keys import ProvenKeys
from app.realtime.state import AnswerState, Tickets
from app.realtime.traces import Traces
from app.repositories import OpenUnitOfWork
from app.security import PasswordPolicy, Passwords, make_cipher, make_tokens
from app.services.accounts import AccountService
from app.services.administration import AdministrationService
from app.services.admissions import AdmissionService
from app.services.answers import AnswerService
from app.services.api_keys import APIKeyService
from app.services.audit import AuditService
from app.services.blobs import BlobService
from app.services.callers import CallerService
from app.services.candidates import CandidateService
from app.services.chat import ChatService
from app.services.checks import build_health
from app.services.citations import Citations
from app.services.compatibility import Compatibility, build_openai
from app.services.documents import DocumentService
from app.services.encryption import EncryptionService
from app.services.erasure import ErasureService
from app.services.evidence import Evidence
from app.services.execution import TaskExecution
from app.services.exports import ExportService
from app.services.health import HealthService
from app.services.idempotency import IdempotencyService
from app.services.identities import IdentityService
from app.services.imports import ImportService
from app.services.indexing import Indexer, RenewalService
from app.services.ingestion import IngestionService
from app.services.known_callers import KnownCallers
from app.services.limits import LimitService
from app.services.locations import LocationService
from app.services.logins import LoginService
from app.services.mails import MailService
from app.services.media import MediaService
from app.services.media_rendering import MediaRendering
from app.services.memories import MemoriesService
from app.services.memory_indexing import MemoryIndexing
from app.services.messages import MessageService
from app.services.moderation import ModerationService
from app.services.people import PersonService
from app.services.photo_imports import PhotoImport
from app.services.productions import Productions, build_productions
from app.services.projects import ProjectService
from app.services.proposals import ProposalService
from app.services.recovery import RecoveryService
from app.services.registration import RegistrationService
from app.services.replies import ReplyService
from app.services.retrieval import RetrievalService
from app.services.schedules import ScheduleService
from app.services.sessions import SessionService
from app.services.spirit import SpiritService
from app.services.summaries import SummaryService
from app.services.task_catalogue import (
    ANSWER_MESSAGE,
    BUILT_IN,
    EXTRACT_MEMORIES,
    IMPORT_MEMORIES,
    INGEST_DOCUMENT,
    RENDER_MEDIA,
    foreign_handlers,
)
from app.services.task_types import Abandon, TaskType
from app.services.tasks import TaskService
from app.services.timeline import TimelineService
from app.services.users import UserService
from app.services.workspace import Workspace, build_workspace


@dataclass(frozen=True, slots=True)
class Services:
    """One attribute per noun."""

    accounts: AccountService
    administration: AdministrationService
    admissions: AdmissionService
    answers: AnswerService
    api_keys: APIKeyService
    audit: AuditService
    blobs: BlobService
    callers: CallerService
    candidates: CandidateService
    chat: ChatService
    compatibility: Compatibility
    documents: DocumentService
    encryption: EncryptionService
    erasure: ErasureService
    execution: TaskExecution
    health: HealthService
    idempotency: IdempotencyService
    identities: IdentityService
    imports: ImportService
    ingestion: IngestionService
    limits: LimitService
    locations: LocationService
    logins: LoginService
    mails: MailService
    summaries: SummaryService
    messages: MessageService
    moderation: ModerationService
    media: MediaService
    media_rendering: MediaRendering
    memories: MemoriesService
    memory_indexing: MemoryIndexing
    people: PersonService
    productions: Productions
    proposals: ProposalService
    recovery: RecoveryService
    registration: RegistrationService
    replies: ReplyService
    retrieval: RetrievalService
    schedules: ScheduleService
    sessions: SessionService
    spirit: SpiritService
    tasks: TaskService
    timeline: TimelineService
    users: UserService
    workspace: Workspace

    @property
    def exports(self) -> ExportService:
        return self.workspace.exports

    @property
    def projects(self) -> ProjectService:
        return self.workspace.projects

    @property
    def renewal(self) -> RenewalService:
        return self.productions.renewal


def build_services(foundation: Foundation, uow: OpenUnitOfWork, hub: Hub, presence: Presence) -> Services:
    """Wire every service; each takes only what it needs."""
    settings = foundation.settings
    blobs = BlobService(uow, foundation.storage, foundation.fetcher, max_bytes=settings.document.max_bytes)
    work = _build_work(foundation, uow, blobs)
    known, limits = KnownCallers(), build_limits(foundation, uow)
    retrieval = RetrievalService(uow, foundation.embedder, foundation.sparse, foundation.reranker, foundation.vectors)
    answers = _build_answers(foundation, uow, retrieval, limits)
    ways_in = build_ways_in(foundation, uow, known, limits)
    erasure = _build_erasure(foundation, uow, blobs)
    talk = _build_talk(foundation, uow, hub, work.tasks, answers, limits)
    workspace = build_workspace(foundation, uow, hub, blobs, ways_in.mails)
    productions = _build_productions(foundation, uow, limits, work, talk, workspace)
    return Services(
        accounts=ways_in.accounts,
        administration=AdministrationService(uow, ways_in.logins, work.tasks),
        admissions=AdmissionService(uow),
        answers=answers,
        api_keys=APIKeyService(uow, known, limits),
        audit=AuditService(uow, settings.audit.retention),
        blobs=blobs,
        callers=ways_in.callers,
        candidates=talk.candidates,
        chat=talk.chat,
        compatibility=build_openai(foundation, uow, answers, work.documents, limits, workspace.projects, retrieval),
        documents=work.documents,
        encryption=EncryptionService(uow, make_cipher(settings)),
        erasure=erasure,
        execution=TaskExecution(uow, settings.task, work.task_types, settings.preset),
        health=build_health(foundation, uow),
        idempotency=IdempotencyService(uow, make_cipher(settings)),
        identities=build_identities(foundation, uow, ways_in.accounts, ways_in.logins),
        imports=work.imports,
        ingestion=work.ingestion,
        limits=limits,
        locations=LocationService(uow),
        logins=ways_in.logins,
        mails=ways_in.mails,
        summaries=talk.summaries,
        messages=talk.messages,
        moderation=ModerationService(uow, known),
        media=work.media,
        media_rendering=work.rendering,
        memories=MemoriesService(uow, retrieval, blobs, retention=settings.memory.retention),
        memory_indexing=MemoryIndexing(uow, work.indexer, foundation.embedder),
        people=PersonService(uow),
        productions=productions,
        proposals=talk.proposals,
        recovery=ways_in.recovery,
        registration=RegistrationService(uow, ways_in.mails),
        replies=_build_replies(foundation, uow, answers),
        retrieval=retrieval,
        schedules=ScheduleService(uow, work.tasks.orders),
        sessions=SessionService(uow, presence, ways_in.callers),
        spirit=talk.spirit,
        tasks=work.tasks,
        timeline=TimelineService(uow),
        users=UserService(uow, known, logins=ways_in.logins, erasure=erasure),
        workspace=workspace,
    )


@dataclass(frozen=True, slots=True)
class Work:
    """What goes on in the background, and what kinds of it there are."""

    documents: DocumentService
    indexer: Indexer
    ingestion: IngestionService
    imports: ImportService
    media: MediaService
    rendering: MediaRendering
    tasks: TaskService
    task_types: dict[str, TaskType]


def _build_work(foundation: Foundation, uow: OpenUnitOfWork, blobs: BlobService) -> Work:
    settings = foundation.settings
    indexer = Indexer(foundation.embedder, foundation.sparse)
    ingestion = IngestionService(
        uow,
        foundation.storage,
        foundation.extractor,
        foundation.embedder,
        indexer,
        batch_size=settings.embedding.batch_size,
    )
    media = MediaService(uow, blobs, foundation.pictures, settings.media)
    photos = PhotoImport(uow, media)
    imports = ImportService(uow, blobs, media, photos, max_bytes=settings.memory.import_max_bytes)
    rendering = MediaRendering(uow, blobs, foundation.pictures)
    kinds = _task_types(
        {
            INGEST_DOCUMENT.name: ingestion.abandon,
            IMPORT_MEMORIES.name: imports.abandon,
            RENDER_MEDIA.name: rendering.abandon,
        }
    )
    tasks = TaskService(uow, settings.preset, kinds)
    return Work(DocumentService(uow, blobs, tasks), indexer, ingestion, imports, media, rendering, tasks, kinds)


def build_limits(foundation: Foundation, uow: OpenUnitOfWork) -> LimitService:
    redis, settings = foundation.redis, foundation.settings
    counts = RateLimits(redis, prefix=settings.redis.prefix)
    return LimitService(uow, settings.rate_limit, counts=counts, proven=ProvenKeys(redis, prefix=settings.redis.prefix))


def _build_answers(
    foundation: Foundation, uow: OpenUnitOfWork, retrieval: RetrievalService, limits: LimitService
) -> AnswerService:
    evidence = Evidence(foundation.embedder)
    return AnswerService(
        uow,
        retrieval,
        evidence,
        Citations(uow, evidence),
        foundation.llm,
        foundation.answer_engine or (PromptedModel(foundation.llm) if foundation.llm else None),
        limits,
        history_messages=foundation.settings.chat.history_messages,
    )


def _build_replies(foundation: Foundation, uow: OpenUnitOfWork, answers: AnswerService) -> ReplyService:
    settings = foundation.settings
    pieces = AnswerLog(
        foundation.redis, prefix=settings.redis.prefix, life=settings.answer.replay, grace=settings.answer.grace
    )
    return ReplyService(uow, answers, pieces, settings.answer)


@dataclass(frozen=True, slots=True)
class Talk:
    """What is said in rooms, by people and by the spirit, and what may be remembered of it."""

    candidates: CandidateService
    chat: ChatService
    messages: MessageService
    proposals: ProposalService
    summaries: SummaryService
    spirit: SpiritService


def _build_talk(
    foundation: Foundation,
    uow: OpenUnitOfWork,
    hub: Hub,
    tasks: TaskService,
    answers: AnswerService,
    limits: LimitService,
) -> Talk:
    settings = foundation.settings
    state = AnswerState(foundation.redis, prefix=settings.redis.prefix)
    chat = ChatService(uow, hub, settings.chat, answers=state, tasks=tasks)
    summaries = SummaryService(uow, foundation.llm, limits, window=settings.chat.history_messages)
    spirit = SpiritService(uow, hub, answers, chat, summaries, state, settings.chat, guests_for=settings.jwt.guest_ttl)
    candidates = CandidateService(uow, foundation.embedder)
    proposals = ProposalService(uow, candidates, foundation.llm, limits)
    return Talk(candidates, chat, MessageService(uow, settings.chat), proposals, summaries, spirit)


def _build_productions(
    foundation: Foundation, uow: OpenUnitOfWork, limits: LimitService, work: Work, talk: Talk, workspace: Workspace
) -> Productions:
    """And complete the kinds of work with what the services say that are made last."""
    renewal = RenewalService(uow, work.indexer, batch_size=foundation.settings.embedding.batch_size)
    productions = build_productions(foundation, uow, limits, renewal, workspace)
    kinds = work.task_types
    kinds[ANSWER_MESSAGE.name] = replace(ANSWER_MESSAGE, abandon=talk.spirit.abandon)
    for name, require in {EXTRACT_MEMORIES.name: talk.proposals.require_model, **productions.requirements}.items():
        kinds[name] = replace(kinds[name], require=require)
    return productions


def _build_erasure(foundation: Foundation, uow: OpenUnitOfWork, blobs: BlobService) -> ErasureService:
    settings = foundation.settings
    traces = Traces(foundation.redis, prefix=settings.redis.prefix)
    guests_kept = settings.jwt.guest_ttl + settings.realtime.retention  # the log speaks of them as long
    return ErasureService(uow, blobs, traces, guests_kept=guests_kept)


@dataclass(frozen=True, slots=True)
class WaysIn:
    """The services that share secrets: who has an account, who signs in, who calls."""

    accounts: AccountService
    logins: LoginService
    callers: CallerService
    mails: MailService
    recovery: RecoveryService


def build_ways_in(foundation: Foundation, uow: OpenUnitOfWork, known: KnownCallers, limits: LimitService) -> WaysIn:
    settings, redis, prefix = foundation.settings, foundation.redis, foundation.settings.redis.prefix
    passwords, policy, tokens = Passwords(settings.password), PasswordPolicy(settings.password), make_tokens(settings)
    cookies = CookieSessions(redis, ttl=settings.cookie.ttl, prefix=prefix)
    lockouts = Lockouts(redis, settings.lockout, prefix=prefix)
    mails = build_mails(foundation, uow)
    logins = LoginService(
        uow, settings, passwords=passwords, tokens=tokens, cookies=cookies, known=known, lockouts=lockouts
    )
    return WaysIn(
        accounts=AccountService(uow, settings, passwords=passwords, policy=policy, mails=mails),
        logins=logins,
        callers=CallerService(
            uow,
            settings,
            tokens=tokens,
            tickets=Tickets(redis, prefix=prefix),
            cookies=cookies,
            known=known,
            limits=limits,
        ),
        mails=mails,
        recovery=RecoveryService(
            uow, passwords=passwords, policy=policy, logins=logins, mails=mails, lockouts=lockouts
        ),
    )


def build_mails(foundation: Foundation, uow: OpenUnitOfWork) -> MailService:
    settings = foundation.settings
    counts = RateLimits(foundation.redis, prefix=settings.redis.prefix)
    return MailService(uow, settings, sender=foundation.mail_sender, cipher=make_cipher(settings), counts=counts)


def build_identities(
    foundation: Foundation, uow: OpenUnitOfWork, accounts: AccountService, logins: LoginService
) -> IdentityService:
    settings = foundation.settings
    return IdentityService(
        uow,
        settings,
        provider=foundation.provider,
        pending=PendingSignIns(foundation.redis, prefix=settings.redis.prefix),
        accounts=accounts,
        logins=logins,
        cipher=make_cipher(settings),
    )


def _task_types(abandon: Mapping[str, Abandon]) -> dict[str, TaskType]:
    """All work there is; `abandon`: what becomes of it when it ends without success, by type."""
    own = [replace(kind, abandon=abandon.get(kind.name)) for kind in BUILT_IN]
    return {kind.name: kind for kind in (*own, *(handler.kind for handler in foreign_handlers()))}
