"""Everything an operator may tune. Nobody else reads the environment.

Each group is a plain model; a component receives its group, not the whole. A setting `group.name` is read from
`GROUP_NAME` (environment or `.env`), so the names are those that platforms inject: `DATABASE_URL`, `REDIS_URL`, `PORT`.
"""

import difflib
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Literal, Self

from dotenv import dotenv_values
from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.presets import PRESETS, Preset, PresetChanges, Quality
from app.settings.answers import AnswerSettings
from app.settings.operation import LogSettings, MetricsSettings, TracingSettings
from app.settings.problems import problems_of
from app.settings.production import FunctionSettings, ImagesSettings
from app.settings.values import CommaSeparated, Group, Networks, Ports, Rate, Seconds, Secrets
from app.settings.vectors import ChromaSettings, VectorSettings
from app.settings.workspace import ProjectSettings, StorageSettings, WebhookSettings

FOR_COMPOSE = ("COMPOSE_", "GRAFANA_", "POSTGRES_")  # docker compose reads `.env`, too


class DatabaseSettings(Group):
    url: SecretStr = Field(SecretStr(""), description="postgresql+asyncpg://…; empty: the embedded PostgreSQL.")
    pool_size: int = Field(30, ge=1, description="Connections per process; each stays open once it was needed.")
    max_overflow: int = Field(
        0, ge=0, description="Further ones, opened and closed again under load: that takes longer than most questions."
    )
    pool_timeout: Seconds = Field(timedelta(seconds=5), description="Wait for a free connection before a 503.")
    connect_timeout: Seconds = Field(timedelta(seconds=3), description="Wait for PostgreSQL to accept a connection.")
    statement_timeout: Seconds = Field(timedelta(seconds=30), description="A longer statement is cancelled.")
    lock_timeout: Seconds = Field(
        timedelta(seconds=2),
        description="A migration that waits longer for a lock lets others go first, and tries again.",
    )
    echo: bool = Field(False, description="Log every SQL statement.")


class RedisSettings(Group):
    url: SecretStr = Field(SecretStr(""), description="redis://… or unix://…; empty: the embedded Valkey.")
    cluster: bool = Field(False, description="REDIS_URL names a server of a Redis Cluster: ask it for the others.")
    prefix: str = Field("hearth:", description="Stands before every key and channel.")
    timeout: Seconds = Field(timedelta(seconds=1), description="A longer call counts as an outage.")


class EmbeddedSettings(Group):
    postgres_bin: Path | None = Field(None, description="Folder of other PostgreSQL programs (16 on, with pgvector).")
    valkey_bin: Path | None = Field(None, description="Another valkey-server or redis-server.")


class JWTSettings(Group):
    secret: SecretStr = Field(
        SecretStr(""), description="At least 32 bytes; required in production, else made once and kept in DATA_DIR."
    )
    previous_secrets: Secrets = Field((), description="Still accepted after a rotation of JWT_SECRET.")
    access_ttl: Seconds = Field(timedelta(minutes=15), description="Life of an access token.")
    refresh_ttl: Seconds = Field(timedelta(days=30), description="Life of a refresh token.")
    guest_ttl: Seconds = Field(timedelta(hours=12), description="Life of a guest's token for one room.")


class CookieSettings(Group):
    """Of sessions that begin with `POST /auth/session`."""

    ttl: Seconds = Field(timedelta(days=14), description="A cookie session ends after this time without a request.")
    longest: Seconds = Field(timedelta(days=90), description="A cookie session ends at the latest after this time.")
    secure: Literal["auto", "always", "never"] = Field(
        "auto", description="Send cookies over https only; auto: in production, and where the request came by https."
    )


class EncryptionSettings(Group):
    key: SecretStr = Field(
        SecretStr(""),
        description="At least 32 bytes; encrypts sensitive columns. Required in production, else made and kept.",
    )
    previous_keys: Secrets = Field((), description="Still decrypt after a rotation of ENCRYPTION_KEY.")


class OIDCSettings(Group):
    """Signing in with accounts of an OpenID provider."""

    issuer: str = Field("", description="OpenID provider, as its discovery document spells it; empty: none.")
    client_id: str = Field("", description="What the provider calls this server.")
    client_secret: SecretStr = Field(SecretStr(""), description="Empty for a public client, which has PKCE alone.")
    name: str = Field("OpenID Connect", description="What people call the provider.")
    scopes: str = Field(
        "openid email profile", description="What is asked for; with offline_access, the provider's tokens are kept."
    )
    redirect_uri: str = Field(
        "", description="https://…/api/v1/auth/oidc/callback as registered there; empty: made from the request."
    )
    trust_emails: bool = Field(
        False, description="Take addresses as verified where the provider does not say: only if it does verify them."
    )
    email_domains: CommaSeparated = Field((), description="New accounts only for verified addresses of these domains.")
    timeout: Seconds = Field(timedelta(seconds=5), description="For one call to the provider.")


class PasswordSettings(Group):
    min_length: int = Field(8, ge=1, description="Characters a password needs at least.")
    memory_kib: int = Field(19456, ge=8, description="Argon2id memory cost.")
    time_cost: int = Field(2, ge=1, description="Argon2id iterations.")
    threads: int = Field(2, ge=1, description="Threads that hash passwords beside the event loop.")
    min_strength: int = Field(
        2, ge=0, le=4, description="How hard a new password must be to guess, as zxcvbn says: 0 (anything) to 4."
    )


class LockoutSettings(Group):
    """What follows when somebody guesses passwords: 1 s, 2 s, 4 s, … in which further guesses are not looked at."""

    account_failures: int = Field(5, ge=1, description="Wrong passwords for one account before there are pauses.")
    network_failures: int = Field(50, ge=1, description="The same for one address, or IPv6 network, over all accounts.")
    longest: Seconds = Field(timedelta(minutes=15), description="The longest pause; after it a failure is forgiven.")


class SMTPSettings(Group):
    url: SecretStr = Field(
        SecretStr(""),
        description="smtp://user:password@host:587, smtps://host:465; file: writes mails to DATA_DIR/mails. "
        "Empty: the same, and in production no mail at all.",
    )
    from_address: str = Field("", description="Sender of mails; empty: Hearth <no-reply@the host of PUBLIC_URL>.")
    timeout: Seconds = Field(timedelta(seconds=20), description="For sending one mail.")
    retry_delay: Seconds = Field(
        timedelta(seconds=30), description="Pause before the second try; it doubles each time, for a day."
    )


class RealtimeSettings(Group):
    outbox_size: int = Field(512, ge=8, description="Events a slow reader may lag behind before it is cut off (4408).")
    sweep_interval: Seconds = Field(timedelta(seconds=5), description="How often the event log is asked for gaps.")
    heartbeat: Seconds = Field(timedelta(seconds=15), description="Ping interval, and how long the pong may take.")
    seat_ttl: Seconds = Field(timedelta(seconds=30), description="A killed process frees its seats after this time.")
    max_frame_bytes: int = Field(65_536, ge=1024, description="Largest frame a client may send.")
    authenticate_timeout: Seconds = Field(timedelta(seconds=10), description="Time for a first `authenticate` frame.")
    retention: Seconds = Field(timedelta(days=7), description="How long events can be replayed with after_seq.")


class ChatSettings(Group):
    message_max_length: int = Field(500, ge=1, description="Characters in one message.")
    history_messages: int = Field(12, ge=0, description="Recent messages that the spirit is shown.")
    spirit_name: str = Field("Spirit", description="Name of the AI participant; `@name` mentions it.")
    spirit_queue: int = Field(8, ge=1, description="Messages of one room that may wait for the spirit's answer.")
    most_emojis: int = Field(20, ge=1, description="Different reactions that one message may get.")


class DocumentSettings(Group):
    max_bytes: int = Field(52_428_800, ge=1, description="Largest upload.")
    max_pages: int = Field(5_000, ge=1, description="Pages beyond this fail the document.")
    max_characters: int = Field(20_000_000, ge=1, description="Extracted characters beyond this fail the document.")
    parse_timeout: Seconds = Field(timedelta(seconds=120), description="Time a parser has before it is killed.")
    parse_processes: int = Field(2, ge=1, description="Files one worker parses at once.")
    parse_memory_bytes: int = Field(2_147_483_648, ge=1, description="Address space a parser may use above its base.")


class FetchSettings(Group):
    timeout: Seconds = Field(timedelta(seconds=30), description="For one URL, redirects and all.")
    read_timeout: Seconds = Field(timedelta(seconds=10), description="Longest silence of the server that is asked.")
    max_redirects: int = Field(5, ge=0, description="Redirects that are followed; each is checked as the URL was.")
    ports: Ports = Field((80, 443), description="Ports that URLs may name.")
    allowed_networks: Networks = Field((), description="Private networks that may be fetched from: 10.1.0.0/16, ….")


class EmbeddingSettings(Group):
    base_url: str = Field("", description="OpenAI-compatible endpoint; empty: the embedded model.")
    api_key: SecretStr = Field(SecretStr(""), description="Key for EMBEDDING_BASE_URL.")
    model: str = Field("all-MiniLM-L6-v2", pattern=r"^[A-Za-z0-9._:/-]{1,100}$", description="Recorded per passage.")
    dimensions: int = Field(384, ge=1, le=4000, description="Length of the model's vectors.")
    precision: Literal["int8", "fp32"] = Field("int8", description="Of the embedded models' weights.")
    sparse: Literal["splade-tiny", "off"] = Field(
        "splade-tiny", description="Finds passages by words they imply; off saves half the time of reading documents."
    )
    threads: int = Field(
        0, ge=0, description="CPU threads of each embedded model; 0: all in a worker, all but one in a server."
    )
    batch_size: int = Field(32, ge=1, description="Passages per model call.")
    timeout: Seconds = Field(timedelta(seconds=30), description="For one call to EMBEDDING_BASE_URL.")


class RerankSettings(Group):
    base_url: str = Field("", description="Endpoint whose /rerank speaks as Cohere, Jina, TEI; empty: no reranking.")
    api_key: SecretStr = Field(SecretStr(""), description="Key for RERANK_BASE_URL.")
    model: str = Field("", description="Model name sent to RERANK_BASE_URL.")
    timeout: Seconds = Field(timedelta(seconds=5), description="After this the order stays as it was.")


class LLMSettings(Group):
    base_url: str = Field("", description="OpenAI-compatible endpoint; empty: answers quote the best passages.")
    api_key: SecretStr = Field(SecretStr(""), description="Key for LLM_BASE_URL.")
    model: str = Field("", description="Model name sent to LLM_BASE_URL.")
    temperature: float = Field(0.1, ge=0, le=2, description="Sampling temperature.")
    max_tokens: int = Field(1024, ge=1, description="Longest answer.")
    connect_timeout: Seconds = Field(timedelta(seconds=5), description="To reach LLM_BASE_URL.")
    token_timeout: Seconds = Field(timedelta(seconds=60), description="Longest silence between two tokens.")


class MemorySettings(Group):
    retention: Seconds = Field(timedelta(days=30), description="How long deleted memories can be restored.")
    import_max_bytes: int = Field(268_435_456, ge=1, description="Largest file of memories that is brought in.")


class MediaSettings(Group):
    """Pictures, sounds, films and other files of memories."""

    max_bytes: int = Field(209_715_200, ge=1, description="Largest file of a memory.")
    per_memory: int = Field(100, ge=1, description="Files that one memory may have.")
    max_pixels: int = Field(100_000_000, ge=1, description="Pixels of a picture; a larger one is refused.")
    max_frames: int = Field(3_000, ge=1, description="Frames of an animated picture; one with more is refused.")
    timeout: Seconds = Field(timedelta(seconds=60), description="Time for reading a picture, before that is killed.")
    processes: int = Field(2, ge=1, description="Pictures that one server or worker reads at once.")
    memory_bytes: int = Field(2_147_483_648, ge=1, description="Address space a picture may take to be read.")


class TaskSettings(Group):
    concurrency: int = Field(8, ge=1, description="Tasks one worker runs at once.")
    lease: Seconds = Field(timedelta(seconds=10), description="A dead worker's task is taken over after this time.")
    types: CommaSeparated = Field((), description="Work of these types alone; empty: of all. See docs/tasks.md.")
    max_attempts: int = Field(5, ge=1, description="Tries before a task counts as failed.")
    retry_delay: Seconds = Field(timedelta(seconds=2), description="Pause before the second try; it doubles each time.")
    poll_interval: Seconds = Field(timedelta(seconds=1), description="Look for work when no wake-up arrives.")
    retention: Seconds = Field(timedelta(days=90), description="How long tasks that have ended are listed.")


class PresetSettings(Group):
    """JSON, such as `{"steps": 12, "resolution": 768}`; what is left out stays as documented in docs/tasks.md."""

    draft: PresetChanges = Field(PresetChanges(), description="Changes of what the quality `draft` means.")
    standard: PresetChanges = Field(PresetChanges(), description="Changes of what the quality `standard` means.")
    high: PresetChanges = Field(PresetChanges(), description="Changes of what the quality `high` means.")
    ultra: PresetChanges = Field(PresetChanges(), description="Changes of what the quality `ultra` means.")

    def of(self, quality: Quality, *changes: PresetChanges) -> Preset:
        """What `quality` means here, with further `changes`."""
        return PRESETS[quality].changed(getattr(self, quality), *changes)


class RateLimitSettings(Group):
    """`unlimited` is a rate, too. Roles and API keys may have others than these."""

    enabled: bool = Field(True, description="Off only behind a gateway that limits.")
    requests: Rate = Field("600/minute", description="Of one caller, over all routes, and WebSockets that are opened.")
    uploads: Rate = Field("300/minute", description="Documents that one caller adds or has read again.")
    queries: Rate = Field("300/minute", description="Searches and questions of one caller.")
    messages: Rate = Field("120/minute", description="What one caller says in rooms: posts and WebSocket frames.")
    frames: Rate = Field("60/10 second", description="What one WebSocket connection may send, whoever else sends.")
    tokens: Rate = Field("2000000/day", description="Of the language model, asked and answered, for one account.")
    login: Rate = Field("30/minute", description="Log-ins, registrations, refreshes, invites used, of one address.")
    failures: Rate = Field("60/minute", description="Bad tokens, keys and cookies from one address.")
    mails: Rate = Field("5/hour", description="Mails to one address, and mails that one person asks for.")


class HTTPSettings(Group):
    header_timeout: Seconds = Field(timedelta(seconds=10), description="Time for the head of a request to come in.")
    body_timeout: Seconds = Field(timedelta(seconds=20), description="A body must go on within this time, or it ends.")
    max_url_bytes: int = Field(8_192, ge=256, description="Longest path and query.")
    max_header_bytes: int = Field(32_768, ge=1024, description="Largest head of a request.")
    max_headers: int = Field(100, ge=10, description="Headers that a request may have.")


class AuditSettings(Group):
    retention: Seconds = Field(
        timedelta(days=400), ge=timedelta(days=1), description="Entries of the audit log, addresses included, go then."
    )


class Settings(BaseSettings):
    """Read from the environment and `.env`; a misspelt name in `.env` is an error that names the nearest right one."""

    model_config = SettingsConfigDict(
        env_nested_delimiter="_",
        env_nested_max_split=1,
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    environment: Literal["development", "testing", "production"] = Field("development", description="Kind of run.")
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on.")
    data_dir: Path = Field(Path(".hearth"), description="Embedded databases, uploads, models, generated secrets.")
    cors_origins: CommaSeparated = Field(("http://localhost:3000",), description="Web pages that may call the API.")
    public_url: str = Field("", description="Where links in mails lead; empty: http://HOST:PORT.")
    registration: Literal["open", "invite", "closed"] = Field("open", description="Who may make an account.")
    require_verified_email: bool = Field(
        False, description="Sign in only with a confirmed address. Registration then hides who has an account."
    )
    trusted_proxies: Networks = Field((), description="Addresses and networks whose X-Forwarded-For is believed.")
    drain_seconds: Seconds = Field(
        timedelta(0), description="When told to stop, serve on for so long with /health/ready at 503, then close."
    )
    max_body_bytes: int = Field(1_048_576, ge=1, description="Largest request body, uploads apart.")
    database: DatabaseSettings = DatabaseSettings()
    redis: RedisSettings = RedisSettings()
    embedded: EmbeddedSettings = EmbeddedSettings()
    jwt: JWTSettings = JWTSettings()
    cookie: CookieSettings = CookieSettings()
    encryption: EncryptionSettings = EncryptionSettings()
    oidc: OIDCSettings = OIDCSettings()
    password: PasswordSettings = PasswordSettings()
    lockout: LockoutSettings = LockoutSettings()
    smtp: SMTPSettings = SMTPSettings()
    realtime: RealtimeSettings = RealtimeSettings()
    chat: ChatSettings = ChatSettings()
    storage: StorageSettings = StorageSettings()
    document: DocumentSettings = DocumentSettings()
    fetch: FetchSettings = FetchSettings()
    embedding: EmbeddingSettings = EmbeddingSettings()
    rerank: RerankSettings = RerankSettings()
    vector: VectorSettings = VectorSettings()
    chroma: ChromaSettings = ChromaSettings()
    llm: LLMSettings = LLMSettings()
    answer: AnswerSettings = AnswerSettings()
    memory: MemorySettings = MemorySettings()
    function: FunctionSettings = FunctionSettings()
    images: ImagesSettings = ImagesSettings()
    media: MediaSettings = MediaSettings()
    project: ProjectSettings = ProjectSettings()
    webhook: WebhookSettings = WebhookSettings()
    task: TaskSettings = TaskSettings()
    preset: PresetSettings = PresetSettings()
    rate_limit: RateLimitSettings = RateLimitSettings()
    http: HTTPSettings = HTTPSettings()
    audit: AuditSettings = AuditSettings()
    log: LogSettings = LogSettings()
    tracing: TracingSettings = TracingSettings()
    metrics: MetricsSettings = MetricsSettings()

    @property
    def is_production(self) -> bool:
        return self.environment == "production"

    @property
    def sends_mail(self) -> bool:
        return bool(self.smtp.url.get_secret_value()) or not self.is_production

    @property
    def links_to(self) -> str:
        """Where links in mails begin, without a slash at the end."""
        return self.public_url.rstrip("/") or f"http://{self.host}:{self.port}"

    @model_validator(mode="after")
    def _require_sense(self) -> Self:
        """Production never runs on a generated or short secret.

        Raises:
            ValueError: naming every setting that is missing or makes no sense.
        """
        problems = list(problems_of(self))
        if problems:
            raise ValueError("; ".join(problems))
        return self


def environment_names() -> Iterator[str]:
    """Every name that `.env` may hold, in the order of the settings."""
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Group):
            yield from (f"{name}_{inner}".upper() for inner in field.annotation.model_fields)
        else:
            yield name.upper()


def load_settings(env_file: Path = Path(".env")) -> Settings:
    """Settings of this process.

    Raises:
        ValueError: a name in `env_file` is unknown, or a value is not acceptable (pydantic's ValidationError).
    """
    known = list(environment_names())
    for name in dotenv_values(env_file) if env_file.exists() else ():
        if name.upper() not in known and name not in os.environ and not name.startswith(FOR_COMPOSE):
            nearest = difflib.get_close_matches(name.upper(), known, 1)
            hint = f"; did you mean {nearest[0]}?" if nearest else ""
            raise ValueError(f"{env_file}: unknown setting {name}{hint}")
    return Settings(_env_file=env_file)
