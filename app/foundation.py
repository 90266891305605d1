"""The world outside this process, opened once and closed in reverse order: databases, files, parsers, models."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import cast

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from sqlalchemy.ext.asyncio import AsyncEngine

from app.adapters.chroma import ChromaVectors, open_vectors
from app.adapters.embeddings import Embedder, open_embedder
from app.adapters.engines import AnswerEngine, open_answer_engine
from app.adapters.extraction import Extractor
from app.adapters.fetching import Fetcher
from app.adapters.identity_provider import OpenIDProvider, open_provider
from app.adapters.images import ImageServer, open_image_server
from app.adapters.llm import LanguageModel, open_language_model
from app.adapters.mail import MailSender, open_mail_sender
from app.adapters.object_storage import ObjectStorage
from app.adapters.pictures import Pictures
from app.adapters.reranker import Reranker, open_reranker
from app.adapters.sparse import SparseEncoder, open_sparse_encoder
from app.adapters.storage import LocalStorage, Storage
from app.adapters.webhook_sender import WebhookSender
from app.realtime.measured import measure as measure_redis
from app.repositories.engine import create_engine
from app.repositories.measured import measure as measure_engine
from app.settings import RedisSettings, Settings
from app.settings.production import FunctionSettings
from app.settings.workspace import WebhookSettings

MOST_REDIS_CONNECTIONS = 50


@dataclass(frozen=True, slots=True)
class Foundation:
    """What services are built upon.

    `sparse`, `reranker`, `llm`, `provider`, `mail_sender`, `images` and `vectors` may be None. So may `answer_engine`:
    then answers are made with `llm`, or by quoting.
    """

    settings: Settings
    engine: AsyncEngine
    redis: Redis
    pubsub_redis: Redis | RedisCluster
    storage: Storage
    fetcher: Fetcher
    extractor: Extractor
    pictures: Pictures
    embedder: Embedder
    sparse: SparseEncoder | None
    reranker: Reranker | None
    llm: LanguageModel | None
    answer_engine: AnswerEngine | None
    provider: OpenIDProvider | None
    mail_sender: MailSender | None
    images: ImageServer | None
    webhook_sender: WebhookSender
    function_sender: WebhookSender
    vectors: ChromaVectors | None


def create_redis(settings: RedisSettings) -> Redis:
    """When many call at once, they wait for a connection instead of opening more and more of them."""
    seconds = settings.timeout.total_seconds()
    if settings.cluster:
        cluster = RedisCluster.from_url(
            settings.url.get_secret_value(),
            decode_responses=True,
            socket_timeout=seconds,
            socket_connect_timeout=seconds,
            max_connections=MOST_REDIS_CONNECTIONS,
            retry=Retry(NoBackoff(), 1),  # the one after it has asked where everything is by now
        )
        return cast("Redis", cluster)  # it has the same commands; keys of one call share a {tag}, and so a server
    pool = BlockingConnectionPool.from_url(
        settings.url.get_secret_value(),
        decode_responses=True,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        health_check_interval=15,
        max_connections=MOST_REDIS_CONNECTIONS,
        timeout=seconds,
    )
    return Redis.from_pool(pool)


def create_pubsub_redis(settings: RedisSettings) -> Redis | RedisCluster:
    """For the carrier alone: RESP2, which is a third faster for pub/sub, and no silent retries."""
    kind = RedisCluster if settings.cluster else Redis
    return kind.from_url(
        settings.url.get_secret_value(),
        decode_responses=True,
        protocol=2,
        socket_connect_timeout=settings.timeout.total_seconds(),
        retry=Retry(NoBackoff(), 0),
    )


def make_storage(settings: Settings) -> Storage:
    if settings.storage.backend == "s3":
        return ObjectStorage(settings.storage, settings.data_dir / "spool")
    return LocalStorage(settings.data_dir / "blobs")


def make_function_sender(settings: FunctionSettings) -> WebhookSender:
    """Runners are called as webhooks are, and may be elsewhere."""
    reach = WebhookSettings(timeout=settings.timeout, ports=settings.ports, allowed_networks=settings.allowed_networks)
    return WebhookSender(reach)


@contextlib.asynccontextmanager
async def open_foundation(settings: Settings) -> AsyncIterator[Foundation]:
    async with contextlib.AsyncExitStack() as stack:
        engine = create_engine(settings.database)
        measure_engine(engine)
        stack.push_async_callback(engine.dispose)
        redis = measure_redis(create_redis(settings.redis))
        stack.push_async_callback(redis.aclose)
        pubsub_redis = create_pubsub_redis(settings.redis)
        stack.push_async_callback(pubsub_redis.aclose)
        models_dir = settings.data_dir / "models"
        embedder = await stack.enter_async_context(open_embedder(settings.embedding, models_dir))
        sparse = await stack.enter_async_context(open_sparse_encoder(settings.embedding, models_dir))
        reranker = await stack.enter_async_context(open_reranker(settings.rerank))
        storage = make_storage(settings)
        fetcher = Fetcher(settings.fetch)
        stack.callback(fetcher.close)
        llm = await stack.enter_async_context(open_language_model(settings.llm))
        answer_engine = await stack.enter_async_context(open_answer_engine(settings.answer))
        extractor = await stack.enter_async_context(Extractor(settings.document))
        pictures = await stack.enter_async_context(Pictures(settings.media))
        provider = await stack.enter_async_context(open_provider(settings.oidc))
        mail_sender = open_mail_sender(settings)
        images = await stack.enter_async_context(open_image_server(settings.images))
        vectors = await stack.enter_async_context(open_vectors(settings.vector, settings.chroma))
        webhook_sender = WebhookSender(settings.webhook)
        stack.callback(webhook_sender.close)
        function_sender = make_function_sender(settings.function)
        stack.callback(function_sender.close)
        yield Foundation(
            settings=settings,
            engine=engine,
            redis=redis,
            pubsub_redis=pubsub_redis,
            storage=storage,
            fetcher=fetcher,
            extractor=extractor,
            pictures=pictures,
            embedder=embedder,
            sparse=sparse,
            reranker=reranker,
            llm=llm,
            answer_engine=answer_engine,
            provider=provider,
            mail_sender=mail_sender,
            images=images,
            webhook_sender=webhook_sender,
            function_sender=function_sender,
            vectors=vectors,
        )
